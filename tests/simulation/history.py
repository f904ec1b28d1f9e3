"""What happened in a run, in the order in which it did; and as a table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pmcp_lab.tasks import Lease, TaskRecord


@dataclass(slots=True, eq=False)
class Execution:
    """One call of a task's tool.

    Attributes:
        run: The lease it was started under.
        waits: Whether it asks, or waits for the answer.
    """

    number: int
    process: str
    task_id: str
    tool: str
    attempt: int
    run: str | None
    waits: bool = False


@dataclass(slots=True, eq=False)
class Event:
    """Something that happened: a write to the storage (`before`, `after`), or another thing (`note`).

    Attributes:
        at: Seconds of virtual time.
        process: Who did it: a process, a client, or "world".
        clock: What that process takes for the time (s since the start of the simulation), where it matters.
        execution: The call of a tool that did it.
    """

    at: float
    process: str
    what: str
    task_id: str | None = None
    before: TaskRecord | None = None
    after: TaskRecord | None = None
    execution: Execution | None = None
    note: str = ""
    clock: float | None = None
    data: Any = None


def run_of(record: TaskRecord | None) -> str | None:
    """Which run holds the task; None when nobody does or anybody may."""
    lease = None if record is None else record.lease
    if lease is None:
        return None
    return None if lease.free else lease.run


@dataclass
class History:
    events: list[Event] = field(default_factory=list)
    records: dict[str, TaskRecord] = field(default_factory=dict)
    """What is stored now."""
    executions: list[Execution] = field(default_factory=list)
    holders: dict[str, str] = field(default_factory=dict)
    """The simulated process of each one that is named in leases."""

    closed = False
    """Whether all has happened."""

    def add(self, event: Event) -> None:
        if not self.closed:
            self.events.append(event)

    def wrote(self, event: Event) -> None:
        """Take down a write that has happened."""
        self.events.append(event)
        assert event.task_id is not None
        if event.after is None:
            self.records.pop(event.task_id, None)
            return
        self.records[event.task_id] = event.after
        run = run_of(event.after)
        if run is not None:
            self.holders.setdefault(run.partition("#")[0], event.process)

    def holder(self, run: str | None) -> str | None:
        """The process that a run is one of."""
        return None if run is None else self.holders.get(run.partition("#")[0])

    def writes(self) -> Iterator[Event]:
        return (event for event in self.events if event.before is not None or event.after is not None)

    # --- as a table ---

    def table(self, events: Iterable[Event] | None = None) -> str:
        """One line per event; ids, which mean nothing, are numbered."""
        tasks = {record: f"t{n}" for n, record in enumerate(self._task_ids(), 1)}
        lines = [_line("time", "process", "operation", "task", "lease", "status", "seq", "")]
        for event in self.events if events is None else events:
            record = event.after or event.before
            lease = "" if event.after is None or event.after.lease is None else self._short(event.after.lease)
            note = event.note
            for task_id, alias in tasks.items():
                if task_id in note:
                    note = note.replace(task_id, alias)
            if event.execution is not None:
                note = f"[call {event.execution.number}] {note}"
            lines.append(
                _line(
                    f"{event.at:.4f}",
                    event.process,
                    event.what,
                    tasks.get(event.task_id or "", ""),
                    lease,
                    "" if event.after is None else event.after.status.value,
                    "" if record is None else str(record.seq),
                    note,
                )
            )
        return "\n".join(lines)

    def of(self, task_id: str) -> list[Event]:
        """What happened to a task, and to processes."""
        return [event for event in self.events if event.task_id in (task_id, None)]

    def digest(self) -> str:
        return hashlib.sha256(self.table().encode()).hexdigest()

    def _short(self, lease: Lease) -> str:
        run = "-" if lease.free else f"{self.holder(lease.run)}#{lease.run.partition('#')[2]}"
        return f"{run} {lease.phase[0]}"

    def _task_ids(self) -> list[str]:
        return list(dict.fromkeys(event.task_id for event in self.events if event.task_id is not None))


def _line(at: str, process: str, what: str, task: str, lease: str, status: str, seq: str, note: str) -> str:
    return f"{at:>10}  {process:<7} {what:<11} {task:<4} {lease:<7} {status:<14} {seq:>3}  {note}".rstrip()
