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
from pmcp_lab.tasks.backends.sqlite_file import StoreFile
from pmcp_lab.tasks.backends.sqlite_log import Log
from pmcp_lab.tasks.backends.sqlite_place import Place
from pmcp_lab.tasks.backends.sqlite_trouble import TROUBLE, busy, read_only, trouble

T = TypeVar("T")

_TOGETHER: Final = 128
"""Writes per transaction at most: other processes want their turn."""

_AT_ONCE: Final = 64
"""Writes that an event loop does in one go before it looks after its other tasks."""

_BYTES: Final = 1_048_576
"""Bytes of records per transaction, unless a single one is bigger: the log must hold all of it."""

_SOONEST: Final = 0.05
_LATEST: Final = 0.6
"""Seconds between two looks for other processes' writes: while there are some, and when there have been none."""


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    loop: asyncio.AbstractEventLoop
    size: int
    alone: bool
    reply: asyncio.Future[Any] | None = None
    """For whoever waits; None while nobody has to."""
    result: Any = None
    error: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        try:
            self.result = self.work(connection)
        except (Conflict, QuotaReached, StoreError) as error:
            self.error = error


class Writer:
    """Runs functions of a connection, each in a transaction that may hold others.

    A function raises `Conflict` or `QuotaReached` before it has changed a task.

    Args:
        file: Its first connection is used by nobody else, once a job has been submitted.
        place: Looked at before each transaction.
        timeout: Seconds to wait for another process that writes.
        watching: Whether somebody wants to know what other processes write.
        notice: Looks whether other processes have written; run in every transaction before its functions, and while
            somebody is watching.
    """

    def __init__(
        self,
        file: StoreFile,
        place: Place,
        *,
        timeout: float,
        watching: Callable[[], bool],
        notice: Callable[[sqlite3.Connection], bool],
    ) -> None:
        self._connection = file.connection
        self._path = file.path
        self._writable = file.writable
        self._place = place
        self._log = Log(file, place)
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
        self._saved = False
        self._connection.execute("PRAGMA busy_timeout = 0")
        if self._log.due:
            # Left by processes that were killed.
            self._log.move(self._connection)

    async def run(
        self,
        work: Callable[[sqlite3.Connection], T],
        row: Hashable = None,
        *,
        size: int = 0,
        alone: bool = False,
        apart: bool = False,
        reads: bool = False,
    ) -> T:
        """What `work` returns, once it is committed.

        Args:
            row: What it writes, for `written`.
            size: Bytes that it writes, about.
            alone: Needs no transaction, because it is a single statement.
            apart: Takes long: is done by the thread, and by itself.
            reads: Writes nothing.

        Raises:
            Conflict, QuotaReached: From `work`.
            StoreError: The file could not be written, or the store is closed.
        """
        if not self._writable and not reads:
            raise read_only(self._path)
        loop = asyncio.get_running_loop()
        # With others, it would be in their transaction.
        job = _Job(work, loop, _BYTES + 1 if apart else size, alone)
        if apart:
            job.reply = loop.create_future()
            self._hand_over([job])
            await job.reply
        else:
            await self._write_soon(job, loop, row)
        if job.error is not None:
            raise job.error
        result: T = job.result
        return result

    async def _write_soon(self, job: _Job, loop: asyncio.AbstractEventLoop, row: Hashable) -> None:
        gathered = self._gathered.get(loop)
        first = gathered is None
        if gathered is None:
            gathered = self._gathered[loop] = []
            loop.call_soon(self._write, loop)
        if first and self._try([job]):
            return
        job.reply = loop.create_future()
        gathered.append(job)
        self._unwritten[loop, row] = job.reply
        try:
            await job.reply
        finally:
            if self._unwritten.get((loop, row)) is job.reply:
                del self._unwritten[loop, row]

    async def settle(self) -> None:
        """Move the log into the file."""
        await self.run(self._log.move, alone=True, apart=True)

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
        batch = gathered[: _fitting(gathered, _AT_ONCE)]
        if len(gathered) > len(batch):
            self._gathered[loop] = gathered[len(batch) :]
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
        """Have the loop write once the thread is done, if it is that which is in the way, or soon will be.

        The thread could write for it, but it would have to wait for the interpreter after every statement, 5 ms each
        while the loop is busy.
        """
        with self._lock:
            to_do = self._to_do() and not self._closed
            if to_do and not self._serving:
                self._queue.put(())
                self._awake()
            if to_do or self._serving:
                self._postponed.add(loop)
            return to_do or self._serving

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
        # The thread would hardly get its turn while a loop goes on writing.
        if self._closed or self._to_do() or not self._using.acquire(blocking=False):
            return False
        try:
            done = self._commit(batch)
            to_do = self._to_do()
        finally:
            self._using.release()
        if done and to_do:
            self._hand_over(())
        return done

    def _to_do(self) -> bool:
        """Whether the thread has something to do with the log before anything else is written."""
        return self._log.due or (self._place.log_lost and not self._saved)

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
                while batch:
                    piece = batch[: _fitting(batch, _TOGETHER)]
                    del batch[: len(piece)]
                    self._commit(piece, wait=True)
                    for loop in {job.loop for job in piece}:
                        # A closed loop has nobody left to answer.
                        with suppress(RuntimeError):
                            loop.call_soon_threadsafe(_answer, [job for job in piece if job.loop is loop])
                    self._care_for_log()
                self._care_for_log()
            if asked[-1] is None:
                return
            # What somebody here does is often answered by somebody there.
            pause = _SOONEST

    def _commit(self, batch: Sequence[_Job], *, wait: bool = False) -> bool:
        """Run all of them in one transaction; false when another process is in the way.

        Args:
            wait: For that process, as long as the store's timeout; with this it is never false.
        """
        if not batch:
            return True
        connection = self._connection
        try:
            self._place.check()
            if wait:
                connection.execute(f"PRAGMA busy_timeout = {int(self._timeout * 1000)}")
            if batch[0].alone and len(batch) == 1:
                batch[0].run(connection)
            else:
                connection.execute("BEGIN IMMEDIATE" if self._writable else "BEGIN")
                self._notice(connection)
                for job in batch:
                    job.run(connection)
                connection.execute("COMMIT")
        except Exception as error:
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            if not wait and isinstance(error, sqlite3.Error) and busy(error):
                for job in batch:
                    job.result = job.error = None
                return False
            said = trouble(error, self._path, "written") if isinstance(error, TROUBLE) else error
            for job in batch:
                job.error = said
            return True
        finally:
            if wait:
                connection.execute("PRAGMA busy_timeout = 0")
        if self._writable:
            self._log.wrote(connection, len(batch), sum([job.size for job in batch]))
        return True

    def _care_for_log(self) -> None:
        if self._place.log_lost and not self._saved:
            self._saved = True
            self._log.save(self._connection)
        elif self._log.due:
            # What is wrong is said to the next who writes.
            with suppress(StoreError):
                self._log.move(self._connection)

    def _others_wrote(self) -> bool:
        with suppress(StoreError):
            self._place.check()
        with suppress(*TROUBLE):
            return self._notice(self._connection)
        return False


def _fitting(jobs: Sequence[_Job], most: int) -> int:
    """How many of the jobs go into one transaction, from the first on."""
    size = 0
    for count, job in enumerate(jobs[:most]):
        size += job.size
        if size > _BYTES and count:
            return count
    return min(len(jobs), most)


def _answer(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        # Whoever was cancelled while waiting does not want it any more.
        if job.reply is not None and not job.reply.done():
            job.reply.set_result(None)
