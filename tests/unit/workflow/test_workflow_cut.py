"""Three workflows, led by three clients, over a server that is killed at every one of its writes and tool calls: none
ends elsewhere than it would have, and nothing is done twice that may not be.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pmcp_lab.protocol import workflow_wire
from pmcp_lab.tasks import LOCAL, TaskRecord
from tests.unit.flows_cut import CLIENTS, WORKFLOWS, Cut, flow, killed

ONCE = {"release": {"put stage", "put world"}, "report": {"put team"}, "move": set[str]()}
"""What may not be done twice."""
ENDS = {"release": "completed", "report": "completed", "move": "stopped"}


def ended(record: TaskRecord, name: str, log: list[str]) -> None:
    """That it ended as it would have."""
    assert record.status == "completed", record.message
    state = workflow_wire.read_task(record.task_id, record.status, record.variables)
    assert state is not None
    done = Counter(log)
    assert all(done[what] == 1 for what in ONCE[name]), log
    for step in state.steps:
        assert step.status in ("pending", "skipped") or step.attempts
        assert all(one.outcome and one.ended for one in step.attempts)
    if name == "move":
        assert state.ending is not None
        assert (state.ending.kind, state.ending.step) == ("stopped", "keep")
        assert [step.undone for step in state.steps] == ["undone", "undone", None, "undone", None, None]
        assert log.index("drop three") < log.index("drop two") < log.index("drop one")
        assert "say" not in log
        return
    assert state.ending is None
    if name == "release":
        assert "put world" not in log[: log.index("put stage")]
        assert state.steps[5].result is not None
        skipped = state.steps[4].status == "skipped"
        assert skipped or state.steps[5].result.value == "1 is at world"
    else:
        assert [step.status for step in state.steps if step.name == "spare"] in (["failed"], ["skipped"])
        assert log.count("seal") <= 2


def made(folder: Path) -> Path:
    folder.mkdir()
    (folder / "log").touch()
    return folder


async def undisturbed(folder: Path, name: str, client: str) -> dict[str, int]:
    """How many boundaries there are."""
    made(folder)
    cut = Cut()
    served = flow(folder, name, cut)
    await CLIENTS[client](served, folder, name, None)
    await served.tasks.close()
    served = flow(folder, name)
    (record,) = (await served.tasks.store.list(LOCAL)).records
    ended(record, name, (folder / "log").read_text().splitlines())
    await served.tasks.close()
    return cut.counts


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", WORKFLOWS)
@pytest.mark.timeout(300)
async def test_a_server_killed_at_any_boundary_costs_nothing(tmp_path: Path, name: str, client: str) -> None:
    counts = await undisturbed(tmp_path / "whole", name, client)
    cuts = [(where, number) for where, count in counts.items() for number in range(1, count + 1)]
    if "PMCP_LAB_EVERY_CUT" not in os.environ:
        # All of them take minutes: a third each time, and every one of them by hand.
        cuts = random.sample(cuts, len(cuts) // 3)
    with ThreadPoolExecutor(3) as several:
        loop = asyncio.get_running_loop()

        async def one(where: str, number: int) -> Any:
            folder = tmp_path / f"{where}{number}"
            return await loop.run_in_executor(several, killed, folder, name, client, where, number)

        codes = await asyncio.gather(*(one(*cut) for cut in cuts))
    # One whose time differs may have ended before its boundary came.
    assert codes.count(-signal.SIGKILL) >= len(cuts) - 2
    for (where, number), code in zip(cuts, codes, strict=True):
        folder = tmp_path / f"{where}{number}"
        served = flow(folder, name)
        found = (await served.tasks.store.list(LOCAL)).records
        if found and code == -signal.SIGKILL:
            if found[0].live:
                await CLIENTS[client](served, folder, name, found[0].task_id)
                served = flow(folder, name)
            record = await served.tasks.store.get(LOCAL, found[0].task_id)
            try:
                ended(record, name, (folder / "log").read_text().splitlines())
            except AssertionError as error:
                raise AssertionError(f"cut {where} {number}: {error}") from error
        await served.tasks.close()
    print(f"\n  {name}, {client}: killed at {len(cuts)} boundaries")
