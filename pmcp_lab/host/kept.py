"""What is kept of all that an app says, within a bound of bytes: an app can send 8 MB at a time, for ever."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from pmcp_lab.host.calls import Calls

LIMIT = 32 * 2**20
"""Bytes of memory, over all lists of one app."""
EACH = 1_000
"""Entries of a list."""


class Kept:
    """The lists of one app: its requests, what its views told, and what it wanted to be said. The oldest of all goes
    first when they weigh too much together.

    Attributes:
        dropped: How many went, by list.
        weight: Bytes of memory.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.dropped: Counter[str] = Counter()
        self.weight = 0
        self.calls = Calls(self.dropped)
        self.events: deque[dict[str, Any]] = deque()
        self.messages: deque[dict[str, Any]] = deque()
        self._lists: dict[str, deque[dict[str, Any]]] = {
            "calls": self.calls,
            "events": self.events,
            "messages": self.messages,
        }
        self._entries: dict[int, tuple[str, dict[str, Any], int]] = {}
        """By identity, oldest first: the list of an entry, the entry, and its weight."""

    def add(self, name: str, entry: dict[str, Any]) -> int:
        """Put an entry at the end of a list. Returns its weight."""
        kept = self._lists[name]
        if len(kept) >= EACH:
            self._drop(id(kept[0]))
        kept.append(entry)
        self._entries[id(entry)] = (name, entry, 0)
        return self.grown(entry)

    def grown(self, entry: dict[str, Any]) -> int:
        """An entry has more in it now than when it was added. Returns its weight."""
        weight = weigh(entry)
        if (known := self._entries.get(id(entry))) is not None:
            self._entries[id(entry)] = (known[0], entry, weight)
            self.weight += weight - known[2]
        while self.weight > self.limit and self._entries:
            self._drop(next(iter(self._entries)))
        return weight

    def _drop(self, key: int) -> None:
        name, entry, weight = self._entries.pop(key)
        self.weight -= weight
        kept = self._lists[name]
        # The oldest of all is the oldest of its list, unless somebody emptied that.
        if kept and kept[0] is entry:
            kept.popleft()
            self.dropped[name] += 1


def weigh(value: object) -> int:
    """Bytes of memory that it takes, counted until it is more than `LIMIT`.

    Not those of its JSON: `[{},{},…]` takes twenty times as many, and one emoji makes a long text four times as large.
    """
    weight, rest = 0, [value]
    while rest and weight <= LIMIT:
        each = rest.pop()
        weight += sys.getsizeof(each)
        if isinstance(each, Mapping):
            rest += each.keys()
            rest += each.values()
        elif isinstance(each, list | tuple):
            rest += each
    return weight
