"""What `connect` was given, read into one of three kinds of target: a command, a URL, a Python object."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pmcp_lab.client.config import config_entry, find_config, read_config
from pmcp_lab.errors import TargetError, nearest

BUNDLED = ("demo",)


@dataclass(frozen=True)
class Command:
    """A server started as a child process and spoken to over its stdin and stdout.

    Args:
        env: Added to the few variables a server inherits (PATH, HOME and the like).
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str | None = None

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True)
class Url:
    """A server reached over streamable HTTP. Header values are kept out of every text."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


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


def read_target(
    target: object,
    *,
    config: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[str, Target]:
    """A name and a target.

    A plain word means, in this order: an entry of `config`, a bundled server, an entry of the nearest
    `.mcp.json`, a command on the PATH.

    Raises:
        TargetError: Nothing fits; the text lists what was looked for.
    """
    if config is not None:
        name, entry = config_entry(Path(config).expanduser(), None if target is None else str(target))
        return name, _from_entry(name, entry, env, cwd, headers)
    if isinstance(target, Mapping):
        return _named(_from_entry("server", target, env, cwd, headers))
    if isinstance(target, str | os.PathLike):
        return _from_text(os.fspath(target), env, cwd, headers)
    if isinstance(target, Sequence) and not isinstance(target, bytes):
        return _named(_command([os.fspath(part) for part in target], env, cwd))
    if any(base.__module__.startswith("mcp.server") for base in type(target).__mro__):
        return _named(Local(target))
    raise TargetError(
        f"Can't connect to a {type(target).__name__}. Give a name ('demo'), a command line or list, "
        "an http(s) URL, an MCPServer object, or an entry of an mcpServers file (config=…)."
    )


def _from_text(
    text: str, env: Mapping[str, str] | None, cwd: str | os.PathLike[str] | None, headers: Mapping[str, str] | None
) -> tuple[str, Target]:
    text = text.strip()
    if not text:
        raise TargetError("Nothing to connect to: the target is empty.")
    scheme = text.partition("://")[0].lower() if "://" in text.split()[0] else ""
    if scheme in ("http", "https"):
        return _named(_url(text, headers))
    if scheme:
        raise TargetError(f"{scheme}:// is no MCP transport; use http:// or https://, or a command line.")
    if text.endswith(".json") and Path(text).expanduser().is_file():
        name, entry = config_entry(Path(text).expanduser(), None)
        return name, _from_entry(name, entry, env, cwd, headers)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise TargetError(f"Can't read the command line {text!r}: {error}") from None
    if len(words) > 1:
        return _named(_command(words, env, cwd))
    return _from_word(words[0], env, cwd, headers)


def _from_word(
    word: str, env: Mapping[str, str] | None, cwd: str | os.PathLike[str] | None, headers: Mapping[str, str] | None
) -> tuple[str, Target]:
    if word in BUNDLED:
        # Where the package is found here it must be found there, installed or not.
        path = {"PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
        return word, _command([sys.executable, "-m", "pmcp_lab", word], {**path, **(env or {})}, cwd)
    known: dict[str, Any] = {}
    if (file := find_config()) is not None:
        known = read_config(file)
        if word in known:
            name, entry = config_entry(file, word)
            return name, _from_entry(name, entry, env, cwd, headers)
    if shutil.which(word):
        return _named(_command([word], env, cwd))
    places = f"a bundled server, an entry of {file}," if file else "a bundled server, an entry of a .mcp.json"
    raise TargetError(f"{word!r} is not {places} or a command on the PATH.{nearest(word, [*BUNDLED, *known])}")


def _from_entry(
    name: str,
    entry: Mapping[str, Any],
    env: Mapping[str, str] | None,
    cwd: str | os.PathLike[str] | None,
    headers: Mapping[str, str] | None,
) -> Target:
    if "url" in entry:
        return _url(str(entry["url"]), {**(entry.get("headers") or {}), **(headers or {})})
    if "command" in entry:
        argv = [str(entry["command"]), *map(str, entry.get("args") or ())]
        return _command(argv, {**(entry.get("env") or {}), **(env or {})}, cwd or entry.get("cwd"))
    raise TargetError(f'The entry {name!r} has neither "command" nor "url".')


def _command(argv: Sequence[str], env: Mapping[str, str] | None, cwd: str | os.PathLike[str] | None) -> Command:
    if not argv:
        raise TargetError("Nothing to connect to: the command is empty.")
    pairs = tuple(sorted((str(key), str(value)) for key, value in (env or {}).items()))
    return Command(tuple(argv), pairs, None if cwd is None else os.fspath(cwd))


def _url(url: str, headers: Mapping[str, str] | None) -> Url:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise TargetError(f"{url!r} is not a URL of an MCP server (http://host:port/path)")
    return Url(url, tuple(sorted((str(key), str(value)) for key, value in (headers or {}).items())))


_RUNNERS = {"python", "python3", "node", "npx", "uvx", "uv", "bunx", "deno", "bash", "sh", "docker", "pipx"}


def _named(target: Target) -> tuple[str, Target]:
    """A short name for a target that has none."""
    match target:
        case Url():
            parts = urlsplit(target.url)
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
