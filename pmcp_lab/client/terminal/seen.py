"""What is shown of something that is waited for."""

from __future__ import annotations

from typing import NamedTuple


class Asked(NamedTuple):
    """A question that waits for an answer.

    Attributes:
        key: Tells it from every other.
        text: What is asked, and by whom.
        how: What to do about it.
    """

    key: str
    text: str
    how: str


class Seen(NamedTuple):
    """How far it is, at one moment.

    Attributes:
        name: What it is called.
        done: How much of it is, 0..1; None where nobody knows.
        elapsed: Seconds since it began.
        said: What it says of itself, in one line.
        asked: What it asks.
    """

    name: str
    done: float | None
    elapsed: float
    said: str
    asked: tuple[Asked, ...]
