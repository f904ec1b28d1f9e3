"""The one thread of a process that writes to a SQLite file. What it writes is in `sqlite`.

Writes that wait at the same time are committed together: one transaction, one trip to the file. A caller goes on
only after the commit of its own write.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks.backends import Conflict, QuotaReached

T = TypeVar("T")

_TOGETHER: Final = 128
"""Writes per transaction at most: other processes want their turn."""

_SOONEST: Final = 0.05
_LATEST: Final = 0.5
"""Seconds between two looks for other processes' writes: while there are some, and when there have been none."""


@dataclass(slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    loop: asyncio.AbstractEventLoop
    reply: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Runs functions of a connection, each in a transaction that may hold others.

    A function raises `Conflict` or `QuotaReached` before it has changed a task.

    Args:
        connection: Used by this thread only, once a job has been submitted.
        path: For messages.
        watching: Whether somebody wants to know what other processes write.
        look: Tells them what; run on this thread, as the next.
        undone: A transaction was rolled back.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: str,
        *,
        watching: Callable[[], bool],
        look: Callable[[sqlite3.Connection], None],
        undone: Callable[[sqlite3.Connection], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._watching = watching
        self._look = look
        self._undone = undone
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._version = 0

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, once it is committed.

        Raises:
            Conflict, QuotaReached: From `work`.
            StoreError: The file could not be written, or the store is closed.
        """
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future())
        # Under the lock, so that nothing comes after the end mark and waits for ever.
        with self._lock:
            if self._closed:
                raise StoreError(f"the store {self._path} is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="pmcp-lab-sqlite", daemon=True)
                self._thread.start()
            self._queue.put(job)
        result: T = await job.reply
        return result

    def close(self) -> None:
        """Finish what was submitted and close the connection; blocks until that is done."""
        with self._lock:
            first, self._closed = not self._closed, True
            thread = self._thread
            if first:
                self._queue.put(None)
        if thread is not None:
            thread.join()
        self._connection.close()

    def _serve(self) -> None:
        pause = _SOONEST
        while True:
            try:
                jobs: list[_Job | None] = [self._queue.get(timeout=pause if self._watching() else None)]
            except queue.Empty:
                pause = _SOONEST if self._others_wrote() else min(_LATEST, pause * 1.5)
                continue
            with suppress(queue.Empty):
                while jobs[-1] is not None and len(jobs) < _TOGETHER:
                    jobs.append(self._queue.get_nowait())
            batch = [job for job in jobs if job is not None]
            if batch:
                self._commit(batch)
            if jobs[-1] is None:
                return
            # What somebody here does is often answered by somebody there.
            pause = _SOONEST

    def _commit(self, batch: list[_Job]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            if self._watching():
                self._look(connection)
            for job in batch:
                try:
                    job.result = job.work(connection)
                except (Conflict, QuotaReached, StoreError) as error:
                    job.error = error
            connection.execute("COMMIT")
        except Exception as error:
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._undone(connection)
            said = f"the store {self._path} can't be written: {error}"
            for job in batch:
                job.error = StoreError(said) if isinstance(error, sqlite3.Error) else error
        for loop in {job.loop for job in batch}:
            # A closed loop has nobody left to answer.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_answer, [job for job in batch if job.loop is loop])

    def _others_wrote(self) -> bool:
        """Whether the file has changed by other connections than this one; tells about it then."""
        with suppress(sqlite3.Error):
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                self._version = version
                self._look(self._connection)
                return True
        return False


def _answer(jobs: list[_Job]) -> None:
    for job in jobs:
        # Whoever was cancelled while waiting does not want it any more.
        if job.reply.done():
            continue
        if job.error is not None:
            job.reply.set_exception(job.error)
        else:
            job.reply.set_result(job.result)
