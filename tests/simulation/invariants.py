"""What must hold of every history, whatever went wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from pmcp_lab.tasks import Lease, TaskRecord
from tests.simulation.history import Event, Execution, run_of
from tests.simulation.tools import POLICIES
from tests.simulation.world import START, World

EXPECTED = ("the storage is away", "the storage has trouble", "the storage said nothing", "ValueError('as planned')")
"""What may be logged as an error."""


@dataclass(frozen=True)
class Violation:
    kind: str
    text: str
    task_id: str | None = None


@dataclass
class Account:
    """What the invariants look at."""

    world: World
    trouble: list[str]

    def __post_init__(self) -> None:
        history = self.world.history
        self.events: list[Event] = history.events
        self.writes: dict[str, list[Event]] = defaultdict(list)
        for event in history.writes():
            assert event.task_id is not None
            self.writes[event.task_id].append(event)
        self.executions: dict[str, list[Execution]] = defaultdict(list)
        for execution in history.executions:
            self.executions[execution.task_id].append(execution)

    def changes(self) -> Iterator[tuple[str, Event, TaskRecord, TaskRecord]]:
        """Every write that changed a record, with the record before and after it."""
        for task_id, events in self.writes.items():
            for event in events:
                if event.before is not None and event.after is not None:
                    yield task_id, event, event.before, event.after


Found = Iterator[Violation]


def acknowledged_creates_stay(account: Account) -> Found:
    """Until their ttl has passed since they were made, by the fastest clock there is."""
    world = account.world
    early = world.clocks - world.skew + 1
    for event in account.events:
        if event.what not in ("created", "missed") or event.task_id is None:
            continue
        writes = account.writes[event.task_id]
        inserted = next((one for one in writes if one.what == "insert" and one.at <= event.at), None)
        if inserted is None or inserted.after is None:
            yield Violation(
                "acknowledged and not there", f"{event.process} has a task that nobody stored", event.task_id
            )
            continue
        ttl = inserted.after.ttl
        made = (inserted.after.created - START).total_seconds()
        end = None if ttl is None else made + ttl / 1000 - early
        gone = event if event.what == "missed" else next((one for one in writes if one.what == "expired"), None)
        if gone is not None and (end is None or gone.at < end):
            text = f"{gone.process} {gone.what} it at {gone.at:.1f} s, its ttl ends after {end} s"
            yield Violation("acknowledged and not there", text, event.task_id)


def the_end_is_final(account: Account) -> Found:
    for task_id, event, before, after in account.changes():
        if before.live:
            continue
        for name in ("status", "message", "progress", "result", "error", "questions", "answers", "lease", "job"):
            if getattr(before, name) != getattr(after, name):
                text = f"{event.process} changes the {name} of a {before.status} task at {event.at:.3f} s"
                yield Violation("terminal record changed", text, task_id)


def nobody_writes_without_a_lease(account: Account) -> Found:
    """What a call of a tool writes, and what its runner writes for it."""
    for task_id, event, before, _ in account.changes():
        execution = event.execution
        if execution is None or execution.task_id != task_id:
            continue
        held = run_of(before) if before.live else before.last_run
        if held != execution.run:
            text = f"call {execution.number} ({execution.process}) writes at {event.at:.3f} s, the lease is not its own"
            yield Violation("written without the lease", text, task_id)


def leases_change_hands_when_lost(account: Account) -> Found:
    """Who takes another process's lease has not had a sign of life for as long as the lease is believed."""
    world = account.world
    for task_id, event, before, after in account.changes():
        old, new = run_of(before), run_of(after)
        if old is None or old == new or not before.live:
            continue
        holder = world.history.holder(old)
        if new is None and holder == event.process:
            # Handed back, or ended.
            continue
        if not after.live and not _lost_for_good(after) and (event.execution is None or event.execution.run == old):
            # Owners need not wait for the lease.
            continue
        since = max(
            one.at for one in account.writes[task_id] if one is not event and _life(one, old) and one.at <= event.at
        )
        seconds = before.lease.seconds if before.lease else world.lease
        if event.at - since < seconds * (1 - 1e-3) - 0.01:
            text = (
                f"{event.process} takes the lease of {holder} at {event.at:.3f} s, "
                f"{event.at - since:.3f} s after its last sign of life; it lasts {seconds} s"
            )
            yield Violation("taken from the living", text, task_id)


def _lost_for_good(record: TaskRecord) -> bool:
    """Whether a task failed because its processes ended."""
    return record.error is not None and "process ended" in str(record.error.get("message", ""))


