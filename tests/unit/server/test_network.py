"""Where a request comes from, and how many tasks a minute are made from there."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pmcp_lab.server.network import Pace, network_of

TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


def request(host: str | None) -> Any:
    return SimpleNamespace(client=None if host is None else SimpleNamespace(host=host, port=1))


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        # A socket for both families says so of IPv4.
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::6", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        # One cable: the /64 is everybody's.
        ("fe80::1", "fe80::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        # Behind a translator from IPv4.
        ("64:ff9b::192.0.2.7", "64:ff9b::c000:207"),
        ("a-name", "a-name"),
        ("", ""),
        (None, ""),
    ],
)
def test_the_network_of_an_address(host: str | None, network: str) -> None:
    assert network_of(request(host)) == network


def test_what_has_no_client_at_all_has_no_network() -> None:
    assert network_of(object()) == ""


@given(st.ip_addresses(v=6).filter(lambda a: a.ipv4_mapped is None and not a.is_link_local), st.integers(0, 2**64 - 1))
def test_a_whole_64_is_one_network(address: ipaddress.IPv6Address, host: int) -> None:
    neighbour = ipaddress.IPv6Address(int(address) >> 64 << 64 | host)
    assume(neighbour.ipv4_mapped is None and address not in TRANSLATED and neighbour not in TRANSLATED)
    assert network_of(request(str(address))) == network_of(request(str(neighbour)))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_fills_evenly_over_a_minute() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert [pace.wait("a", 6) for _ in range(6)] == [0] * 6
    assert pace.wait("a", 6) == pytest.approx(10)
    clock.now += 4
    assert pace.wait("a", 6) == pytest.approx(6), "what is refused takes nothing"
    assert pace.wait("b", 6) == 0, "and holds up nobody else"
    clock.now += 6
    assert pace.wait("a", 6) == 0
    assert pace.wait("a", 6) == pytest.approx(10)
    clock.now += 3_600
    assert [pace.wait("a", 6) for _ in range(7)] == [0] * 6 + [pytest.approx(10)], "never more than full"


def test_a_limit_that_changes_is_kept_at_once() -> None:
    pace = Pace(Clock())
    assert pace.wait("a", 100) == 0
    assert pace.wait("a", 1) == 0
    assert pace.wait("a", 1) > 0


def test_idle_networks_are_forgotten() -> None:
    clock = Clock()
    pace = Pace(clock)
    for number in range(1_000):
        pace.wait(f"n{number}", 10)
        clock.now += 0.1
    assert len(pace) == pytest.approx(600, abs=1), "those of the last minute"
    clock.now += 60
    pace.wait("last", 10)
    assert len(pace) == 1


def test_however_many_networks_there_are_memory_is_bounded() -> None:
    pace = Pace(Clock())
    for number in range(40_000):
        pace.wait(f"n{number}", 10)
    assert len(pace) == 16_384
