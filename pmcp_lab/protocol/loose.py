"""Reads members of JSON that somebody else wrote: what is not of the kind that is looked for is as good as absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def as_mapping(value: object) -> dict[str, Any]:
    return {str(key): member for key, member in value.items()} if isinstance(value, Mapping) else {}


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