def _life(event: Event, run: str) -> bool:
    """Whether this write gave or renewed the run's lease."""
    if run_of(event.after) != run:
        return False
    return run_of(event.before) != run or event.before.lease.version != event.after.lease.version  # type: ignore[union-attr]


def a_tool_that_may_not_starts_no_second_time(account: Account) -> Found:
    for task_id, calls in account.executions.items():
        if POLICIES[calls[0].tool]["on_lost"] == "fail" and len(calls) > 1:
            text = f'a tool with on_lost="fail" was called {len(calls)} times, by {[one.process for one in calls]}'
            yield Violation("started twice", text, task_id)


def runs_have_one_call(account: Account) -> Found:
    for task_id, calls in account.executions.items():
        runs = [call.run for call in calls if call.run is not None]
        if len(set(runs)) < len(runs):
            text = f"calls {[call.number for call in calls]} share a lease: {[call.process for call in calls]}"
            yield Violation("two calls in one run", text, task_id)


def attempts_only_grow(account: Account) -> Found:
    for task_id, _, before, after in account.changes():
        if attempt_of(after) not in (attempt_of(before), attempt_of(before) + 1):
            text = f"from attempt {attempt_of(before)} to {attempt_of(after)}"
            yield Violation("attempts out of order", text, task_id)


def attempt_of(record: TaskRecord) -> int:
    return 1 if record.job is None else int(record.job.context.get("attempt", 1))


def nothing_is_undone(account: Account) -> Found:
    """Calls write one after the other: when a later one has written, an earlier one has done so for the last time."""
    for task_id, events in account.writes.items():
        last = 0
        for event in events:
            mark = None if event.after is None else event.after.variables.get("mark")
            if mark is None:
                continue
            if mark[0] < last:
                text = f"at {event.at:.3f} s call {mark[0]} ({event.process}) writes over what call {last} wrote"
                yield Violation("undone", text, task_id)
                break
            last = mark[0]


def quotas_hold(account: Account) -> Found:
    world = account.world
    records: dict[str, TaskRecord] = {}
    for event in world.history.writes():
        assert event.task_id is not None
        if event.after is None:
            records.pop(event.task_id)
            continue
        records[event.task_id] = event.after
        quota, now = world.limits.tasks_per_owner, event.data
        if event.what == "insert" and quota is not None:
            live = [one for one in records.values() if one.owner == event.after.owner and one.live]
            counted = [one for one in live if not one.expired(now - timedelta(milliseconds=1))]
            if len(counted) > quota:
                text = f"{len(counted)} live tasks of {event.after.owner} where {quota} are allowed"
                yield Violation("above the quota", text, event.task_id)


def every_task_ends(account: Account) -> Found:
    for record in account.world.unfinished():
        yield Violation("never ended", f"it is {record.status}: {record.message}", record.task_id)


def listeners_see_the_end(account: Account) -> Found:
    world = account.world
    gone = START + timedelta(seconds=world.now + world.clocks)
    for listener in world.listeners:
        for task_id, body in (listener.last() or {}).items():
            record = world.history.records.get(task_id)
            if record is None or record.live or record.expired(gone):
                continue
            if body["status"] != record.status:
                where = listener.connection.process.name
                text = f"a listener at {where} heard last {body['status']}, it is {record.status}"
                yield Violation("not told", text, task_id)


def the_lost_are_found_in_time(account: Account) -> Found:
    """When nothing goes wrong any more, what dead processes left is found as soon as is promised."""
    world = account.world
    calm = next(event for event in account.events if event.what == "calm")
    for task_id, lease in calm.data.items():
        later = [one for one in account.writes[task_id] if one.at >= calm.at and one.process != "owner"]
        found = next((one.at for one in later if _moves_on(one, lease)), None)
        bound = max(lease.seconds, world.lease) + world.lease / 3 + 1
        record = world.history.records.get(task_id)
        if found is None and record is not None and record.live:
            found = world.now
        if found is not None and found - calm.at > bound:
            whose = world.history.holder(lease.run) or "nobody"
            text = f"the lease of {whose} is found after {found - calm.at:.2f} s, {bound:.2f} s are promised"
            yield Violation("found late", text, task_id)


def _moves_on(event: Event, lease: Lease) -> bool:
    """Whether somebody has done something about a lease."""
    now = None if event.after is None else event.after.lease
    return now is None or (now.run, now.version) != (lease.run, lease.version)


