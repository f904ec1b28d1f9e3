"""A sweep on disk: its arguments, order and answers, so that it outlives the kernel. One file each, its owner's alone.

The first line says what it is, the second all else of it that stays; then comes a line per row, with its arguments, and
one for whatever happened to a row. Arguments and answers may be secrets: `lab.session.remember = False` keeps none.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pmcp_lab.client.tasks.call import Call
from pmcp_lab.client.tasks.held_file import HeldFile
from pmcp_lab.client.tasks.history import History
from pmcp_lab.client.tasks.kept_index import index_in, index_out
from pmcp_lab.errors import ConnectionClosed, LabError, PeerError, TaskCancelled, TaskFailed, TaskNotFound, ToolError

VERSION = 1
KEPT = 100
"""Sets kept of one notebook and server; those that nothing happened to for longest are forgotten."""
AGE = 30 * 86_400
"""Seconds for which a set is kept after the last thing that happened to it."""
ANSWER_LIMIT = 1_000_000
"""Bytes of an answer that is kept."""
SIZE_LIMIT = 64_000_000
"""Bytes of a file, beyond which no more answers are kept."""
AGAIN = {"again": True}
"""What happened to a row that is to be started anew: nothing of before counts."""


@dataclass
class KeptRow:
    """What is known of a row.

    Args:
        task: The server's id of its task.
        begun: When it was started (ms since the epoch), or None.
        end: How it ended: `result`, `error` or `cancelled`, and `ended` (ms since the epoch); empty before.
        left_out: Bytes of an answer that was too large to be kept.
    """

    arguments: dict[str, Any]
    task: str | None = None
    begun: int | None = None
    end: dict[str, Any] = field(default_factory=dict)
    left_out: int | None = None

    @property
    def over(self) -> bool:
        return bool(self.end)

    def happened(self, event: Mapping[str, Any]) -> None:
        """Take in a line of the file."""
        begun = event.get("begun")
        if isinstance(begun, int) or event.get("again") is True:
            self.task, self.begun, self.end, self.left_out = None, begun if isinstance(begun, int) else None, {}, None
        if isinstance(task := event.get("task"), str):
            self.task = task
        if isinstance(size := event.get("left_out"), int):
            self.left_out = size
        how = {name: event[name] for name in ("result", "error", "cancelled") if name in event}
        if how and isinstance(event.get("ended"), int):
            self.end = {**how, "ended": event["ended"]}

    def overtakes(self, call: Call) -> bool:
        """Whether another kernel has started the row (again) that `call` is here."""
        if call.queued:
            return self.over or self.begun is not None
        return self.task != call.id if self.task is not None else (self.begun or 0) > call.started

    def recall(self, call: Call) -> None:
        """Make a call what is known of this one; where it has not ended then, its server is to be asked."""
        call.begin(self.begun or call.started)
        if self.task is not None:
            call.identify(self.task)
            call.message = "asking the server what became of it"
        if self.over:
            self._finish(call)
        elif self.task is None and self.left_out:
            call.fail(LabError(f"{call.where}: its answer was too large to be kept ({self.left_out / 1e6:.1f} MB)"))
        elif self.task is None:
            why = "was being started when its kernel ended: whether its server has it is not known"
            call.fail(ConnectionClosed(f"{call.where} {why}"))

    def _finish(self, call: Call) -> None:
        call.message = None
        error = self.end.get("error")
        if isinstance(result := self.end.get("result"), dict):
            call.finish(result)
        elif isinstance(error, dict):
            call.fail(_error(error, self.task or ""))
        else:
            call.cancelled()
        call.ended = call.updated = self.end["ended"]
        call.history = History()
        call.history.look(call.updated, call.status, call.message, call.progress, call.variables)

    def events(self) -> Iterator[dict[str, Any]]:
        """The lines that tell it."""
        if self.begun is not None:
            yield {"begun": self.begun}
        if self.task is not None:
            yield {"task": self.task}
        if self.left_out is not None:
            yield {"left_out": self.left_out}
        if self.end:
            yield self.end


def ending(call: Call) -> dict[str, Any]:
    """How a call ended, as `KeptRow.end` has it; empty where that is not known for good."""
    failure = call.failure
    if isinstance(failure, ConnectionClosed | TaskNotFound):
        return {}
    if isinstance(failure, TaskCancelled):
        end: dict[str, Any] = {"cancelled": failure.message}
    elif call.outcome is not None:
        end = {"result": call.outcome.raw}
    elif isinstance(failure, ToolError):
        end = {"result": failure.result}
    else:
        code = failure.code if isinstance(failure, LabError) else None
        end = {"error": {"kind": type(failure).__name__, "message": str(failure), "code": code}}
    return {"ended": call.ended, **end}


def lost(call: Call) -> bool:
    """Whether it will never be known what came of it."""
    return isinstance(call.failure, TaskNotFound) or (isinstance(call.failure, ConnectionClosed) and call.id is None)


def _key(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, sort_keys=True, default=repr)


def _error(said: Mapping[str, Any], task_id: str) -> BaseException:
    message, code = str(said.get("message") or "failed"), said.get("code")
    code = code if isinstance(code, int) else None
    match said.get("kind"):
        case "TimeoutError":
            return TimeoutError(message)
        case "TaskFailed":
            return TaskFailed(message, task_id, code=code)
        case "PeerError":
            return PeerError(message, code=code)
        case _:
            return LabError(message)


@dataclass
class KeptSet:
    """A set.

    Args:
        tool: The description of its tool, as it was.
        index: What the rows are called.
        created: Ms since the epoch.
        ttl: Milliseconds asked for.
        timeout: Seconds each may run.
        columns: Those that were chosen in its table.
    """

    name: str
    tool: Mapping[str, Any]
    index: Any
    rows: list[KeptRow]
    created: int
    concurrency: int
    ttl: int | None
    timeout: float | None
    columns: list[str] = field(default_factory=list)

    def places(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[int | None], list[int]]:
        """Where each of other rows is in this set, by its arguments; and which of this set are not among them."""
        spare: defaultdict[str, deque[int]] = defaultdict(deque)
        for place, row in enumerate(self.rows):
            spare[_key(row.arguments)].append(place)
        found = [spare[key].popleft() if spare[key := _key(row)] else None for row in rows]
        return found, sorted(itertools.chain.from_iterable(spare.values()))

    def lines(self) -> list[str]:
        """The file as it begins."""
        tool = {name: self.tool[name] for name in ("name", "inputSchema", "outputSchema") if name in self.tool}
        head = {"pmcp_lab_set": VERSION, "name": self.name, "rows": len(self.rows), "created": self.created}
        settings: dict[str, Any] = {"concurrency": self.concurrency, "ttl": self.ttl, "timeout": self.timeout}
        settings["columns"] = self.columns
        found = [json.dumps(head), json.dumps({"tool": tool, "index": index_out(self.index), **settings})]
        for place, row in enumerate(self.rows):
            found.append(json.dumps({"row": place, "arguments": row.arguments}))
            found += [json.dumps({"row": place, **event}) for event in row.events()]
        return found


class SetFile(HeldFile):
    """The file of one set. Who works on it holds it, so that no other kernel starts its rows as well."""

    trouble: str | None = None
    """Why nothing can be kept, once that has been found out."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.jsonl")
        self.name = name
        self._writing = threading.Lock()

    def write(self, kept: KeptSet) -> bool:
        """Begin it anew; whether that could be done. Who calls this holds it."""
        new = self.path.with_suffix(f".{secrets.token_hex(4)}.new")
        try:
            text = "\n".join(kept.lines()) + "\n"
            if len(text) > SIZE_LIMIT:
                raise ValueError(f"its arguments are {len(text) / 1e6:.0f} MB")
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
                opened.write(text)
            new.replace(self.path)
        except (OSError, ValueError, TypeError) as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            self.trouble = f"{self.name!r} can't be kept: {error}"
            return False
        _tidy(self.path.parent, self.path)
        return True

    def note(self, place: int | None, event: Mapping[str, Any]) -> None:
        """Something happened to a row, or, without a place, to the set."""
        if self.trouble is not None:
            return
        try:
            line = _line(place, event)
            if "result" in event and len(line) > min(ANSWER_LIMIT, SIZE_LIMIT - self.path.stat().st_size):
                line = _line(place, {"left_out": len(line)})
            with self._writing:
                # Never made here: what somebody deleted stays deleted.
                descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | NO_LINKS)
                try:
                    size = os.fstat(descriptor).st_size
                    os.lseek(descriptor, max(0, size - 1), os.SEEK_SET)
                    cut_off = size > 0 and os.read(descriptor, 1) != b"\n"
                    os.write(descriptor, (b"\n" if cut_off else b"") + line)
                finally:
                    os.close(descriptor)
        except (OSError, ValueError, TypeError) as error:
            self.trouble = f"{self.name!r} is kept no more: {error}"

    def read(self) -> KeptSet | None:
        """What the file says; None where there is none that can be read."""
        return _read(self.path, self.name)

    def forget(self) -> None:
        """Delete it. Who calls this holds it."""
        self.path.unlink(missing_ok=True)


