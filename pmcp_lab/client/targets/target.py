"""What `connect` was given, read into one of three kinds of target: a command, a URL, a Python object."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pmcp_lab.client.targets.config_file import Entry, config_entry, configured, find_config
from pmcp_lab.client.targets.oauth_settings import ClientCredentials, OAuth
from pmcp_lab.errors import TargetError, nearest
from pmcp_lab.protocol import address

BUNDLED = ("demo",)

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"(?:[!-~](?:[ -~\t]*[!-~])?)?")
_SECRET = 5
"""Characters of a header's word that is kept out of texts: shorter ones are in every text."""


@dataclass(frozen=True)
class Command:
    """A server started as a child process and spoken to over its stdin and stdout.

    Args:
        env: Added to the few variables a server inherits (PATH, HOME and the like). In no text.
        shown: The words for people: as a configuration file has them, before variables are filled in.
    """

    argv: tuple[str, ...] = field(repr=False)
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    cwd: str | None = None
    shown: tuple[str, ...] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return shlex.join([address.within(word) for word in self.shown or self.argv])


@dataclass(frozen=True)
class Url:
    """A server reached over streamable HTTP. What may be secret is kept out of every text.

    Args:
        shown: The address for people: as a configuration file has it, before variables are filled in.
    """

    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    auth: OAuth | ClientCredentials | None = None
    shown: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return address.shown(self.shown or self.url)

    @property
    def place(self) -> str:
        """What tells it from other servers; nothing in it is secret. For people there is `str`, which says less."""
        parts = urlsplit(self.shown or self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()

    def scrubbed(self, text: str) -> str:
        """What somebody else said of it, without what may be secret in the address and the headers."""
        for _, value in self.headers:
            for part in (value, *value.split()):
                if len(part) >= _SECRET and part.lower() not in ("bearer", "basic"):
                    text = text.replace(part, "…").replace(repr(part)[1:-1], "…")
        return address.within(address.scrubbed(text, self.url))


@dataclass(frozen=True, eq=False)
class Local:
    """A server object of this process. Two targets are the same when the object is."""

    server: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Local) and other.server is self.server

    def __hash__(self) -> int:
        return id(self.server)

    def __str__(self) -> str:
        return f"in-process {type(self.server).__name__}"


Target = Command | Url | Local


@dataclass(frozen=True)
class _Given:
    """What `connect` was given beside the target."""

    env: Mapping[str, str]
    cwd: str | os.PathLike[str] | None
    headers: Mapping[str, str]
    auth: OAuth | ClientCredentials | None


def read_target(
    target: object,
    *,
    config: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    headers: Mapping[str, str] | None = None,
    auth: object = None,
    token: str | None = None,
) -> tuple[str, Target]:
    """A name and a target.

    A plain word means, in this order: an entry of `config`, a bundled server, an entry of the nearest
    `.mcp.json` or of another host's file, a command on the PATH.

    Raises:
        TargetError: Nothing fits; the text lists what was looked for.
    """
    # Out of a file it comes with a line break.
    bearer = {} if token is None else {"Authorization": f"Bearer {token.strip()}"}
    given = _Given(env or {}, cwd, {**(headers or {}), **bearer}, _read_auth(auth))
    name, found = _read(target, config, given)
    if not isinstance(found, Url) and (given.headers or given.auth):
        raise TargetError(f"{name!r} is no URL, so it takes neither headers= nor token= nor auth=.")
    if isinstance(found, Url) and found.auth and any(key.lower() == "authorization" for key, _ in found.headers):
        raise TargetError(f"{name!r} is given a token and auth= as well; which of them?")
    return name, found


def _read_auth(auth: object) -> OAuth | ClientCredentials | None:
    if auth is None or isinstance(auth, OAuth | ClientCredentials):
        return auth
    if auth == "oauth":
        return OAuth()
    raise TargetError(
        'auth must be "oauth", an OAuth(…) or a ClientCredentials(…); a token goes into token=, other headers into '
        "headers="
    )


