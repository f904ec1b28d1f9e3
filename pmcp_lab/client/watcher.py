"""When to ask for which task: one scheduler per connection. It asks through an interface and knows no wire.

Nothing is polled while a stream tells of it. What no stream covers is polled at its server's pace, in one
list where that is cheaper than one by one, a bounded number at a time, and never after it ended.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from pmcp_lab.errors import LabError, PeerError, ServerBusy

FLOOR = 0.1
"""Seconds that are left between two polls of a task, whatever its server says."""
DEFAULT = 1.0
"""Seconds between polls when the server has no wish."""
JITTER = 0.2
"""A poll comes up to this fraction of its interval late, so that tasks started together drift apart."""
IN_FLIGHT = 16
TOLD = 5
"""A task that its server tells of unasked is polled this many times less often: those notifications are optional."""
FAIRNESS = 4
"""Of this many polls one goes to whoever waits longest, seen or not."""
SETTLE = 0.05
"""Seconds from a new task to the request that listens to it, so that tasks started together share it …"""
PER_TASK = 0.005
"""… and for each task listened to already this much longer (up to a second): their ids have to be repeated."""
ACKNOWLEDGED = 2.0
"""Seconds a new task is left to the stream that is being opened for it before it is polled after all."""
QUIET = 0.5
"""Seconds without a notification after which what a new stream has not told of is asked for."""
BURST = 5.0
"""… or this many seconds after it was acknowledged, however much it tells."""
STEADY = 5.0
"""A stream that ends sooner than this is opened again with growing pauses."""
RELEARN = 60.0
"""Seconds until a list that did not pay is tried again."""
LONGEST = 30.0
"""Seconds: the upper end of every pause that grows."""

_NEVER_HERE = {-32601, -32602, -32021}
"""JSON-RPC codes that say that this server has no such streams; others may pass."""


@dataclass(frozen=True)
class Listed:
    """One page of tasks: for each the seconds until it should be asked for again, or None when it has ended."""

    tasks: Mapping[str, float | None]
    cursor: str | None


class Stream(Protocol):
    """Told by the server, until it is over."""

    @property
    def honoured(self) -> Collection[str]:
        """The task ids the server agreed to tell of."""

    async def over(self) -> None:
        """Return when it has ended, whoever ended it."""

    def close(self) -> None: ...


class Asking(Protocol):
    """What can be asked of the server; every call is one request.

    Raises (all methods):
        ServerBusy: It wants to be left alone for a while.
        LabError: Anything else.
    """

    @property
    def lists(self) -> bool: ...

    @property
    def listens(self) -> bool: ...

    async def get(self, task_id: str) -> float | None:
        """Ask for one task; returns the seconds until the next time, or None when there will be none."""

    async def list(self, cursor: str | None) -> Listed: ...

    async def listen(self, task_ids: Collection[str]) -> Stream: ...


@dataclass
class _Plan:
    earliest: float
    """Not before this: the server's wish."""
    due: float
    ticket: int
    until: float
    """Up to this it waits for a stream that is still telling of others."""


