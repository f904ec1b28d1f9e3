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
from pmcp_lab.protocol.backoff import doubled

FLOOR = 0.1
"""Seconds that are left between two polls of a task, whatever its server says."""
DEFAULT = 1.0
"""Seconds between polls when the server has no wish."""
JITTER = 0.2
"""A poll comes up to this fraction of its interval late, so that tasks started together drift apart."""
IN_FLIGHT = 16
NOTIFIED = 5
"""A task that its server tells of unasked is polled this many times less often: those notifications are optional."""
FAIRNESS = 4
"""Of this many polls one goes to whoever waits longest, seen or not."""
SETTLE = 0.05
"""Seconds from a new task to the request that listens to it, so that tasks started together share it …"""
GATHER = 0.5
"""… and while others are listened to already."""
MERGE = 5.0
"""Seconds without new tasks after which several streams become one."""
ACKNOWLEDGED = 15.0
"""Seconds a new task is left to the stream that is being opened for it before it is polled after all."""
QUIET = 2.0
"""Seconds without a notification after which what a new stream has not told of is asked for …"""
BURST = 10.0
"""… or this many seconds after it was acknowledged, however much it tells."""
STEADY = 5.0
"""A stream that ends sooner than this is opened again with growing pauses."""
RELEARN = 60.0
"""Seconds until a list that failed is tried again; one that did not pay is tried sooner at first."""
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


class Poller:
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
        self._covering: dict[str, Stream] = {}
        self._streams: dict[Stream, int] = {}
        """How many watched tasks each open stream tells of."""
        self._last_heard = 0.0
        self._listening = self._running and self._asks.listens
        self._failures = 0
        self._declined: set[str] = set()
        self._page_of: dict[str, int] = {}
        self._unlisted: set[str] = set()
        self._list_again = 0.0
        self._misses = 0
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
        self._last_heard = _now()
        if after is not None:
            self._watched[task_id] = after
        if after is None or self._covers(task_id):
            self._unplan(task_id)
        elif task_id not in self._busy:
            self._plan(task_id, after * NOTIFIED)

    def forget(self, task_id: str) -> None:
        """Never ask for a task again."""
        self._watched.pop(task_id, None)
        self._unplan(task_id)
        self._again.discard(task_id)
        self._page_of.pop(task_id, None)
        self._unlisted.discard(task_id)
        self._declined.discard(task_id)
        self._uncover(task_id)

    def prefer(self, task_ids: Iterable[str]) -> None:
        """These are looked at: they go first, until the next call."""
        self._preferred = tuple(task_ids)

    # --- plans ---

    def _covers(self, task_id: str) -> bool:
        return task_id in self._covering

    def _uncover(self, task_id: str) -> None:
        """No stream is needed for it any more; one that nothing needs ends."""
        stream = self._covering.pop(task_id, None)
        if stream is not None and stream in self._streams:
            self._streams[stream] -= 1
            if not self._streams[stream]:
                del self._streams[stream]
                stream.close()

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
            for stream in self._streams:
                stream.close()

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
                if self._covers(task_id) and now < min(plan.until, self._last_heard + QUIET):
                    heapq.heappush(self._heap, (self._last_heard + QUIET, ticket, task_id))
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
        pause = doubled(self._holds, 1.0, LONGEST) if seconds is None else seconds
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
                    wanted.pop(task_id, None)
                    # Who is not due yet is fresh as well, and comes with the others from now on.
                    if task_id not in self._plans or self._covers(task_id):
                        continue
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
        else:
            # As far as is known by now: a list is read for them when there are more of them than pages.
            self._page_of.update(dict.fromkeys(wanted, page + 1))
        if cost - len(wanted) >= page:
            self._misses = 0
        else:
            self._list_again = _now() + doubled(self._misses, FLOOR, RELEARN)
            self._misses += 1

    # --- by stream ---

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        """Listen to what is new. A new stream takes over those that are not much larger than it, so that there are
        few, and few ids are sent again; when nothing new comes, one takes over all."""
        while self._listening:
            if not await self._anything_new():
                absorbed = list(self._streams)
            else:
                await asyncio.sleep(GATHER if self._streams else SETTLE)
                if self._failures:
                    await asyncio.sleep(doubled(self._failures, 1.0, LONGEST) * self._chance.random())
                self._wanting.clear()
                absorbed = []
            wanted = [i for i in self._watched if i not in self._covering and i not in self._declined]
            if not wanted and len(absorbed) < 2:
                continue
            size = len(wanted)
            for stream, load in sorted(self._streams.items(), key=lambda item: item[1]):
                if load <= 2 * size and stream not in absorbed:
                    absorbed.append(stream)
                    size += load
            wanted += [task_id for task_id, stream in self._covering.items() if stream in absorbed]
            try:
                stream = await self._asks.listen(wanted)
            except LabError as error:
                self._failures += 1
                self._listening = not (isinstance(error, PeerError) and error.code in _NEVER_HERE)
                self._poll_uncovered()
                continue
            self._take_up(stream, wanted)
            if stream in self._streams:
                group.create_task(self._outlive(stream))

    async def _anything_new(self) -> bool:
        try:
            async with asyncio.timeout(MERGE if len(self._streams) > 1 else None):
                await self._wanting.wait()
        except TimeoutError:
            return False
        return True

    def _take_up(self, stream: Stream, wanted: Collection[str]) -> None:
        """Hear a stream that was acknowledged; only then do those end that it takes over from."""
        self._last_heard = _now()
        self._streams[stream] = 1  # its own, so that it does not end before all are counted
        honoured = set(stream.honoured)
        for task_id in wanted:
            if task_id not in self._watched:
                continue
            known = self._covers(task_id)
            self._uncover(task_id)
            if task_id not in honoured:
                self._declined.add(task_id)
                self.ask(task_id)
                continue
            self._covering[task_id] = stream
            self._streams[stream] += 1
            if known:
                continue
            # What changed before the acknowledgement is told by many servers, but not by all.
            if task_id in self._busy:
                self._again.add(task_id)
            else:
                self._plan(task_id, max(QUIET, self._watched[task_id]), BURST)
        self._streams[stream] -= 1
        if not self._streams[stream]:
            del self._streams[stream]
            stream.close()

    async def _outlive(self, stream: Stream) -> None:
        opened = _now()
        await stream.over()
        if self._streams.pop(stream, None) is not None:
            for task_id in [task_id for task_id, other in self._covering.items() if other is stream]:
                del self._covering[task_id]
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