def _read(target: object, config: str | os.PathLike[str] | None, given: _Given) -> tuple[str, Target]:
    if config is not None:
        return _from_entry(config_entry(Path(config).expanduser(), None if target is None else str(target)), given)
    if isinstance(target, Mapping):
        return _named(_target("server", target, given))
    if isinstance(target, str | os.PathLike):
        return _from_text(os.fspath(target), given)
    if isinstance(target, Sequence) and not isinstance(target, bytes):
        return _named(_command([os.fspath(part) for part in target], given))
    if any(base.__module__.startswith("mcp.server") for base in type(target).__mro__):
        return _named(Local(target))
    raise TargetError(
        f"Can't connect to a {type(target).__name__}. Give a name ('demo'), a command line or list, "
        "an http(s) URL, an MCPServer object, or an entry of an mcpServers file (config=…)."
    )


def _from_text(text: str, given: _Given) -> tuple[str, Target]:
    text = text.strip()
    if not text:
        raise TargetError("Nothing to connect to: the target is empty.")
    scheme = text.partition("://")[0].lower() if "://" in text.split()[0] else ""
    if scheme in ("http", "https"):
        return _named(_url(text, given))
    if scheme:
        named, slashes, _ = address.shown(text).partition("://")
        what = f"{named}://" if slashes else "This"
        raise TargetError(f"{what} is no MCP transport; use http:// or https://, or a command line.")
    if text.endswith(".json") and Path(text).expanduser().is_file():
        return _from_entry(config_entry(Path(text).expanduser(), None), given)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise TargetError(f"Can't read the command line {address.within(text)!r}: {error}") from None
    if len(words) > 1:
        return _named(_command(words, given))
    return _from_word(words[0], given)


_WORD = re.compile(r"[^@?=&#%:]*")
_MODULE = re.compile(r"[A-Za-z_]\w*:[A-Za-z_][\w.]*")


