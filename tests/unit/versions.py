"""Every version of every task in a store, in the order in which they were written, and what must be true of them.

What is recorded does not come from the code that is tested: SQLite writes it down by a trigger, Redis by `MONITOR`.
"""

from __future__ import annotations

import ast
import asyncio
import json
import re
import socket
import sqlite3
import threading
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs, urlsplit

from pmcp_lab.tasks import NO_RESULT, TaskRecord, open_store
from pmcp_lab.tasks.codec import decode_record

WRITER = re.compile(r"by (\d+)")
"""Tools under test put this, with their process' id, into everything they write."""

SPREAD = 10_000_000
"""What a process id is divided by to be a progress that says whose it is."""


class Version(NamedTuple):
    at: float
    """Seconds, by the clock of the storage."""
    record: TaskRecord


class Versions(Protocol):
    async def read(self) -> list[Version]:
        """All that was written until now."""
        ...


# --- recording them ---


class _InSqlite:
    def __init__(self, path: str) -> None:
        self._path = path
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("CREATE TABLE version (n INTEGER PRIMARY KEY, at REAL, seq INTEGER, data BLOB)")
            for event in ("INSERT", "UPDATE"):
                connection.execute(
                    f"CREATE TRIGGER after_{event} AFTER {event} ON task BEGIN INSERT INTO version (at, seq, data)"
                    " VALUES ((julianday('now') - 2440587.5) * 86400, new.seq, new.data); END"
                )

    async def read(self) -> list[Version]:
        with closing(sqlite3.connect(self._path)) as connection:
            rows = connection.execute("SELECT at, seq, data FROM version ORDER BY n").fetchall()
        return [Version(at, decode_record(data, seq=seq)) for at, seq, data in rows]


