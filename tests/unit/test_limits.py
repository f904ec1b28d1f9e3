"""Limits are validated, and durations are read."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pmcp_lab.tasks import Limits
from pmcp_lab.tasks.limits import milliseconds


@pytest.mark.parametrize(
    "values",
    [
        {"tasks_per_owner": 0},
        {"default_ttl": 2, "max_ttl": 1},
        {"default_ttl": None},
        {"variable_depth": "10"},
        {"max_ttl": -1},
        {"nonsense": 1},
    ],
)
def test_limits_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Limits(**values)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (0, 0),
        (90, 90),
        ("250ms", 250),
        ("90s", 90_000),
        (" 1.5 h ", 5_400_000),
        ("5m", 300_000),
        ("2d", 172_800_000),
    ],
)
def test_durations(given: Any, expected: int | None) -> None:
    assert milliseconds(given) == expected


@pytest.mark.parametrize("given", [-1, "", "1", "1y", "-1s", "h", True, 1.5])
def test_what_is_not_a_duration(given: Any) -> None:
    with pytest.raises(ValueError, match="duration"):
        milliseconds(given)
