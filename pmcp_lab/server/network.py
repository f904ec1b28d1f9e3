"""Where a request comes from on the network, and how fast tasks may be made from there."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
"""IPv4 behind a translator (RFC 6052): each address is somebody else."""

_REMEMBERED: Final = 16_384
"""Networks whose pace is known at a time."""


def network_of(request: Any) -> str:
    """The network peer of an HTTP request: an IPv4 address, or the /64 that an IPv6 one is in.

    Empty where there is no address: on a Unix socket. Whether a proxy is believed is for the ASGI server to decide
    (uvicorn's `proxy_headers` and `forwarded_allow_ips`).
    """
    client = getattr(request, "client", None)
    return "" if client is None or not client.host else _network(client.host)


@lru_cache(maxsize=4_096)
def _network(host: str) -> str:
    try:
        address: IPv4Address | IPv6Address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if not address.is_link_local and address not in _TRANSLATED:
            # One line gets a /64 at least, and with it 2^64 addresses.
            return str(IPv6Network((int(address), 64), strict=False))
    return str(address)


def unbelieved_proxy(request: Any) -> str | None:
    """The address of whoever says that it speaks for somebody else, and is not believed."""
    headers, client = getattr(request, "headers", None), getattr(request, "client", None)
    said = None if headers is None else headers.get("x-forwarded-for")
    if not said or client is None:
        return None
    # uvicorn puts whom it believes in the connection's place, and leaves the header.
    return None if client.host in (part.strip() for part in said.split(",")) else str(client.host)


class Pace:
    """A bucket per network that fills evenly over a minute. A full one is forgotten, so idle networks cost nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}
        """What was left, and when that was; the one used longest ago first."""

    def wait(self, network: str, per_minute: int) -> float:
        """Take one out. 0, or the seconds until there is one again; then nothing was taken."""
        now = self._clock()
        left, then = self._left.pop(network, (float(per_minute), now))
        left = min(float(per_minute), left + (now - then) * per_minute / 60)
        enough = left >= 1
        self._left[network] = (left - 1 if enough else left, now)
        while len(self._left) > _REMEMBERED or now - next(iter(self._left.values()))[1] >= 60:
            del self._left[next(iter(self._left))]
        return 0.0 if enough else (1 - left) * 60 / per_minute

    def __len__(self) -> int:
        return len(self._left)