def waiting_costs_no_attempt(account: Account) -> Found:
    """A task fails for its lost processes only when as many as may were lost while they ran it."""
    for task_id, event, before, after in account.changes():
        said = "" if after.error is None else str(after.error.get("message", ""))
        if not before.live or "in a row" not in said:
            continue
        taken = [one for one in account.writes[task_id] if one.at <= event.at and _takes_over(one)]
        running = [one for one in taken if not _waited(account, task_id, run_of(one.before))]
        if len(running) < account.world.attempts:
            text = f"{event.process} fails it at {event.at:.1f} s ({said}); of {len(taken)} runs that were lost"
            yield Violation("attempts used up by waiting", f"{text}, {len(running)} did not wait", task_id)


def _takes_over(event: Event) -> bool:
    old, new = run_of(event.before), run_of(event.after)
    if old is None or event.after is None or event.before is None or not event.before.live:
        return False
    return _lost_for_good(event.after) or (event.after.live and new != old and event.before.lease.phase != "queued")  # type: ignore[union-attr]


def _waited(account: Account, task_id: str, run: str | None) -> bool:
    """Whether all that this run still did was to wait for a person."""
    calls = [call for call in account.executions[task_id] if call.run == run]
    own = [one for one in account.writes[task_id] if one.execution in calls and one.after and one.after.lease]
    asked = bool(own) and own[-1].after.lease.phase == "asking"  # type: ignore[union-attr]
    return bool(calls) and calls[-1].waits and asked


def answers_stay(account: Account) -> Found:
    for task_id, event, before, after in account.changes():
        for key, answer in before.answers.items():
            if after.answers.get(key) != answer or key not in after.questions:
                yield Violation(
                    "answer lost", f"{event.process} drops the answer to {key} at {event.at:.3f} s", task_id
                )


def versions_count_up(account: Account) -> Found:
    for task_id, event, before, after in account.changes():
        if after.seq != before.seq + 1 or after.updated < before.updated:
            yield Violation("out of sequence", f"{event.process} writes {after.seq} after {before.seq}", task_id)
        same = ("task_id", "owner", "created", "method")
        if any(getattr(before, name) != getattr(after, name) for name in same):
            yield Violation("out of sequence", f"{event.process} changes what a task is born with", task_id)


def what_was_said_stays_true(account: Account) -> Found:
    last: dict[str, TaskRecord] = {}
    for event in account.events:
        if event.task_id is None:
            continue
        if event.after is not None:
            last[event.task_id] = event.after
        record = last.get(event.task_id)
        match event.what:
            case "sees" if record is not None and event.data not in _said(record):
                text = f"{event.process} was told {event.data}, it is {record.status}"
                yield Violation("told something else", text, event.task_id)
            case "cancelled" | "has result" if record is not None and record.live:
                text = f"{event.process} was told that it is over at {event.at:.3f} s"
                yield Violation("told something else", text, event.task_id)
            case "answered" if record is not None and record.live and not set(event.data) <= set(record.answers):
                if not any(
                    one.what == "replace" and one.note.startswith("withdraws") for one in account.writes[event.task_id]
                ):
                    text = f"{event.process} answered {event.data} at {event.at:.3f} s"
                    yield Violation("answer lost", text, event.task_id)


def _said(record: TaskRecord) -> tuple[str, ...]:
    """What a client may be told about a task's status."""
    failed = isinstance(record.result, dict) and record.result.get("isError")
    return (record.status.value, "failed") if failed else (record.status.value,)


def nothing_else_goes_wrong(account: Account) -> Found:
    for text in account.trouble:
        if not any(expected in text for expected in EXPECTED):
            yield Violation("trouble", text)


INVARIANTS: tuple[Callable[[Account], Found], ...] = (
    acknowledged_creates_stay,
    the_end_is_final,
    nobody_writes_without_a_lease,
    leases_change_hands_when_lost,
    a_tool_that_may_not_starts_no_second_time,
    runs_have_one_call,
    attempts_only_grow,
    nothing_is_undone,
    quotas_hold,
    every_task_ends,
    listeners_see_the_end,
    the_lost_are_found_in_time,
    waiting_costs_no_attempt,
    answers_stay,
    versions_count_up,
    what_was_said_stays_true,
    nothing_else_goes_wrong,
)


def violations(world: World, trouble: list[str], stuck: str | None) -> list[Violation]:
    """What a run did that it should not; the invariants say what that is."""
    account = Account(world, trouble)
    found = [violation for invariant in INVARIANTS for violation in invariant(account)]
    return found if stuck is None else [Violation("stuck", stuck), *found]
