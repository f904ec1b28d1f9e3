"""Where settings let go of tasks at a restart that their author means to keep. Said once, when a server starts."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pmcp_lab.protocol.durations import written
from pmcp_lab.server.loop_state import Tool
from pmcp_lab.tasks import TaskStore
from pmcp_lab.tasks.backends.memory import MemoryBackend

logger = logging.getLogger(__name__)


def warn_of_losses(store: TaskStore, tools: Mapping[str, Tool], *, lease: float) -> None:
    """Log each contradiction in a line of its own.

    Args:
        lease: Seconds a process that runs a task is believed to live without a word from it.
    """
    for line in _losses(store, tools, lease):
        logger.warning("%s", line)


def _losses(store: TaskStore, tools: Mapping[str, Tool], lease: float) -> Iterator[str]:
    again = {name: tool.policy for name, tool in tools.items() if tool.policy.on_lost == "retry"}
    if isinstance(store.backend, MemoryBackend):
        if again:
            yield (
                f"on_lost='retry' of {_names(list(again))} has no effect: a store in memory ends with its process; "
                "use sqlite:///tasks.db or another one that lasts"
            )
        return
    place = getattr(store.backend, "path", None)
    folder = Path(tempfile.gettempdir()).resolve()
    if place is not None and Path(place).resolve().is_relative_to(folder):
        yield (
            f"the tasks in {place} are lost when {folder} is emptied, by a reboot or by whoever runs this process; "
            "keep the store elsewhere"
        )
    found = round(lease * 4_000 / 3)
    short = {
        name: ttl
        for name, policy in again.items()
        if (ttl := store.limits.default_ttl_ms if policy.ttl_ms is None else policy.ttl_ms) is not None and ttl < found
    }
    if short:
        yield (
            f"on_lost='retry' of {_names(list(short))} has no effect: a task is kept for "
            f"{written(min(short.values()))}, and missed {written(found)} after its process ended; "
            "give it a longer ttl, or the server a shorter lease"
        )


def _names(tools: list[str]) -> str:
    shown = ", ".join(map(repr, tools[:3]))
    return shown if len(tools) <= 3 else f"{shown} and {len(tools) - 3} more tools"
