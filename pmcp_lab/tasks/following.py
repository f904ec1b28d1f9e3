"""A task's changes as they come, made of a backend's word that there are some.

`follow` is for one who waits for one task. `Followers` is for the many who are called: they share one watch of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextvars import Context
from functools import partial
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from pmcp_lab.errors import LabError, StoreError
from pmcp_lab.tasks.backends import Changes
from pmcp_lab.tasks.background import Background
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import TaskRecord
from pmcp_lab.tasks.stored_records import StoredRecords

logger = logging.getLogger(__name__)

_EXPIRY: Final = 30.0
"""Seconds within which it is noticed that a followed task has expired, and what that cost is given back."""

_AT_ONCE: Final = 500
"""Tasks whose expiry is looked at in one piece."""

_SAME: Final = 60.0
"""Seconds for which trouble with the storage is logged once, however many watches it breaks."""


async def follow(store: StoredRecords, owner: Owner, task_id: str, changes: Changes) -> AsyncGenerator[TaskRecord]:
    """The record now and after each change that anybody but its runner cares about; ends with the task.

    Raises:
        TaskNotFound: It is not there, or has gone.
    """
    seen = 0
    shown: TaskRecord | None = None
    while True:
        record = await store.get(owner, task_id)
        if record.seq > seen:
            seen = record.seq
            if shown is None or not record.live or _visible(record) != _visible(shown):
                shown = record
                yield record
        if not record.live:
            return
        try:
            left = None if record.expires is None else store.seconds_left(record.expires) + 0.001
            async with asyncio.timeout(left):
                await changes.wait()
        except TimeoutError:
            continue


def _visible(record: TaskRecord) -> TaskRecord:
    # A runner's heartbeats are nobody else's business.
    return replace(record, lease=None, seq=0)


class Shown:
    """A state of a task, the same object for all who follow it.

    Attributes:
        encoded: What the first of them has made of it, for the others.
    """

    __slots__ = ("encoded", "record")

    def __init__(self, record: TaskRecord) -> None:
        self.record = record
        self.encoded: Any = None


class Follower(Protocol):
    """Who is called, on the event loop it joined on; neither call may raise or take long."""

    def changed(self, shown: Shown) -> None:
        """The task as it is now. What came in between was not worth a call; a state that is terminal is the last."""
        ...

    def lost(self, task_id: str, error: LabError) -> None:
        """Nothing more will be heard of it: it has gone (`TaskNotFound`), or can't be read (`StoreError`)."""
        ...


class _Watched:
    """One task that is followed on one event loop."""

    __slots__ = ("followers", "key", "seen", "shown", "watch")

    def __init__(self, key: tuple[Owner, str], record: TaskRecord) -> None:
        self.key = key
        self.shown = Shown(record)
        self.seen = record.seq
        # Not a set: they are called in the order they came.
        self.followers: dict[Follower, None] = {}
        self.watch: asyncio.Task[None] | None = None

    def offer(self, record: TaskRecord) -> None:
        """The record as somebody has just read it, which need not be the newest one."""
        if record.seq <= self.seen:
            return
        self.seen = record.seq
        if record.live and _visible(record) == _visible(self.shown.record):
            return
        self.shown = Shown(record)
        for follower in tuple(self.followers):
            follower.changed(self.shown)


class _LoopState:
    """What is followed on one event loop."""

    def __init__(self) -> None:
        self.watched: dict[tuple[Owner, str], _Watched] = {}
        self.background = Background()
        self.sweeping: asyncio.TimerHandle | None = None


