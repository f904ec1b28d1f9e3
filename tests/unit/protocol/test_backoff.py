"""Pauses between attempts: how they grow, where that ends, and that they differ."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_lab.protocol.backoff import doubled, jittered

SECONDS = st.floats(0.001, 60)


def test_it_doubles_up_to_the_longest() -> None:
    assert [doubled(failed, 0.1, 2.0) for failed in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]


def test_without_a_longest_it_goes_on_doubling() -> None:
    assert doubled(10, 0.5) == 512


@given(st.integers(0, 10**6), SECONDS, SECONDS)
def test_however_often_it_failed_the_pause_is_never_above_the_longest(failed: int, one: float, other: float) -> None:
    shortest, longest = sorted((one, other))
    assert shortest <= doubled(failed, shortest, longest) <= longest
    assert 0 <= jittered(failed, shortest, longest) <= longest


def test_those_who_failed_together_wait_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", iter([0.0, 0.25, 0.75]).__next__)
    assert [jittered(2, 0.1, 2.0) for _ in range(3)] == pytest.approx([0.0, 0.1, 0.3])