class Watcher:
    """Keeps what is watched fresh, while `run` runs. Lives on one event loop, whose clock it uses.

    Args:
        asks: The server.
        chance: Source of the jitter.
    """

    def __init__(self, asks: Asking, chance: random.Random | None = None) -> None:
        self._asks = asks
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, hides nothing
        self._watched: dict[str, float] = {}
        self._preferred: tuple[str, ...] = ()
        self._tickets = itertools.count()
        self._turns = itertools.count()
        self._changed = asyncio.Event()
        self._wanting = asyncio.Event()
        self._polls: set[asyncio.Task[None]] = set()
        self._running = False
        self._renew()

    def _renew(self) -> None:
        """Forget what was true of the last connection, and have everything asked for anew."""
        self._plans: dict[str, _Plan] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._ready: dict[str, None] = {}
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._stream: Stream | None = None
        self._told = 0.0
        self._listening = self._running and self._asks.listens
        self._failures = 0
        self._declined: set[str] = set()
        self._page_of: dict[str, int] = {}
        self._unlisted: set[str] = set()
        self._list_again = 0.0
        self._held = 0.0
        self._holds = 0
        for task_id in self._watched:
            self._plan_uncovered(task_id, 0.0)

    # --- what is watched ---

    def watch(self, task_id: str, after: float) -> None:
        """Ask for a task from now on, the first time in `after` seconds; or by then be told of it."""
        self._watched[task_id] = after
        self._plan_uncovered(task_id, after)

    def ask(self, task_id: str) -> None:
        """Ask for a task at once, whatever is planned."""
        if task_id in self._busy:
            self._again.add(task_id)
        elif task_id in self._watched:
            self._plan(task_id, 0.0)

    def heard(self, task_id: str, after: float | None) -> None:
        """The server told of a task unasked, which is asked for again in `after` seconds, or never if None."""
        if task_id not in self._watched:
            return
        self._told = _now()
        if after is not None:
            self._watched[task_id] = after
        if after is None or self._covers(task_id):
            self._unplan(task_id)
        elif task_id not in self._busy:
            self._plan(task_id, after * TOLD)

    def forget(self, task_id: str) -> None:
        """Never ask for a task again."""
        self._watched.pop(task_id, None)
        self._unplan(task_id)
        self._again.discard(task_id)
        self._page_of.pop(task_id, None)
        self._unlisted.discard(task_id)
        self._declined.discard(task_id)
        if not self._watched and self._stream is not None:
            self._stream.close()
            self._stream = None

    def prefer(self, task_ids: Iterable[str]) -> None:
        """These are looked at: they go first, until the next call."""
        self._preferred = tuple(task_ids)

    # --- plans ---

    def _covers(self, task_id: str) -> bool:
        return self._stream is not None and task_id in self._stream.honoured

    def _plan(self, task_id: str, after: float, patience: float = 0.0) -> None:
        now = _now()
        self._ready.pop(task_id, None)
        due = now + after * (1 + JITTER * self._chance.random())
        plan = _Plan(now + after, due, next(self._tickets), now + patience)
        self._plans[task_id] = plan
        heapq.heappush(self._heap, (plan.due, plan.ticket, task_id))
        self._changed.set()

    def _plan_uncovered(self, task_id: str, after: float) -> None:
        """Leave it to a stream if there is to be one."""
        if self._listening and task_id not in self._declined:
            self._wanting.set()
            if not self._failures:
                after = max(after, ACKNOWLEDGED)
        self._plan(task_id, after)

    def _unplan(self, task_id: str) -> None:
        self._plans.pop(task_id, None)
        self._ready.pop(task_id, None)

    # --- polling ---

    async def run(self) -> None:
        """Refresh everything, then keep it fresh until cancelled. Sleeps while there is nothing to do."""
        self._running = True
        self._renew()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._poll())
                if self._listening:
                    group.create_task(self._listen(group))
        finally:
            self._running = False
            for poll in self._polls:
                poll.cancel()
            if self._stream is not None:
                self._stream.close()

    async def _poll(self) -> None:
        while True:
            self._changed.clear()
            now = _now()
            following = self._collect(now)
            if not self._ready:
                await self._wait(None if following is None else following - now)
            elif now < self._held:
                await self._wait(self._held - now)
            elif len(self._polls) >= IN_FLIGHT:
                await self._wait(None)
            elif self._list_pays(now):
                await self._walk(now)
            else:
                self._launch(self._next())

    async def _wait(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _collect(self, now: float) -> float | None:
        """Move what is due to the ready ones; returns when the next will be due."""
        while self._heap:
            due, ticket, task_id = self._heap[0]
            plan = self._plans.get(task_id)
            if plan is None or plan.ticket != ticket:
                heapq.heappop(self._heap)
            elif due > now:
                return due
            else:
                heapq.heappop(self._heap)
                if self._covers(task_id) and now < min(plan.until, self._told + QUIET):
                    heapq.heappush(self._heap, (self._told + QUIET, ticket, task_id))
                else:
                    self._ready[task_id] = None
        return None

    def _next(self) -> str:
        if next(self._turns) % FAIRNESS:
            for task_id in self._preferred:
                if task_id in self._ready:
                    return task_id
        return next(iter(self._ready))

    def _launch(self, task_id: str) -> None:
        self._unplan(task_id)
        self._busy.add(task_id)
        poll = asyncio.create_task(self._once(task_id))
        self._polls.add(poll)
        poll.add_done_callback(self._landed)

    def _landed(self, poll: asyncio.Task[None]) -> None:
        self._polls.discard(poll)
        self._changed.set()

    async def _once(self, task_id: str) -> None:
        try:
            after = await self._asks.get(task_id)
            self._holds = 0
        except ServerBusy as busy:
            self._hold(busy.retry_after)
            after = 0.0
        finally:
            self._busy.discard(task_id)
        again = task_id in self._again
        self._again.discard(task_id)
        if after is None or task_id not in self._watched:
            return
        self._watched[task_id] = max(FLOOR, after)
        if again or not self._covers(task_id):
            self._plan(task_id, FLOOR if again else max(FLOOR, after))

    def _hold(self, seconds: float | None) -> None:
        """Poll nothing for so long; without a wish of the server ever longer."""
        pause = min(LONGEST, 2.0**self._holds) if seconds is None else seconds
        self._holds += 1
        self._held = max(self._held, _now() + pause)

    # --- by list ---

    def _listable(self, now: float) -> list[str]:
        """What a list would be good for: may be asked for by now, and is in lists as far as is known."""
        return [
            task_id
            for task_id, plan in self._plans.items()
            if plan.earliest <= now and task_id not in self._unlisted and not self._covers(task_id)
        ]

    def _list_pays(self, now: float) -> bool:
        if now < self._list_again or not self._asks.lists or self._unlisted.issuperset(self._ready):
            return False
        listable = self._listable(now)
        pages = max((self._page_of.get(task_id, 1) for task_id in listable), default=0)
        if len(listable) > pages:
            return True
        self._list_again = now + FLOOR
        return False

    async def _walk(self, now: float) -> None:
        """Read pages until everything was seen, but never more of them than there are tasks to ask for."""
        wanted = dict.fromkeys(self._listable(now))
        cost = len(wanted)
        page, cursor, cursors = 0, None, set[str]()
        exhausted = False
        try:
            while wanted and page < cost and not exhausted:
                listed = await self._asks.list(cursor)
                page += 1
                for task_id, after in listed.tasks.items():
                    if task_id not in wanted:
                        continue
                    del wanted[task_id]
                    self._page_of[task_id] = page
                    self._unplan(task_id)
                    if after is not None and task_id in self._watched and task_id not in self._busy:
                        self._plan(task_id, max(FLOOR, after))
                cursor = listed.cursor
                exhausted = cursor is None or cursor in cursors
                cursors.add(cursor or "")
            self._holds = 0
        except ServerBusy as busy:
            self._hold(busy.retry_after)
            return
        except LabError:
            self._list_again = _now() + RELEARN
            return
        if exhausted:
            self._unlisted.update(task_id for task_id in wanted if task_id in self._watched)
        if cost - len(wanted) < page:
            self._list_again = _now() + RELEARN

    # --- by stream ---

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        while self._listening:
            await self._wanting.wait()
            repeated = 0 if self._stream is None else len(self._stream.honoured)
            await asyncio.sleep(max(SETTLE, min(1.0, PER_TASK * repeated)))
            if self._failures:
                await asyncio.sleep(min(LONGEST, 2.0**self._failures) * self._chance.random())
            self._wanting.clear()
            wanted = [task_id for task_id in self._watched if task_id not in self._declined]
            if all(map(self._covers, wanted)):
                continue
            try:
                stream = await self._asks.listen(wanted)
            except LabError as error:
                self._failures += 1
                self._listening = not (isinstance(error, PeerError) and error.code in _NEVER_HERE)
                self._poll_uncovered()
                continue
            self._take_up(stream, wanted)
            if self._stream is stream:
                group.create_task(self._outlive(stream))

    def _take_up(self, stream: Stream, wanted: Collection[str]) -> None:
        """Hear a stream that was acknowledged; only then does the one before it end."""
        before, self._stream = self._stream, stream
        self._told = _now()
        for task_id in wanted:
            if task_id not in self._watched:
                continue
            if task_id not in stream.honoured:
                self._declined.add(task_id)
                self.ask(task_id)
            elif before is None or task_id not in before.honoured:
                # What changed before the acknowledgement is told by many servers, but not by all.
                if task_id in self._busy:
                    self._again.add(task_id)
                else:
                    self._plan(task_id, max(QUIET, self._watched[task_id]), BURST)
        if before is not None:
            before.close()
        if not stream.honoured or not self._watched:
            self._listening = bool(stream.honoured)
            self._stream = None
            stream.close()

    async def _outlive(self, stream: Stream) -> None:
        opened = _now()
        await stream.over()
        if self._stream is stream:
            self._stream = None
            self._failures = self._failures + 1 if _now() < opened + STEADY else 0
            self._poll_uncovered()

    def _poll_uncovered(self) -> None:
        for task_id, after in self._watched.items():
            if not self._covers(task_id) and task_id not in self._busy:
                self._plan_uncovered(task_id, after)


def _now() -> float:
    return asyncio.get_running_loop().time()


def interval(hint_ms: int | None) -> float:
    """Seconds until the next poll, from the server's hint in milliseconds."""
    return DEFAULT if hint_ms is None else max(FLOOR, hint_ms / 1000)