class _InRedis:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 6379)
        self._prefix = parse_qs(parts.query)["prefix"][0].encode()
        self._lines: list[bytes] = []
        self._socket = socket.create_connection(self._address)
        self._socket.sendall(b"MONITOR\r\n")
        self._stream = self._socket.makefile("rb")
        assert self._stream.readline() == b"+OK\r\n"
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for line in self._stream:
                if self._prefix in line or b'"ECHO"' in line:
                    self._lines.append(line)
        except (OSError, ValueError):
            return

    async def read(self) -> list[Version]:
        mark = uuid.uuid4().hex.encode()
        with socket.create_connection(self._address) as other:
            other.sendall(b"ECHO " + mark + b"\r\n")
            other.recv(100)
        async with asyncio.timeout(20):
            while not any(mark in line for line in reversed(self._lines)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return [version for line in tuple(self._lines) for version in self._in(line)]

    def _in(self, line: bytes) -> Iterator[Version]:
        at, _, rest = line[1:].partition(b" ")
        _, _, command = rest.partition(b"] ")
        if not command.startswith(b'"HSET" "' + self._prefix):
            return
        words = re.findall(rb'"(?:[^"\\]|\\.)*"', command)
        fields = [ast.literal_eval("b" + word.decode("ascii")) for word in words[2:]]
        stored = dict(zip(fields[::2], fields[1::2], strict=True))
        yield Version(float(at), decode_record(stored[b"d"], seq=int(stored[b"v"])))

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        self._stream.close()


@asynccontextmanager
async def recorded(url: str) -> AsyncIterator[Versions]:
    """What is written from now on to the empty store at this URL, `sqlite:///…` or `redis://…?prefix=…`."""
    if url.startswith("redis"):
        monitor = _InRedis(url)
        try:
            yield monitor
        finally:
            monitor.close()
    else:
        await open_store(url).close()
        yield _InSqlite(url.removeprefix("sqlite:///"))


@asynccontextmanager
async def checked(url: str, *, quota: int | None = None, timed: bool = True) -> AsyncIterator[Versions]:
    """The same, and what was written is checked at the end, as `violations` does.

    Raises:
        AssertionError: Something is wrong with it. An error from inside the block has that as a note.
    """
    async with recorded(url) as versions:
        try:
            yield versions
        except Exception as error:
            for wrong in violations(await versions.read(), quota=quota, timed=timed)[:20]:
                error.add_note(wrong)
            raise
        wrong_ones = violations(await versions.read(), quota=quota, timed=timed)
        assert not wrong_ones, "\n".join(wrong_ones)


# --- what must be true ---


def violations(versions: Sequence[Version], *, quota: int | None = None, timed: bool = True) -> list[str]:
    """What one holder at a time, and ends that stay, do not allow; see `_History`.

    Args:
        quota: Live tasks that an owner may have.
        timed: Whether the clock of whoever wrote a version tells the time.
    """
    found: list[str] = []
    histories: dict[str, _History] = {}
    live: dict[Any, set[str]] = defaultdict(set)
    for at, record in versions:
        history = histories.get(record.task_id)
        if history is None:
            history = histories[record.task_id] = _History(timed=timed)
        found += [f"{record.task_id} seq {record.seq}: {wrong}" for wrong in history.enter(at, record)]
        if record.live:
            live[record.owner].add(record.task_id)
        else:
            live[record.owner].discard(record.task_id)
        if quota is not None and len(live[record.owner]) > quota:
            found.append(f"{record.task_id} seq {record.seq}: {len(live[record.owner])} live tasks of {quota}")
    return found


def handed_back(versions: Sequence[Version]) -> set[str]:
    """Tasks that a run gave away unfinished, of its own will: their next run is of the same attempt."""
    found: set[str] = set()
    last: dict[str, TaskRecord] = {}
    for _, record in versions:
        before = last.get(record.task_id, record)
        given = record.live and _held(before) and not _held(record)
        if given and attempt(record) == attempt(before):
            found.add(record.task_id)
        last[record.task_id] = record
    return found


def _held(record: TaskRecord) -> bool:
    return record.lease is not None and not record.lease.free


class _History:
    """One task's versions so far, each checked against the one before it."""

    def __init__(self, *, timed: bool) -> None:
        self.timed = timed
        self.before: TaskRecord | None = None
        self.had: set[str] = set()
        self.renewed = 0.0

    def enter(self, at: float, record: TaskRecord) -> Iterator[str]:
        before, self.before = self.before, record
        if before is None:
            self.renewed = at
            if record.seq != 1:
                yield "its first version is not the first"
            return
        if record.seq != before.seq + 1:
            yield f"follows seq {before.seq}"
        if attempt(record) < attempt(before):
            yield f"attempt {attempt(before)} became {attempt(record)}"
        if not before.live and ended(before) != ended(record):
            yield f"it had ended, {ended(before)}, and became {ended(record)}"
        yield from self._holders(at, before, record)
        yield from self._hands(before, record)

    def _holders(self, at: float, before: TaskRecord, record: TaskRecord) -> Iterator[str]:
        """A run that has lost a task never has it again; it loses it by its own will or by silence."""
        held, holds = before.lease, record.lease
        if held is not None and holds is not None and held.version == holds.version and held.run == holds.run:
            return
        if held is not None and not held.free and (holds is None or holds.run != held.run):
            self.had.add(held.run)
            silent = at - self.renewed
            taken = record.live and holds is not None and not holds.free
            if taken and self.timed and silent < held.seconds - 0.05:
                yield f"{holds.run} took it from {held.run}, which had renewed it {silent:.2f} s before"
        if holds is not None:
            self.renewed = at
            if holds.run in self.had:
                yield f"{holds.run} has it again"

    def _hands(self, before: TaskRecord, record: TaskRecord) -> Iterator[str]:
        """What a process writes is written while it holds the task."""
        holder = before.last_run if before.lease is None else before.lease.run
        for place, text in sorted(hands(record) - hands(before)):
            for pid in WRITER.findall(text):
                if holder is None or f"-{pid}-" not in holder:
                    yield f"process {pid} wrote {place} {text[:200]} while {holder} had it"


def attempt(record: TaskRecord) -> int:
    return 1 if record.job is None else int(record.job.context.get("attempt", 1))


def ended(record: TaskRecord) -> str:
    """What may not change any more."""
    result = None if record.result is NO_RESULT else record.result
    return json.dumps([record.status, record.message, record.progress, result, record.error, attempt(record)])


def hands(record: TaskRecord) -> set[tuple[str, str]]:
    """Where in a record it says whose writing it is, and the whole text there."""
    places: dict[str, Any] = {"message": record.message, "error": record.error}
    places |= {f"variable {name}": value for name, value in record.variables.items()}
    places |= {f"question {key}": asked for key, asked in record.questions.items()}
    if record.result is not NO_RESULT:
        places["result"] = record.result
    if record.progress is not None and 0 < record.progress < 0.9:
        places["progress"] = f"by {round(record.progress * SPREAD)}"
    texts = {place: json.dumps(value) for place, value in places.items()}
    return {(place, text) for place, text in texts.items() if WRITER.search(text)}