class Followers:
    """Those who are called when tasks of a store change. All who follow a task on one event loop share one watch of it.

    Args:
        expiry: Seconds within which it is noticed that a followed task has expired.
    """

    def __init__(self, store: StoredRecords, *, expiry: float = _EXPIRY) -> None:
        self._store = store
        self._expiry = expiry
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopState] = WeakKeyDictionary()
        self._said = ("", 0.0)

    @property
    def background(self) -> Background:
        """For what followers do when they are called, if there may be many of them."""
        return self._loop_state.background

    def join(self, record: TaskRecord, follower: Follower) -> None:
        """Call the follower with the task's present state, before this returns, and with each one to come.

        Args:
            record: The task, read just now; what has changed since then is not missed.
        """
        state, key = self._loop_state, (record.owner, record.task_id)
        watched = state.watched.get(key)
        if watched is None:
            if not record.live:
                follower.changed(Shown(record))
                return
            watched = state.watched[key] = _Watched(key, record)
            self._start(state, watched)
        else:
            watched.offer(record)
        if watched.shown.record.live:
            watched.followers[follower] = None
        follower.changed(watched.shown)

    def leave(self, owner: Owner, task_id: str, follower: Follower) -> None:
        """Call it no more about this task, if it was to be."""
        state = self._loop_state
        watched = state.watched.get((owner, task_id))
        if watched is None or follower not in watched.followers:
            return
        del watched.followers[follower]
        if not watched.followers:
            # A thousand watches that end at once would take longer than one turn of the event loop should.
            state.background.add(partial(self._stop, state, watched))

    @property
    def _loop_state(self) -> _LoopState:
        loop = asyncio.get_running_loop()
        state = self._loops.get(loop)
        if state is None:
            # What they have left keeps closed ones alive.
            for closed in [one for one in self._loops if one.is_closed()]:
                del self._loops[closed]
            state = self._loops[loop] = _LoopState()
        return state

    def _start(self, state: _LoopState, watched: _Watched) -> None:
        loop = asyncio.get_running_loop()
        # In an empty context: it is for everybody, and must not have the credentials of who came first.
        watched.watch = loop.create_task(self._watch(state, watched), name="watch of a task", context=Context())
        if state.sweeping is None:
            state.sweeping = loop.call_later(self._expiry, self._sweep, state, context=Context())

    def _stop(self, state: _LoopState, watched: _Watched) -> None:
        if not watched.followers and watched.watch is not None and state.watched.get(watched.key) is watched:
            del state.watched[watched.key]
            watched.watch.cancel()

    async def _watch(self, state: _LoopState, watched: _Watched) -> None:
        (owner, task_id), this = watched.key, watched.watch
        try:
            async with self._store.backend.watch(owner, task_id) as changes:
                while True:
                    record = await self._store.get(owner, task_id)
                    watched.offer(record)
                    if not record.live:
                        break
                    await changes.wait()
        except LabError as error:
            self._lose(watched, error)
        except Exception as error:
            logger.exception("the watch of task %s failed", task_id)
            self._lose(watched, StoreError(f"task {task_id} can't be watched: {error}"))
        finally:
            if state.watched.get(watched.key) is watched and watched.watch is this:
                del state.watched[watched.key]

    def _lose(self, watched: _Watched, error: LabError) -> None:
        if isinstance(error, StoreError):
            now = asyncio.get_running_loop().time()
            if self._said[0] != str(error) or now - self._said[1] > _SAME:
                logger.error("tasks can't be watched any more: %s", error)
                self._said = (str(error), now)
        followers, watched.followers = tuple(watched.followers), {}
        for follower in followers:
            follower.lost(watched.key[1], error)

    def _sweep(self, state: _LoopState) -> None:
        state.sweeping = None
        watched = tuple(state.watched.values())
        for start in range(0, len(watched), _AT_ONCE):
            state.background.add(partial(self._look_at, state, watched[start : start + _AT_ONCE]))
        if watched:
            loop = asyncio.get_running_loop()
            state.sweeping = loop.call_later(self._expiry, self._sweep, state, context=Context())

    def _look_at(self, state: _LoopState, some: tuple[_Watched, ...]) -> None:
        for watched in some:
            expires = watched.shown.record.expires
            gone = expires is not None and not self._store.seconds_left(expires)
            if gone and state.watched.get(watched.key) is watched and watched.watch:
                # It may have been given more time since: whoever begins to watch looks first.
                watched.watch.cancel()
                self._start(state, watched)