NO_LINKS = getattr(os, "O_NOFOLLOW", 0)


def _line(place: int | None, event: Mapping[str, Any]) -> bytes:
    return json.dumps({"row": place, **event}).encode() + b"\n"


def names(folder: Path | None) -> list[str]:
    """The sets kept in a folder, oldest first."""
    found: list[tuple[int, str]] = []
    for path in folder.glob("*.jsonl") if folder is not None and folder.is_dir() else ():
        lines = _opened(path, whole=False)
        head = _head(lines[0]) if lines else None
        if head is not None and path.stem == hashlib.sha256(head["name"].encode()).hexdigest()[:32]:
            found.append((head["created"], head["name"]))
    return [name for _, name in sorted(found)]


def _tidy(folder: Path, but: Path) -> None:
    """Delete what is too old, and the oldest where there are too many."""
    aged = sorted(((_age(path), path) for path in folder.glob("*.jsonl") if path != but), key=lambda each: each[0])
    for number, (age, path) in enumerate(aged, start=1):
        if age > AGE or number >= KEPT:
            held = HeldFile(path)
            if held.hold():
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                held.release()


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _opened(path: Path, *, whole: bool) -> list[str]:
    """The lines of a file that is ours, or its first; none of another's, or of what is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | NO_LINKS | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as opened:
            about = os.fstat(descriptor)
            if (hasattr(os, "getuid") and about.st_uid != os.getuid()) or about.st_size > 2 * SIZE_LIMIT:
                return []
            data = opened.read() if whole else opened.readline(100_000)
    except OSError:
        return []
    return data.decode(errors="replace").split("\n")


def _head(line: str) -> dict[str, Any] | None:
    said = _object(line)
    wanted = {"pmcp_lab_set": int, "name": str, "rows": int, "created": int}
    if said.get("pmcp_lab_set") != VERSION or not all(isinstance(said.get(key), kind) for key, kind in wanted.items()):
        return None
    return said


def _object(line: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return {}  # cut off by a crash
    return said if isinstance(said, dict) else {}


def _read(path: Path, name: str) -> KeptSet | None:
    lines = _opened(path, whole=True)
    head = _head(lines[0]) if len(lines) > 1 else None
    settings = _object(lines[1]) if head is not None else {}
    tool = settings.get("tool")
    if head is None or head["name"] != name or not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
        return None
    rows: dict[int, KeptRow] = {}
    columns = settings.get("columns")
    for line in lines[2:]:
        event = _object(line)
        place = event.get("row")
        if place is None and "columns" in event:
            columns = event["columns"]
        elif isinstance(place, int) and isinstance(arguments := event.get("arguments"), dict):
            rows[place] = KeptRow(arguments)
        elif isinstance(place, int) and place in rows:
            rows[place].happened(event)
    if sorted(rows) != list(range(head["rows"])):
        return None  # half-written
    concurrency, ttl, timeout = (settings.get(key) for key in ("concurrency", "ttl", "timeout"))
    return KeptSet(
        name=name,
        tool=tool,
        index=index_in(settings.get("index"), len(rows)),
        rows=[rows[place] for place in range(len(rows))],
        created=head["created"],
        concurrency=concurrency if isinstance(concurrency, int) and concurrency > 0 else 1,
        ttl=ttl if isinstance(ttl, int) else None,
        timeout=timeout if isinstance(timeout, int | float) else None,
        columns=[each for each in columns if isinstance(each, str)] if isinstance(columns, list) else [],
    )
