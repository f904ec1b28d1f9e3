"""A task that waits for a person, through more ends of its servers than a task that runs may have."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from pmcp_lab.tasks import LOCAL, Owner, TaskStore, open_store
from pmcp_lab.tasks.owner import of_calls
from pmcp_lab.tasks.record import attempt_of
from tests.unit.asking import NO, Asked, questions, text
from tests.unit.calling import Generation, calling
from tests.unit.farm import fresh
from tests.unit.modern_http import Modern
from tests.unit.processes import TIMEOUT, Gone, Process, processes, together
from tests.unit.storage_servers import shared_redis
from tests.unit.versions import checked

ATTEMPTS, RESTARTS = 3, 5


@pytest.mark.timeout(180)
async def test_a_question_outlives_its_servers(tmp_path: Path) -> None:
    await together(
        sqlite=outlives(f"sqlite:///{tmp_path}/tasks.db", "2025-11-25", stdio=True),
        redis=outlives(fresh(shared_redis().url), "2026-07-28", stdio=False),
    )


async def outlives(url: str, generation: Generation, *, stdio: bool, restarts: int = RESTARTS) -> None:
    """Kill and end the servers of a task that asks; each time its client was being asked."""
    arguments = ["tests.servers.besieged", url, f"--attempts={ATTEMPTS}", *(["--stdio"] if stdio else [])]
    async with checked(url), processes() as start:
        store = open_store(url)
        process, task = await start(*arguments, stdio=stdio), ""
        for number in range(restarts):
            async with calling(process, generation, answers=False) as caller:
                task = task or await caller.task("confirm", seconds=0)
                waiting = asyncio.create_task(caller.outcome(task))
                await asks(store, task, process)
                await process.end(signal.SIGTERM if number % 2 else signal.SIGKILL)
                waiting.cancel()
                with suppress(Gone, asyncio.CancelledError):
                    await waiting
            record = await store.get(LOCAL, task)
            assert (record.status, attempt_of(record)) == ("input_required", 1)
            process = await start(*arguments, stdio=stdio)
        async with calling(process, generation) as caller:
            assert await caller.outcome(task) == "accept at attempt 1"
        await store.close()


async def asks(store: TaskStore, task: str, process: Process, owner: Owner = LOCAL) -> None:
    """Wait until this process waits for the answer."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            lease = (await store.get(owner, task)).lease
            if lease is not None and f"-{process.pid}-" in lease.run and lease.phase == "asking":
                return
            await asyncio.sleep(0.02)


@pytest.mark.timeout(180)
async def test_a_question_of_a_call_outlives_its_servers(tmp_path: Path) -> None:
    await together(
        sqlite=outlived_by_a_call(f"sqlite:///{tmp_path}/tasks.db"),
        redis=outlived_by_a_call(fresh(shared_redis().url)),
    )


async def outlived_by_a_call(url: str, *, restarts: int = RESTARTS) -> None:
    """Kill and end the servers of a call whose client is asked, and has no tasks."""
    arguments, call = ["tests.servers.besieged", url, f"--attempts={ATTEMPTS}"], ("confirm", {"seconds": 0})
    async with checked(url), processes() as start, httpx2.AsyncClient(timeout=TIMEOUT) as http:
        store, asked = open_store(url), None
        for number in range(restarts):
            process = await start(*arguments)
            client = Asked(Modern(http, await process.url(), capabilities={"elicitation": {}}))
            asked = await client.call(*call, to=asked)
            assert list(questions(asked).values()) == ["Really?"]
            [behind] = (await store.list(of_calls(LOCAL))).records
            await asks(store, behind.task_id, process, behind.owner)
            await process.end(signal.SIGTERM if number % 2 else signal.SIGKILL)
        process = await start(*arguments)
        client = Asked(Modern(http, await process.url(), capabilities={"elicitation": {}}))
        assert asked is not None
        answers = dict.fromkeys(questions(asked), NO)
        assert text(await client.call(*call, to=asked, answers=answers)) == "decline at attempt 1"
        await store.close()
