"""Programs whose server is killed: they go on where they waited, and what a person has to say is asked for."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pmcp_lab.protocol import TaskStatus
from pmcp_lab.server.code_mode.sandbox import Sandbox
from pmcp_lab.tasks import LOCAL, TaskRecord, TaskStore
from pmcp_lab.tasks.leases import leased
from pmcp_lab.tasks.record import checkpoint_of, with_checkpoint
from tests.unit.code_that_dies import CALLS, ONCE, PRINTED, RESULT, Till, handed_in, killed, laid_out
from tests.unit.coding import Shop
from tests.unit.on_store import ended
from tests.unit.server.test_server_life import settled

WRITES = 18
"""Of an undisturbed program."""

AGAIN, DONE, NOT_DONE = "call it again", "it was done", "it was not done"


def says(outcome: str, result: str = "") -> dict[str, Any]:
    return {"action": "accept", "content": {"outcome": outcome, "result": result}}


async def asked(store: TaskStore, record: TaskRecord) -> dict[str, str]:
    """What a task asks, once it does, by key; nothing when it is over."""
    async with asyncio.timeout(20), store.watch(LOCAL, record.task_id) as feed:
        async for current in feed:
            if current.open_questions or not current.live:
                break
    return {key: question["params"]["message"] for key, question in current.open_questions.items()}


async def goes_on(folder: Path) -> None:
    """Go on with the program of a process that was killed, and look at what it has done."""
    till = Till(folder)
    store = till.tasks.store
    record = (await store.list(LOCAL)).records[0]
    till.tasks.start()
    unknown = 0
    while questions := await asked(store, record):
        for key, message in questions.items():
            # What a person sees is the log: whether it took effect.
            call = message.partition("(")[0].rpartition(" ")[2]
            number = message.partition("n=")[2].partition(")")[0]
            was = f"{call} {number}" in till.ran()
            answer = says(DONE, f'{{"n": {number}}}') if was and call == "order" else says(AGAIN)
            await store.answer(LOCAL, record.task_id, {key: answer})
            unknown += 1
        async with asyncio.timeout(20):
            while (await store.get(LOCAL, record.task_id)).open_questions.keys() & questions.keys():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    done = await store.get(LOCAL, record.task_id)
    assert done.status is TaskStatus.COMPLETED, done.message
    assert done.result["structuredContent"] == {"result": RESULT, "printed": PRINTED, "calls": CALLS}
    ran = Counter(till.ran())
    assert len(ran) == CALLS
    assert all(ran[call] == 1 for call in ONCE), ran
    assert checkpoint_of(done)["dump"] is None, "nobody needs it any more"
    await till.tasks.close()


@pytest.mark.timeout(120)
async def test_a_server_killed_at_any_moment_costs_nothing(tmp_path: Path) -> None:
    chance = random.Random(19)
    moments = [(at, True) for at in chance.sample(range(WRITES - 1), 3)]
    moments += [(at, False) for at in chance.sample(range(2 * CALLS), 3)]
    for number, (at, write) in enumerate(moments):
        folder = tmp_path / f"{number}"
        await laid_out(folder)
        assert await asyncio.to_thread(killed, folder, at, write=write) == -signal.SIGKILL, (at, write)
        await goes_on(folder)


async def test_one_that_is_killed_again_and_again_goes_on_each_time(tmp_path: Path) -> None:
    folder = tmp_path / "it"
    await laid_out(folder, "for n in range(9): put(n=n)\n'done'")
    # More often than a task may be attempted: each finds the program further on.
    for _ in range(4):
        assert await asyncio.to_thread(killed, folder, 0, write=True) == -signal.SIGKILL
    till = Till(folder)
    till.tasks.start()
    record = (await till.tasks.store.list(LOCAL)).records[0]
    assert (await ended(till.tasks.store, record)).result["structuredContent"]["result"] == "done"
    assert till.ran() == [f"put {n}" for n in range(9)]
    await till.tasks.close()


async def test_a_call_that_kills_its_server_each_time_ends_the_program(tmp_path: Path) -> None:
    folder = tmp_path / "it"
    await laid_out(folder, "put(n=1)")
    endings = [await asyncio.to_thread(killed, folder, 0, write=False) for _ in range(4)]
    assert endings == [-signal.SIGKILL] * 3 + [0]
    till = Till(folder)
    record = (await till.tasks.store.list(LOCAL)).records[0]
    assert (record.status, record.message) == (TaskStatus.FAILED, "its process ended 3 times in a row while it ran")
    assert till.ran() == []
    await till.tasks.close()


# --- in this process ---


@pytest.fixture
def store(sqlite_store: TaskStore) -> TaskStore:
    return sqlite_store


async def left_waiting(store: TaskStore, source: str) -> TaskRecord:
    """A program whose server is gone while `wait` was at work."""
    record = await handed_in(store, source)
    one = Shop.on(store)
    one.tasks.start()
    await asyncio.wait_for(one.entered.wait(), 10)
    # As if it had stopped there and then: it may write no more, and hand nothing back.
    record = await store.change(LOCAL, record.task_id, lambda found: leased(found, "dead#2", 0.3), silent=True)
    await one.tasks._upkeep.close(0)
    return record


@pytest.mark.parametrize(
    ("answer", "result", "ran"),
    [
        (says(AGAIN), ["went on", 3], ["wait", "price tea"]),
        (says(DONE, '{"a": 1}'), [{"a": 1}, 3], ["price tea"]),
        (says(DONE, "words"), ["words", 3], ["price tea"]),
        (says(DONE), [None, 3], ["price tea"]),
        (says(NOT_DONE), "line 1: RuntimeError: wait was not done: its server ended, and a person said so", []),
        ({"action": "decline"}, "line 1: a person ended it there; nobody knows whether wait() took effect", []),
    ],
)
async def test_a_person_says_what_became_of_a_call(store: TaskStore, answer: Any, result: Any, ran: list[str]) -> None:
    record = await left_waiting(store, "x = wait()\n[x, price(item='tea')['price']]")
    two = Shop.on(store)
    two.gate.set()
    two.tasks.start()
    [(key, message)] = (await asked(store, record)).items()
    assert message == (
        "The server ended while wait() ran (line 1). Nobody knows whether it took effect: look, and say how to go on."
    )
    assert two.ran == []
    await store.answer(LOCAL, record.task_id, {key: answer})
    done = await ended(store, record)
    if isinstance(result, str):
        assert result in str(done.message)
    else:
        assert done.result["structuredContent"]["result"] == result
    assert two.ran == ran


async def test_each_interruption_is_asked_about_anew(store: TaskStore) -> None:
    record = await left_waiting(store, "wait()")
    two = Shop.on(store)
    two.tasks.start()
    [first] = await asked(store, record)
    await store.answer(LOCAL, record.task_id, {first: says(AGAIN)})
    await asyncio.wait_for(two.entered.wait(), 10)
    await store.change(LOCAL, record.task_id, lambda found: leased(found, "dead#3", 0.3), silent=True)
    await two.tasks._upkeep.close(0)
    three = Shop.on(store)
    three.tasks.start()
    [second] = await asked(store, record)
    assert second != first
    await store.answer(LOCAL, record.task_id, {second: says(DONE, "7")})
    assert (await ended(store, record)).result["structuredContent"]["result"] == 7
    assert (two.ran, three.ran) == (["wait"], [])


async def test_one_that_slept_and_lost_its_task_calls_nothing_more(store: TaskStore) -> None:
    record = await handed_in(store, "x = wait()\norder(item=x)")
    one = Shop.on(store)
    one.tasks.start()
    await asyncio.wait_for(one.entered.wait(), 10)
    await store.change(LOCAL, record.task_id, lambda found: leased(found, "two#1", 0.3), silent=True)
    one.gate.set()
    await settled(lambda: one.tasks.stats().total.running == 0)
    await one.tasks._upkeep.close(0)
    assert one.ran == ["wait"]
    two = Shop.on(store)
    two.tasks.start()
    [key] = await asked(store, record)
    await store.answer(LOCAL, record.task_id, {key: says(DONE, "tea")})
    assert (await ended(store, record)).result["structuredContent"]["result"] == "ordered tea"
    assert two.ran == ["order tea"]


async def test_nobody_to_ask_ends_it_and_says_what_is_unknown(store: TaskStore) -> None:
    record = await left_waiting(store, "wait()")
    await store.change(
        LOCAL,
        record.task_id,
        lambda found: replace(found, job=replace(found.job, context={**found.job.context, "asks": []})),  # type: ignore[type-var]
        silent=True,
    )
    two = Shop.on(store)
    two.tasks.start()
    done = await ended(store, record)
    assert "line 1: the server ended while wait() ran, which may not be called twice" in str(done.message)
    assert two.ran == []


async def test_another_version_of_the_sandbox_does_not_go_on_blindly(store: TaskStore) -> None:
    record = await left_waiting(store, "price(item='tea')\nwait()")

    def older(found: TaskRecord) -> TaskRecord:
        return replace(found, job=with_checkpoint(found, {**checkpoint_of(found), "version": "0.9"}))

    await store.change(LOCAL, record.task_id, older, silent=True)
    two = Shop.on(store)
    two.tasks.start()
    done = await ended(store, record)
    assert "line 2: pydantic-monty 0.9 stopped it there" in str(done.message)
    assert "It has made 2 calls" in str(done.message)
    assert two.ran == []


async def test_a_dump_that_can_not_be_read_is_an_error_of_the_program(store: TaskStore) -> None:
    record = await left_waiting(store, "wait()")

    def spoilt(found: TaskRecord) -> TaskRecord:
        return replace(found, job=with_checkpoint(found, {**checkpoint_of(found), "dump": "VPaz%VPgL?00"}))

    await store.change(LOCAL, record.task_id, spoilt, silent=True)
    two = Shop.on(store)
    two.tasks.start()
    assert "what was kept of it can't be read" in str((await ended(store, record)).message)


async def test_a_sandbox_that_dies_is_replaced_and_the_program_goes_on(
    store: TaskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, died = Sandbox.answer, []

    async def die_once(self: Sandbox, answers: Any) -> Any:
        if len(died) < 2:
            died.append(self._pid)
            assert self._pid is not None
            os.kill(self._pid, signal.SIGKILL)
        return await answer(self, answers)

    monkeypatch.setattr(Sandbox, "answer", die_once)
    record = await handed_in(store, "print('once')\nx = order(item='tea')\n[x, price(item='tea')['price']]")
    shop = Shop.on(store)
    shop.tasks.start()
    done = await ended(store, record)
    assert done.result["structuredContent"] == {"result": ["ordered tea", 3], "printed": "once\n", "calls": 2}
    assert (shop.ran, len(died)) == (["order tea", "price tea"], 2)


async def test_the_sandbox_ends_with_its_server(tmp_path: Path) -> None:
    await laid_out(tmp_path / "it")
    before = _sandboxes()
    await asyncio.to_thread(killed, tmp_path / "it", 3, write=True)
    async with asyncio.timeout(10):
        while _sandboxes() - before:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def _sandboxes() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "exe").readlink().name == "monty":
                found.add(process.name)
        except OSError:
            continue
    return found
