"""What is said about versions of tasks that can't be right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import LOCAL, WAITING, Job, Lease, TaskRecord, open_store
from pmcp_lab.tasks.record import succeed
from tests.unit.versions import Version, handed_back, violations

MINE = Lease(run="vm-7-abc#1", seconds=2, version=1)
YOURS = Lease(run="vm-8-abc#1", seconds=2, version=5)
Change = Callable[[TaskRecord], TaskRecord]


async def history(*changes: tuple[float, Change]) -> list[Version]:
    """A task's versions, each some seconds after the one before."""
    store = open_store("memory://")
    record = await store.create(LOCAL, job=Job(tool="t"), lease=MINE)
    versions = [Version(0, record)]
    for after, change in changes:
        record = succeed(change(record), record, record.updated)
        versions.append(Version(versions[-1].at + after, record))
    return versions


def says(text: str) -> Change:
    return lambda record: replace(record, message=text)


def held(lease: Lease | None) -> Change:
    return lambda record: replace(record, lease=lease)


def completed(record: TaskRecord) -> TaskRecord:
    return replace(record, status=TaskStatus.COMPLETED, result="by 7")


async def test_what_is_right() -> None:
    versions = await history(
        (0.1, says("by 7")),
        (0.1, held(replace(MINE, version=3))),
        (2.1, held(YOURS)),
        (0.1, says("by 8")),
        (0.1, held(Lease(run=WAITING, seconds=2, version=-6))),
        (0.0, held(replace(YOURS, run="vm-7-abc#2"))),
        (0.1, completed),
    )
    assert violations(versions, quota=1) == []
    assert handed_back(versions) == {versions[0].record.task_id}


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ([(2.1, held(YOURS)), (0.1, says("by 7"))], "process 7 wrote message"),
        ([(2.1, held(YOURS)), (0.1, lambda record: replace(record, progress=7e-7))], "process 7 wrote progress"),
        ([(2.1, held(YOURS)), (0.1, completed)], "process 7 wrote result"),
        ([(2.1, held(YOURS)), (2.1, held(replace(MINE, version=9)))], "has it again"),
        ([(1.0, held(YOURS))], "which had renewed it 1.00 s before"),
        ([(0.1, completed), (0.1, says("more"))], "it had ended"),
        ([(0.1, lambda record: replace(record, job=Job(tool="t", context={"attempt": 0})))], "attempt 1 became 0"),
    ],
)
async def test_what_is_wrong(changes: list[tuple[float, Change]], wrong: str) -> None:
    [found] = violations(await history(*changes))
    assert wrong in found


async def test_a_quota_and_a_version_that_is_missing() -> None:
    first, second = await history((0.1, says("by 7"))), await history()
    assert any("2 live tasks of 1" in one for one in violations([*first, *second], quota=1))
    whole = await history((0.1, says("by 7")), (0.1, says("by 7, too")))
    assert any("follows seq 1" in one for one in violations([whole[0], whole[2]]))
