"""Limits are validated."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from pmcp_lab.tasks import Limits


@pytest.mark.parametrize(
    "values",
    [
        {"tasks_per_owner": 0},
        {"default_ttl": 2, "max_ttl": 1},
        {"default_ttl": None},
        {"variable_depth": "10"},
        {"max_ttl": -1},
        {"max_ttl": True},
        {"default_ttl": "60"},
        {"poll_interval": 0},
        {"nonsense": 1},
    ],
)
def test_limits_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Limits(**values)


def test_limits_are_durations() -> None:
    limits = Limits(default_ttl=60, max_ttl=timedelta(hours=2), poll_interval="250ms")
    assert (limits.default_ttl_ms, limits.max_ttl_ms, limits.poll_interval_ms) == (60_000, 7_200_000, 250)
    assert (Limits().default_ttl_ms, Limits().max_ttl_ms, Limits().poll_interval_ms) == (3_600_000, 86_400_000, 1_000)
    assert limits.model_copy(update={"max_ttl": None}).max_ttl_ms is None
