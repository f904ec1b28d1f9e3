"""How an address is shown to people: where it leads, without the secrets that it may carry.

Whatever prints, logs or raises something with a URL in it asks here, on both sides. Also for a URL that is none: what
can't be told from a password is left out.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

_SCHEMES: Final = frozenset(
    {"dynamodb", "http", "https", "memory", "redis", "redis+cluster", "rediss", "rediss+cluster", "sqlite", "unix"}
)
"""Words that are no secret before a colon alone, as in `redis:/host`."""

_ADDRESS: Final = re.compile(
    r"""(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://
        (?:[^/?#\s]*@)?
        (?P<host>\[[0-9A-Fa-f:.]+\]|[\w.~${}-]*)
        (?P<port>(?::\d*|:\$\{\w+\})?)
        (?P<path>(?:/[^?#\t\r\n]*)?)
        (?P<rest>(?:[?#].*)?)""",
    re.VERBOSE | re.DOTALL,
)
_DOMAIN: Final = re.compile(r"localhost|\[.*\]|[\w-]+(?:\.[\w-]+)+")
_WITHIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_AUTHORIZATION: Final = re.compile(r"(authorization\W+(?:bearer|basic)\s+)[^\s'\")]+", re.IGNORECASE)
_BEARER: Final = re.compile(r"((?i:\bbearer)\s+)(?=[^\s'\")]*[A-Z0-9])[^\s'\")]{8,}")
_DRIVE: Final = re.compile(r"^/+[A-Za-z]:(?=/)")
_NUMBER: Final = re.compile(r"(?:/\d*)?", re.ASCII)
_FILE: Final = re.compile(r"[\w./\\ ~+,-]*")
_DELIMITERS: Final = re.compile(r"[^\w.~-]+")

_SHORTEST: Final = 3
"""Characters of what is taken out of a text: shorter ones would be found in every word."""


def shown(url: str) -> str:
    """The address without user, password, query and fragment; "…" stands for what may hide one of them.

    An `@` behind the host is as likely the end of a password with an unescaped `/`, `?` or `#` in it, and a `:` the
    start of one. Web addresses have both in paths, so there it takes a host that can't be a user's name.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None:
        scheme, colon, rest = url.partition(":")
        if colon and (scheme.lower() in _SCHEMES or (rest.startswith("//") and _is_scheme(scheme))):
            return f"{scheme}://…" if rest.startswith("//") else f"{scheme}:…"
        return url if _FILE.fullmatch(url) else "…"
    scheme, host, port, path, rest = found.group("scheme", "host", "port", "path", "rest")
    web = scheme.lower() in ("http", "https") and _DOMAIN.fullmatch(host) is not None
    database = scheme.lower().startswith("redis")
    if not web and ("@" in path + rest or ":" in _DRIVE.sub("", path) or (database and not _NUMBER.fullmatch(path))):
        return f"{scheme}://…"
    return f"{scheme}://{host}{port}{path}"


def within(text: str) -> str:
    """A text with every URL in it as `shown`, and no bearer token."""
    text = _WITHIN.sub(_shown_within, text)
    return _BEARER.sub(r"\1…", _AUTHORIZATION.sub(r"\1…", text))


def _shown_within(found: re.Match[str]) -> str:
    url = found[0].rstrip(",.;:!?)")
    return shown(url) + found[0][len(url) :]


def split(url: str) -> SplitResult | None:
    """The parts of a URL; None for what is none, where the standard library's error repeats it."""
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError:
        return None
    return parts


def scrubbed(text: str, url: str) -> str:
    """A text that somebody else wrote about this address, without what may be secret in it."""
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def betrays(error: BaseException, url: str) -> bool:
    """Whether a traceback of the error, or of one that led to it, would show what is secret in the address."""
    cause: BaseException | None = error
    while cause is not None:
        text = f"{cause!s} {cause!r}"
        if text != scrubbed(text, url):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _is_scheme(word: str) -> bool:
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", word) is not None


def _secrets(url: str) -> set[str]:
    """The parts of the address that `shown` leaves out, as they are written and as they are meant."""
    address = shown(url)
    kept = {address, *_DELIMITERS.split(address)}
    parts = {url, *_DELIMITERS.split(url)}
    ends = url.rfind("@")
    if ends >= 0:
        user = url[:ends].partition("://")[2]
        parts |= {user, user.partition(":")[2]}
    found = {part for part in parts if len(part) >= _SHORTEST and part not in kept}
    found |= {unquote(part) for part in found}
    return found | {repr(part)[1:-1] for part in found}
