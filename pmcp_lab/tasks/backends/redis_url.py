"""What a Redis URL says, checked before anybody connects: redis-py takes the rest of a misread password for a host,
a database or an option, and repeats it in its errors.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode

from pmcp_lab.errors import StoreError
from pmcp_lab.protocol.address import shown, split

SCHEMES: Final = ("redis", "rediss", "unix")
CLUSTERS: Final = ("redis+cluster", "rediss+cluster")

OPERATION_TIMEOUT: Final = 4.5
"""Seconds for an answer, where the URL does not say."""

_OWN: Final = ("prefix", "cluster", "socket_timeout")
"""Options that are not redis-py's business."""
_YES: Final = {"1", "true", "yes"}


class RedisUrl(NamedTuple):
    """A Redis by its URL."""

    parts: SplitResult
    """As redis-py reads it: without what is said here."""
    prefix: str
    clustered: bool
    operation_timeout: float
    """Seconds that an operation may take."""
    name: str
    """For people: without what is secret in it."""


def read_url(url: str) -> RedisUrl:
    """The URL of a store or a broker.

    Raises:
        StoreError: It can't be read.
    """
    parts = split(url)
    if parts is None or parts.scheme not in (*SCHEMES, *CLUSTERS) or "://" not in url:
        raise StoreError(f"{shown(url)} is not a Redis URL: redis://[user:password@]host:port/db")
    if "@" in parts.path + parts.query or parts.fragment or url.endswith("#"):
        raise StoreError(
            f"{shown(url)} is not a Redis URL: in a user, password or option, write / as %2F, ? as %3F, # as %23 "
            "and @ as %40"
        )
    database = parts.path.strip("/")
    if parts.scheme != "unix" and database and not (database.isascii() and database.isdigit()):
        raise StoreError(f"{shown(url)} is not a Redis URL: behind the host comes the number of a database")
    options = parse_qsl(parts.query, keep_blank_values=True)
    given = dict(options)
    query = urlencode([pair for pair in options if pair[0] not in _OWN])
    named = shown(parts._replace(query="").geturl())
    if not parts.hostname and parts.scheme != "unix":
        named = f"{parts.scheme}://localhost{parts.path}"
    return RedisUrl(
        parts._replace(scheme=parts.scheme.removesuffix("+cluster"), query=query),
        given.get("prefix") or "pmcp",
        parts.scheme in CLUSTERS or given.get("cluster", "").lower() in _YES,
        _operation_timeout(given.get("socket_timeout"), named),
        named,
    )


def _operation_timeout(given: str | None, name: str) -> float:
    if given is None:
        return OPERATION_TIMEOUT
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise StoreError(f"{name} is not a Redis URL: socket_timeout is a number of seconds above 0")
    return seconds
