"""What a watcher sees of a task: the present, each change, the end; and that it looks again when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pmcp_lab.errors import TaskNotFound
from pmcp_lab.tasks import Owner, TaskStore, resolve_owner
from pmcp_lab.tasks.backends import Changes
from pmcp_lab.tasks.backends.memory import MemoryBackend

ANN = resolve_owner("ann")


async def test_watch_sees_the_present_each_change_and_the_end(store: TaskStore) -> None:
    task = await store.create(ANN)
    async with asyncio.timeout(10), store.watch(ANN, task.task_id) as feed:
        assert await anext(feed) == task
        changed = await store.update(ANN, task.task_id, message="x")
        assert await anext(feed) == changed
        done = await store.complete(ANN, task.task_id, 1)
        assert await anext(feed) == done
        with pytest.raises(StopAsyncIteration):
            await anext(feed)


async def test_watch_of_a_finished_task_shows_it_once(store: TaskStore) -> None:
    done = await store.cancel(ANN, (await store.create(ANN)).task_id)
    async with store.watch(ANN, done.task_id) as feed:
        assert [record async for record in feed] == [done]


async def test_watch_ends_when_the_task_is_deleted(store: TaskStore) -> None:
    task = await store.create(ANN)
    async with asyncio.timeout(10), store.watch(ANN, task.task_id) as feed:
        await anext(feed)
        await store.backend.delete(ANN, task.task_id)
        with pytest.raises(TaskNotFound):
            await anext(feed)


class Deaf(MemoryBackend):
    """Hears nothing, and then that it may have missed something."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = asyncio.Event()

    @asynccontextmanager
    async def watch(self, owner: Owner, task_id: str | None = None) -> AsyncIterator[Changes]:  # type: ignore[override]
        yield self

    async def wait(self) -> frozenset[str]:
        await self.lost.wait()
        self.lost.clear()
        return frozenset()


async def test_an_empty_set_of_changes_means_look_at_everything() -> None:
    backend = Deaf()
    store = TaskStore(backend)
    task = await store.create(ANN)
    async with asyncio.timeout(5), store.watch(ANN, task.task_id) as feed:
        await anext(feed)
        changed = await store.update(ANN, task.task_id, message="x")
        backend.lost.set()
        assert await anext(feed) == changed


async def test_changes_by_other_threads_wake_the_loop_that_waits() -> None:
    store = TaskStore(MemoryBackend())
    task = await store.create(ANN)
    loop = asyncio.get_running_loop()
    # Has asyncio refuse what only seems to work from another thread.
    loop.set_debug(True)
    try:
        async with asyncio.timeout(5), store.watch(ANN, task.task_id) as feed:
            await anext(feed)
            waiting = asyncio.ensure_future(anext(feed))
            await asyncio.sleep(0)
            changed = await asyncio.to_thread(asyncio.run, store.update(ANN, task.task_id, message="x"))
            assert await waiting == changed
    finally:
        loop.set_debug(False)
