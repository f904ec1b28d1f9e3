"""What interrupts a workflow: its client goes away, its process is killed. What may have run is never run twice
unless it may be, what is recorded stays, and going on ends where an undisturbed run ends.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import anyio
import pytest

from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL
from pmcp_lab.tasks.leases import leased
from tests.unit.flow import MODES, Flow, Shop, release, statuses, until
from tests.unit.flow_that_dies import STEPS, Where, boundaries, killed


@pytest.fixture
def shop() -> Shop:
    return Shop()


class Held:
    """An `upload` that is held until it is let go, each time anew."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.entered, self.gate = asyncio.Event(), asyncio.Event()

    async def upload(self, file: str, bucket: str) -> str:
        self.shop.ran.append("upload")
        self.entered.set()
        await self.gate.wait()
        return "there"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("retryable", [True, False])
async def test_a_prompt_that_is_cancelled_leaves_a_task_to_be_resumed(shop: Shop, mode: str, retryable: bool) -> None:
    held = Held(shop)
    flow = Flow(release(retryable=retryable), shop.build, held.upload, shop.announce)
    async with flow.visitor(mode) as visitor:
        getting = asyncio.create_task(visitor.get({"version": "1"}))
        await held.entered.wait()
        getting.cancel()
        await asyncio.wait([getting])
        task_id = (await flow.tasks.store.list(LOCAL)).records[0].task_id
        paused = await until(visitor, task_id, "toolError")
        assert paused.pause is not None
        assert (paused.pause.interrupted, paused.pause.retryable) == (True, retryable)
        assert statuses(paused) == ["completed", "failed", "pending"]
        assert (await flow.tasks.store.get(LOCAL, task_id)).lease is None
        held.gate.set()
        state = await visitor.get(task=task_id)
        assert shop.ran.count("upload") == 1 + retryable
        if not retryable:
            assert "Nobody knows whether it took effect" in visitor.texts[-1]
            # It is listed no more: whoever knows that it may be repeated names it.
            assert state.calls == ()
            state = await visitor.call("upload", {"file": "f", "bucket": "b"}, task=task_id, step="upload")
    assert state.status == "completed"
    assert (shop.ran.count("build"), shop.ran.count("announce")) == (1, 1)


async def test_a_task_that_is_cancelled_stops_its_step(shop: Shop) -> None:
    held = Held(shop)
    flow = Flow(release(), shop.build, held.upload, shop.announce)
    async with flow.visitor() as visitor, flow.visitor() as other:
        getting = asyncio.create_task(visitor.get({"version": "1"}))
        await held.entered.wait()
        task_id = (await flow.tasks.store.list(LOCAL)).records[0].task_id
        await other.about("tasks/cancel", task_id)
        state = await getting
    assert (state.status, statuses(state)) == ("cancelled", ["completed", "pending", "pending"])
    assert "announce" not in shop.ran


@pytest.mark.parametrize("retryable", [True, False])
async def test_a_task_whose_process_is_gone_goes_on_by_itself_where_it_may(tmp_path: Path, retryable: bool) -> None:
    shop = Shop()
    url = f"sqlite:///{tmp_path}/tasks.db"
    held = Held(shop)
    tasks = Tasks(url, lease=0.3)
    flow = Flow(release(retryable=retryable), shop.build, held.upload, shop.announce, tasks=tasks)
    async with flow.visitor() as visitor:
        getting = asyncio.create_task(visitor.get({"version": "1"}))
        await held.entered.wait()
        record = (await tasks.store.list(LOCAL)).records[0]

        def orphan(found: Any) -> Any:
            return leased(found, "gone#1", 0.1)

        await tasks.store.change(LOCAL, record.task_id, orphan)
        getting.cancel()
        await asyncio.wait([getting])
        held.gate.set()
        state = await until(visitor, record.task_id, "completed" if retryable else "toolError")
        attempts = [(one.outcome, one.by) for one in state.steps[1].attempts]
    if retryable:
        assert shop.ran == ["build", "upload", "upload", "announce"]
        assert attempts == [("interrupted", "server"), ("completed", "server")]
    else:
        assert state.pause is not None
        assert state.pause.interrupted
        assert "the process that ran it ended" in state.pause.message
        assert shop.ran == ["build", "upload"]
        assert attempts == [("interrupted", "server")]
    await tasks.close()


# --- killed for good, at every boundary ---


@pytest.mark.parametrize("where", ["before", "after", "recorded"])
async def test_a_process_killed_at_any_boundary_costs_nothing(tmp_path: Path, where: Where) -> None:
    for step in range(STEPS):
        assert await asyncio.to_thread(killed, tmp_path / f"{step}", step, where) == -signal.SIGKILL
    for step in range(STEPS):
        await _goes_on(tmp_path / f"{step}", step, where)


async def _goes_on(folder: Path, step: int, where: str) -> None:
    log = folder / "log"

    def mark(step: int) -> int:
        with log.open("a") as file:
            file.write(f"{step}\n")
        return 10 * step

    last = step == STEPS - 1
    flow = Flow(boundaries(), mark, tasks=Tasks(f"sqlite:///{folder}/tasks.db", lease=0.3))
    try:
        async with flow.visitor() as visitor:
            task_id = (await flow.tasks.store.list(LOCAL)).records[0].task_id
            with anyio.fail_after(10):
                state = await visitor.get(task=task_id)
            cut = step if where != "recorded" else step + 1
            if state.status != "completed":
                # Only where it is not known whether a step that may not run twice has run.
                assert cut % 2 == 1
                assert state.pause is not None
                assert (state.pause.step, state.pause.interrupted) == (f"s{cut}", True)
                assert log.read_text().split().count(str(cut)) == (where == "after")
                state = await visitor.call("mark", {"step": cut}, task=task_id, step=f"s{cut}")
        assert state.status == "completed"
        record = await flow.record(state)
        outputs = {f"b{number}": 10 * number for number in range(STEPS)}
        assert record.result["structuredContent"]["outputs"] == outputs
        ran = log.read_text().split()
        twice = {str(step)} if where == "after" else set()
        assert {each for each in ran if ran.count(each) > 1} == twice
        assert set(ran) == {str(number) for number in range(STEPS)}
        assert last or ran.index(str(step)) < ran.index(str(step + 1))
    finally:
        await flow.tasks.close()
