"""What came of something that was asked for many tasks at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from pmcp_lab.errors import LabError

if TYPE_CHECKING:
    from pmcp_lab.client.tasks.task import Task

AT_ONCE = 16
"""Requests in flight."""
REASONS = 3
"""Reasons that are spelt out."""


class Report:
    """How many came to what, and which were refused: "12 cancelled, 2 had ended, 1 refused: no such task".

    Attributes:
        counts: By what they came to.
        refused: Why, by task.
    """

    def __init__(self, counts: Mapping[str, int], refused: Mapping[Task, str]) -> None:
        self.counts = dict(counts)
        self.refused = dict(refused)

    def __add__(self, other: Report) -> Report:
        counts = Counter(self.counts)
        counts.update(other.counts)
        return Report(counts, {**self.refused, **other.refused})

    def __str__(self) -> str:
        parts = [f"{count} {what}" for what, count in Counter(self.counts).most_common() if count]
        if self.refused:
            reasons = Counter(self.refused.values()).most_common()
            several = len(reasons) > 1
            said = [f"{why} ({count})" if several else why for why, count in reasons[:REASONS]]
            said += [f"… {len(reasons) - REASONS} other reasons"] if len(reasons) > REASONS else []
            parts.append(f"{len(self.refused)} refused: {'; '.join(said)}")
        return ", ".join(parts) or "there was nothing to do"

    __repr__ = __str__


async def reported(tasks: Iterable[Task], act: Callable[[Task], Awaitable[str]]) -> Report:
    """Do something with each, some at a time. On the loop.

    Args:
        act: Says what it came to; its `LabError` is a refusal.
    """
    slots = asyncio.Semaphore(AT_ONCE)
    counts: Counter[str] = Counter()
    refused: dict[Task, str] = {}

    async def one(task: Task) -> None:
        async with slots:
            try:
                counts[await act(task)] += 1
            except LabError as error:
                refused[task] = error.message.partition("\n")[0]

    await asyncio.gather(*map(one, tasks))
    return Report(counts, refused)