def _from_word(word: str, given: _Given) -> tuple[str, Target]:
    if word in BUNDLED:
        # Where the package is found here it must be found there, installed or not.
        path = {"PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
        return word, _command([sys.executable, "-m", "pmcp_lab", word], replace(given, env={**path, **given.env}))
    known = configured()
    if word in known:
        return _from_entry(known[word], given)
    if shutil.which(word):
        return _named(_command([word], given))
    if word.endswith(".py") and Path(word).is_file():
        raise TargetError(f"{word!r} is a file that can't be run by itself: name what runs it, 'python {word}'.")
    file = find_config()
    places = f"a bundled server, an entry of {file}," if file else "a bundled server, an entry of a .mcp.json"
    if _MODULE.fullmatch(word):
        said = f"{word.partition(':')[0]}:…"
    else:
        # It may be a URL without its scheme.
        said = word if _WORD.fullmatch(word) else address.shown(f"http://{word}").removeprefix("http://")
    raise TargetError(f"{said!r} is not {places} or a command on the PATH.{nearest(word, [*BUNDLED, *known])}")


def _from_entry(entry: Entry, given: _Given) -> tuple[str, Target]:
    target = _target(entry.name, entry.filled(), given)
    if isinstance(target, Command):
        return entry.name, replace(target, shown=_argv(entry.raw))
    return entry.name, replace(target, shown=_address(entry.raw)) if isinstance(target, Url) else target


def _target(name: str, entry: Mapping[str, Any], given: _Given) -> Target:
    if _address(entry):
        settings = given.auth or _entry_auth(name, entry)
        headers = {**(entry.get("headers") or {}), **given.headers}
        return _url(str(_address(entry)), replace(given, headers=headers, auth=settings))
    if "command" in entry:
        env = {**(entry.get("env") or {}), **given.env}
        return _command(_argv(entry), replace(given, env=env, cwd=given.cwd or entry.get("cwd")))
    raise TargetError(f'The entry {name!r} has neither "command" nor "url".')


def _address(entry: Mapping[str, Any]) -> str | None:
    url = entry.get("url") or entry.get("serverUrl")
    return str(url) if url else None


def _argv(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return str(entry["command"]), *map(str, entry.get("args") or ())


def _entry_auth(name: str, entry: Mapping[str, Any]) -> OAuth | ClientCredentials | None:
    """`"auth": "oauth"`, Claude Code's `"oauth": {"clientId": …, "callbackPort": …}`, or of a program
    `"clientCredentials": {"clientId": …, "secret": "$NAME", "issuer": …, "scope": …}`."""
    if "clientCredentials" in entry:
        return _entry_program(name, entry["clientCredentials"])
    settings = entry.get("oauth")
    if not isinstance(settings, Mapping):
        return _read_auth(entry.get("auth")) if entry.get("auth") else None
    try:
        return OAuth(
            client_id=settings.get("clientId"),
            client_secret=settings.get("clientSecret"),
            scope=settings.get("scope"),
            port=int(settings.get("callbackPort") or 0),
        )
    except (TypeError, ValueError):
        raise TargetError(f'The "oauth" of the entry {name!r} can\'t be read') from None


def _entry_program(name: str, settings: object) -> ClientCredentials:
    known = {"clientId": "client_id", "secret": "secret", "issuer": "issuer", "scope": "scope"}
    if not isinstance(settings, Mapping) or not all(isinstance(value, str) for value in settings.values()):
        raise TargetError(f'The "clientCredentials" of the entry {name!r} must be an object of texts')
    if missing := [key for key in ("clientId", "secret", "issuer") if not settings.get(key)]:
        raise TargetError(f'The "clientCredentials" of the entry {name!r} lack {" and ".join(map(repr, missing))}')
    if unknown := sorted(settings.keys() - known.keys()):
        raise TargetError(
            f'The "clientCredentials" of the entry {name!r} have no {unknown[0]!r}.{nearest(unknown[0], known)}'
        )
    try:
        return ClientCredentials(**{known[key]: value for key, value in settings.items()})
    except TargetError as error:
        raise TargetError(f'The "clientCredentials" of the entry {name!r}: {error.message}') from None


def _command(argv: Sequence[str], given: _Given) -> Command:
    if not argv:
        raise TargetError("Nothing to connect to: the command is empty.")
    pairs = tuple(sorted((str(key), str(value)) for key, value in given.env.items()))
    return Command(tuple(argv), pairs, None if given.cwd is None else os.fspath(given.cwd))


def _url(url: str, given: _Given) -> Url:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise TargetError(f"{address.shown(url)!r} is not a URL of an MCP server (http://host:port/path)")
    headers = tuple(sorted((str(key), str(value)) for key, value in given.headers.items()))
    for name, value in headers:
        if not _HEADER.fullmatch(name):
            raise TargetError("A header's name is not one that HTTP has: write headers={'X-Name': 'value'}")
        if not _VALUE.fullmatch(value):
            raise TargetError(
                f"The header {name!r} has a value that HTTP can't carry: a line break, a space at an end, or a "
                "character beyond ASCII"
            )
    return Url(url, headers, given.auth)


_RUNNERS = {"python", "python3", "node", "npx", "uvx", "uv", "bunx", "deno", "bash", "sh", "docker", "pipx"}


def _named(target: Target) -> tuple[str, Target]:
    """A short name for a target that has none."""
    match target:
        case Url():
            parts = urlsplit(target.url)
            if address.shown(target.url).endswith("…"):
                # What looks like a host may be half a password.
                return "server", target
            return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname), target
        case Local():
            name = getattr(target.server, "name", None)
            return (name if isinstance(name, str) and name else "server"), target
        case Command(argv=argv):
            candidates = [Path(argv[0]).name]
            if candidates[0].split(".")[0].rstrip("0123456789") in _RUNNERS:
                skipped = ("run", "exec", "-m", "-y", "-i", "-u")
                candidates = [word for word in argv[1:] if word not in skipped and not word.startswith("-")]
            word = candidates[0] if candidates else Path(argv[0]).name
            return _tidy(word), target


def _tidy(word: str) -> str:
    """`…/node_modules/@scope/server-map/dist/index.js` → `server-map`; `time_server.py` → `time_server`."""
    parts = Path(word).parts
    if "node_modules" in parts:
        inside = parts[len(parts) - parts[::-1].index("node_modules") :]
        return inside[1] if inside[0].startswith("@") and len(inside) > 1 else inside[0]
    name = Path(word).name
    for ending in (".py", ".js", ".mjs", ".ts", ".cjs"):
        name = name.removesuffix(ending)
    return name.partition("@")[0] or name
