"""Writing to a SQLite file: who does it, and when. What is written is in `sqlite`.

A caller goes on only after the commit of its own write. The first write of a turn of the event loop is done at once,
those that are asked for in the same turn after it are committed together: one transaction, one trip to the file. As
long as nobody else writes, the loop that asks does it itself, because handing a short write to a thread costs several
times the write; what would have to wait (another process is writing, the log is to be moved into the file) is the
business of the one thread here.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks.backends import Conflict, QuotaReached

T = TypeVar("T")

_TOGETHER: Final = 128
"""Writes per transaction at most: other processes want their turn."""

_AT_ONCE: Final = 64
"""Writes that an event loop does in one go before it looks after its other tasks."""

_CHECKPOINT: Final = 2_000
"""Pages in the log (8 MB) after which it is moved into the file."""

_SOONEST: Final = 0.05
_LATEST: Final = 0.6
"""Seconds between two looks for other processes' writes: while there are some, and when there have been none."""


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    loop: asyncio.AbstractEventLoop
    reply: asyncio.Future[Any] | None = None
    """For whoever waits; None while nobody has to."""
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Runs functions of a connection, each in a transaction that may hold others.

    A function raises `Conflict` or `QuotaReached` before it has changed a task.

    Args:
        connection: Used by nobody else, once a job has been submitted.
        path: For messages.
        timeout: Seconds to wait for another process that writes.
        watching: Whether somebody wants to know what other processes write.
        notice: Looks whether other processes have written; run in every transaction before its functions, and while
            somebody is watching.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: str,
        *,
        timeout: float,
        watching: Callable[[], bool],
        notice: Callable[[sqlite3.Connection], bool],
    ) -> None:
        self._connection = connection
        self._path = path
        self._timeout = timeout
        self._watching = watching
        self._notice = notice
        self._using = threading.Lock()
        """Held by who uses the connection."""
        self._gathered: WeakKeyDictionary[asyncio.AbstractEventLoop, list[_Job]] = WeakKeyDictionary()
        self._queue: queue.SimpleQueue[Sequence[_Job] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._unwritten: dict[tuple[asyncio.AbstractEventLoop, Hashable], asyncio.Future[Any]] = {}
        self._closed = False
        self._serving = False
        self._postponed: set[asyncio.AbstractEventLoop] = set()
        self._logged = 0
        connection.execute("PRAGMA busy_timeout = 0")

    async def run(self, work: Callable[[sqlite3.Connection], T], row: Hashable = None) -> T:
        """What `work` returns, once it is committed.

        Args:
            row: What it writes, for `written`.

        Raises:
            Conflict, QuotaReached: From `work`.
            StoreError: The file could not be written, or the store is closed.
        """
        loop = asyncio.get_running_loop()
        job = _Job(work, loop)
        gathered = self._gathered.get(loop)
        first = gathered is None
        if gathered is None:
            gathered = self._gathered[loop] = []
            loop.call_soon(self._write, loop)
        if not first or not self._try([job]):
            job.reply = loop.create_future()
            gathered.append(job)
            self._unwritten[loop, row] = job.reply
            try:
                await job.reply
            finally:
                if self._unwritten.get((loop, row)) is job.reply:
                    del self._unwritten[loop, row]
        if job.error is not None:
            raise job.error
        result: T = job.result
        return result

    async def written(self, row: Hashable) -> None:
        """Wait until what this loop has asked to be written to the row is committed, or has failed."""
        if self._unwritten and (reply := self._unwritten.get((asyncio.get_running_loop(), row))):
            # Not the reply itself: whoever gives up reading takes no write back.
            await asyncio.wait([reply])

    def read(self, query: str, parameters: Sequence[Any]) -> list[Any] | None:
        """The rows, on the caller's thread; None when the connection is in use."""
        if not self._using.acquire(blocking=False):
            return None
        try:
            return self._connection.execute(query, parameters).fetchall()
        finally:
            self._using.release()

    async def close(self) -> None:
        """Finish what this loop has submitted, and close the connection."""
        loop = asyncio.get_running_loop()
        while loop in self._gathered:
            self._write(loop, closing=True)
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        with self._lock:
            first, self._closed = not self._closed, True
            thread = self._thread
            if first:
                self._queue.put(None)
        if thread is not None:
            thread.join()
        with self._using:
            self._connection.close()

    def _write(self, loop: asyncio.AbstractEventLoop, *, closing: bool = False) -> None:
        """Do what the loop's tasks asked for since it last came by here; on its thread."""
        gathered = self._gathered.pop(loop, [])
        batch = gathered[:_AT_ONCE]
        if len(gathered) > _AT_ONCE:
            self._gathered[loop] = gathered[_AT_ONCE:]
            loop.call_soon(self._write, loop)
        if not batch:
            return
        if self._try(batch):
            _answer(batch)
        elif closing or not self._postpone(loop):
            self._hand_over(batch)
        else:
            self._gathered[loop] = batch + self._gathered.get(loop, [])

    def _postpone(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Have the loop write once the thread is done, if it is that which is in the way.

        The thread could write for it, but it would have to wait for the interpreter after every statement, 5 ms each
        while the loop is busy.
        """
        with self._lock:
            if self._serving:
                self._postponed.add(loop)
            return self._serving

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The thread's use of the connection."""
        with self._lock:
            self._serving = True
        try:
            with self._using:
                yield
        finally:
            with self._lock:
                self._serving = False
                postponed, self._postponed = self._postponed, set()
            for loop in postponed:
                # A closed loop has nobody left to write for.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._write, loop)

    def _try(self, batch: Sequence[_Job]) -> bool:
        """Commit the batch on this thread; false when somebody is in the way."""
        if self._closed or not self._using.acquire(blocking=False):
            return False
        try:
            done = self._commit(batch)
            due = self._logged >= _CHECKPOINT
        finally:
            self._using.release()
        if done and due:
            self._hand_over(())
        return done

    def _hand_over(self, batch: Sequence[_Job]) -> None:
        # Under the lock, so that nothing comes after the end mark and waits for ever.
        with self._lock:
            if not self._closed:
                self._queue.put(batch)
                self._awake()
                return
        for job in batch:
            job.error = StoreError(f"the store {self._path} is closed")
        _answer(batch)

    def watch(self) -> None:
        """Somebody has begun to watch: look for what others write from now on."""
        self._hand_over(())

    def _awake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="pmcp-lab-sqlite", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        pause = _SOONEST
        while True:
            try:
                asked = [self._queue.get(timeout=pause if self._watching() else None)]
            except queue.Empty:
                began = time.monotonic()
                with self._turn():
                    wrote = self._others_wrote()
                # Who watches much looks less often.
                took = time.monotonic() - began
                pause = max(_SOONEST, 10 * took) if wrote else min(_LATEST, pause * 1.5)
                continue
            with suppress(queue.Empty):
                while asked[-1] is not None and len(asked) < _TOGETHER:
                    asked.append(self._queue.get_nowait())
            batch = [job for jobs in asked if jobs is not None for job in jobs]
            with self._turn():
                for start in range(0, len(batch), _TOGETHER):
                    self._commit(batch[start : start + _TOGETHER], patiently=True)
                if not batch and self._logged >= _CHECKPOINT:
                    self._checkpoint()
            for loop in {job.loop for job in batch}:
                # A closed loop has nobody left to answer.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(_answer, [job for job in batch if job.loop is loop])
            if asked[-1] is None:
                return
            # What somebody here does is often answered by somebody there.
            pause = _SOONEST

    def _commit(self, batch: Sequence[_Job], *, patiently: bool = False) -> bool:
        """Run all of them in one transaction; false when another process is in the way."""
        if not batch:
            return True
        connection = self._connection
        try:
            if patiently:
                connection.execute(f"PRAGMA busy_timeout = {int(self._timeout * 1000)}")
            connection.execute("BEGIN IMMEDIATE")
            self._notice(connection)
            for job in batch:
                try:
                    job.result = job.work(connection)
                except (Conflict, QuotaReached, StoreError) as error:
                    job.error = error
            connection.execute("COMMIT")
            # About: the last pages of the indexes, and one elsewhere for each job.
            self._logged += 4 + len(batch)
        except Exception as error:
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            if not patiently and isinstance(error, sqlite3.Error) and busy(error):
                for job in batch:
                    job.result = job.error = None
                return False
            said = f"the store {self._path} can't be written: {error}"
            for job in batch:
                job.error = StoreError(said) if isinstance(error, sqlite3.Error) else error
        finally:
            if patiently:
                connection.execute("PRAGMA busy_timeout = 0")
        return True

    def _checkpoint(self) -> None:
        """Move the log into the file. Nobody here writes meanwhile: a log that goes on growing is never begun anew."""
        self._logged = 0
        # It is done by halves while somebody reads, and not at all while somebody else does it: the next one will.
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _others_wrote(self) -> bool:
        with suppress(sqlite3.Error):
            return self._notice(self._connection)
        return False


def busy(error: sqlite3.Error) -> bool:
    """Whether somebody else is using what was asked for."""
    # The low byte is the kind of error, the rest its circumstances.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _answer(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        # Whoever was cancelled while waiting does not want it any more.
        if job.reply is not None and not job.reply.done():
            job.reply.set_result(None)
