"""Tasks and sweeps in the standard library's own hands: `concurrent.futures`, `asyncio`, `pickle`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import pickle
import threading
import time
from typing import Any

import pytest

import pmcp_lab as lab
from pmcp_lab.client import Task, call_of, client_of
from pmcp_lab.client.runtime import runtime
from pmcp_lab.errors import InvalidArguments, LabError, TaskCancelled, ToolError
from tests.unit.front_end import until
from tests.unit.workshop import Workshop


class TestConcurrentFutures:
    def test_wait_for_all_with_a_timeout_and_without(self, server: lab.Server, workshop: Workshop) -> None:
        tasks = [server.task("hold", n=n) for n in range(3)]
        done, not_done = concurrent.futures.wait(tasks, timeout=0.05)
        assert (done, not_done) == (set(), set(tasks))
        workshop.open()
        done, not_done = concurrent.futures.wait(tasks, timeout=20)
        assert (done, not_done) == (set(tasks), set())
        assert {type(each) for each in done} == {Task}

    def test_wait_for_the_first(self, server: lab.Server, workshop: Workshop) -> None:
        held, quick = server.task("hold", n=1), server.task("double", n=2)
        done, not_done = concurrent.futures.wait([held, quick], 20, "FIRST_COMPLETED")
        assert (done, not_done) == ({quick}, {held})
        assert concurrent.futures.wait([held, quick], 20, "FIRST_COMPLETED").done == {quick}, "it ended before"
        held.cancel()

    def test_wait_for_the_first_failure(self, server: lab.Server, workshop: Workshop) -> None:
        held, bad = server.task("hold", n=1), server.task("double", n=-1)
        assert concurrent.futures.wait([held, bad], 20, "FIRST_EXCEPTION").done == {bad}
        assert concurrent.futures.wait([held, bad], 20, "FIRST_EXCEPTION").done == {bad}, "it ended before"
        held.cancel()

    def test_a_cancelled_one_is_no_failure(self, server: lab.Server, workshop: Workshop) -> None:
        held, other = server.task("hold", n=1), server.task("hold", n=2)
        until(lambda: workshop.running == 2)
        threading.Timer(0.1, other.cancel).start()
        began = time.monotonic()
        done, not_done = concurrent.futures.wait([held, other], 1.5, "FIRST_EXCEPTION")
        assert time.monotonic() - began > 1.4, "it was taken for a failure while it was waited for"
        assert (done, not_done) == ({other}, {held})
        assert concurrent.futures.wait([held, other], 0.1, "FIRST_EXCEPTION").not_done == {held}
        held.cancel()

    def test_as_completed(self, server: lab.Server, workshop: Workshop) -> None:
        held, quick, ended = server.task("hold", n=1), server.task("double", n=2), server.task("double", n=3)
        ended.result(20)
        seen = concurrent.futures.as_completed([held, quick, ended], timeout=20)
        assert {next(seen), next(seen)} == {quick, ended}
        workshop.open()
        assert list(seen) == [held]
        with pytest.raises(TimeoutError, match="1 "):
            list(concurrent.futures.as_completed([held, _Never()], 0.05))

    def test_a_set_is_several_futures(self, modern: lab.Server) -> None:
        many = modern.map("double", range(300), concurrency=64)
        done, not_done = concurrent.futures.wait(many, timeout=30)
        assert (len(done), not_done) == (300, set())
        assert sum(task.result().value for task in concurrent.futures.as_completed(many, 30)) == 89_700

    def test_nobody_is_left_waiting_in_it(self, modern: lab.Server, workshop: Workshop) -> None:
        task = modern.task("hold", n=1)
        for when in ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"):
            concurrent.futures.wait([task], 0.01, when)
        with pytest.raises(TimeoutError):
            list(concurrent.futures.as_completed([task], 0.01))
        assert call_of(task).result._waiters == []  # type: ignore[attr-defined]
        task.cancel()

    def test_two_handles_of_one_task(self, modern: lab.Server, workshop: Workshop) -> None:
        one = modern.task("hold", n=1)
        with lab.connect(workshop.server, name="second") as second:
            other = second.attach(str(one.id))
            workshop.open()
            assert concurrent.futures.wait([one, other], 20).done == {one}
            assert concurrent.futures.wait([other], 20).done == {one}
            assert list(concurrent.futures.as_completed([one, other], 20)) == [one]

    def test_from_threads(self, modern: lab.Server, workshop: Workshop) -> None:
        tasks = [modern.task("hold", n=n) for n in range(20)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            waits = [pool.submit(concurrent.futures.wait, tasks[n:], 20) for n in range(8)]
            workshop.open()
            assert [len(each.result().done) for each in waits] == [20 - n for n in range(8)]

    def test_who_ends_it(self, modern: lab.Server) -> None:
        task = modern.task("double", n=1)
        assert isinstance(task, concurrent.futures.Future)
        for name, *given in (("set_result", 1), ("set_exception", ValueError()), ("set_running_or_notify_cancel",)):
            assert name not in dir(task)
            with pytest.raises(LabError, match=r"how shop.double ends is its server's to say"):
                getattr(task, name)(*given)
        assert task.result(20).value == 2


class _Never(concurrent.futures.Future[Any]):
    """One of somebody else's that does not end."""


class TestCancelling:
    def test_it_says_whether_it_could(self, server: lab.Server, workshop: Workshop) -> None:
        held, quick = server.task("hold", n=1), server.task("double", n=1)
        quick.result(20)
        assert quick.cancel() is False
        assert held.cancel() is True
        assert isinstance(held.exception(20), TaskCancelled)
        assert held.cancel() is True
        assert held._state == "CANCELLED_AND_NOTIFIED", "which Python 3.14 reads, without asking cancelled()"
        with pytest.raises(concurrent.futures.CancelledError, match=r"shop.hold was cancelled"):
            held.result()

    async def test_a_wrapped_one_is_cancelled_by_either_side(self, server: lab.Server, workshop: Workshop) -> None:
        mine, theirs = await asyncio.to_thread(lambda: [server.task("hold", n=n) for n in range(2)])
        wrapped, other = asyncio.wrap_future(mine), asyncio.wrap_future(theirs)
        wrapped.cancel()
        await asyncio.to_thread(until, lambda: mine.cancelled())
        await asyncio.to_thread(theirs.cancel)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(other, 20)
        assert other.cancelled()

    async def test_giving_up_an_await_leaves_it_running(self, server: lab.Server, workshop: Workshop) -> None:
        held = await asyncio.to_thread(server.task, "hold", n=1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(held, 0.1)
        gathered = asyncio.gather(held, held)
        await asyncio.sleep(0.05)
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered
        assert held.running()
        workshop.open()
        assert (await held).value["n"] == 1

    def test_in_a_callback_it_is_asked_for(self, modern: lab.Server, workshop: Workshop) -> None:
        held = modern.task("hold", n=1)
        said: list[bool] = []
        runtime().call_soon(lambda: said.append(held.cancel()))
        assert isinstance(held.exception(20), TaskCancelled)
        assert said == [True]
        quick, values = modern.task("double", n=1), []
        quick.result(20)
        runtime().call_soon(lambda: values.append(quick.result().value))
        until(lambda: values == [2])


class TestAsyncio:
    async def test_wait(self, server: lab.Server, workshop: Workshop) -> None:
        held, quick, bad = await asyncio.to_thread(
            lambda: [server.task("hold", n=1), server.task("double", n=1), server.task("double", n=-1)]
        )
        waited: Any = asyncio.wait
        done, pending = await waited([held], timeout=0.05)
        assert (done, pending) == (set(), {held})
        done, _ = await waited([held, quick], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert done == {quick}
        done, _ = await waited([held, bad], timeout=20, return_when=asyncio.FIRST_EXCEPTION)
        assert done == {bad}
        done, _ = await waited([quick, bad], timeout=20, return_when=asyncio.FIRST_EXCEPTION)
        assert bad in done, "they ended before"
        workshop.open()
        done, pending = await waited([held, quick, bad], timeout=20)
        assert (done, pending) == ({held, quick, bad}, set())

    async def test_wait_wakes_its_own_loop(self, modern: lab.Server, workshop: Workshop) -> None:
        """Nothing else stirs the loop: a waiter that is set from another thread would not be seen."""
        held = await asyncio.to_thread(modern.task, "hold", n=1)
        threading.Timer(0.2, workshop.open).start()
        began = time.monotonic()
        waited: Any = asyncio.wait
        assert (await waited([held]))[0] == {held}
        assert time.monotonic() - began < 5

    async def test_gather_and_as_completed(self, server: lab.Server) -> None:
        many = await asyncio.to_thread(server.map, "double", [1, -2, 3])
        one, two, three = await asyncio.gather(*many, return_exceptions=True)
        assert (one.value, three.value) == (2, 6)
        assert isinstance(two, ToolError)
        ended = asyncio.as_completed([many[0], many[2]], timeout=20)
        assert sorted([(await each).value for each in ended]) == [2, 6]
        with pytest.raises(ToolError):
            await asyncio.gather(*many)

    async def test_three_hundred_at_once(self, modern: lab.Server) -> None:
        many = await asyncio.to_thread(modern.map, "double", range(300), concurrency=64)
        waited: Any = asyncio.wait
        done, pending = await waited(many, timeout=30)
        assert (len(done), pending) == (300, set())
        assert sum(each.value for each in await asyncio.gather(*many)) == 89_700

    async def test_wrapped(self, server: lab.Server) -> None:
        good, bad = await asyncio.to_thread(lambda: [server.task("double", n=1), server.task("double", n=-1)])
        assert (await asyncio.wrap_future(good)).value == 2
        with pytest.raises(ToolError):
            await asyncio.wrap_future(bad)


class TestCallbacks:
    async def test_a_callback_comes_on_the_loop_it_was_registered_in(
        self, modern: lab.Server, workshop: Workshop
    ) -> None:
        held = await asyncio.to_thread(modern.task, "hold", n=1)
        heard: list[tuple[Task, threading.Thread]] = []
        held.add_done_callback(lambda task: heard.append((task, threading.current_thread())))
        workshop.open()
        await held
        await asyncio.sleep(0.05)
        held.add_done_callback(lambda task: heard.append((task, threading.current_thread())))
        assert len(heard) == 1, "not before the loop comes to it"
        await asyncio.sleep(0.05)
        assert heard == [(held, threading.current_thread())] * 2

    def test_without_a_loop_it_comes_in_the_background_or_at_once(self, modern: lab.Server, workshop: Workshop) -> None:
        held = modern.task("hold", n=1)
        heard: list[str] = []
        held.add_done_callback(lambda _: heard.append(threading.current_thread().name))
        workshop.open()
        held.result(20)
        until(lambda: heard == ["pmcp_lab"])
        held.add_done_callback(lambda _: heard.append(threading.current_thread().name))
        assert heard == ["pmcp_lab", threading.current_thread().name]

    def test_one_that_is_removed_is_not_called(self, modern: lab.Server, workshop: Workshop) -> None:
        held = modern.task("hold", n=1)
        heard: list[object] = []
        held.add_done_callback(heard.append)
        held.add_done_callback(heard.append)
        assert held.remove_done_callback(heard.append) == 2
        assert held.remove_done_callback(heard.append) == 0
        workshop.open()
        held.result(20)
        time.sleep(0.05)
        assert heard == []

    def test_a_loop_that_is_over_is_told_nothing(
        self, modern: lab.Server, workshop: Workshop, caplog: pytest.LogCaptureFixture
    ) -> None:
        held = modern.task("hold", n=1)
        heard: list[object] = []

        async def main() -> None:
            held.add_done_callback(heard.append)

        asyncio.run(main())
        workshop.open()
        assert held.result(20).value["n"] == 1
        time.sleep(0.05)
        assert heard == [record for record in caplog.records if record.name == "concurrent.futures"] == []


class TestPickling:
    def test_a_result_can_be(self, modern: lab.Server) -> None:
        result = modern.call("double", n=4)
        again = pickle.loads(pickle.dumps(result))
        assert (again.value, again.raw, repr(again)) == (8, result.raw, repr(result))

    def test_a_task_says_that_it_cant(self, modern: lab.Server) -> None:
        task = modern.task("double", n=4)
        for what in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=rf"shop.double can't be pickled.*result\(\).*attach\('{task.id}'\)"):
                what(task)

    def test_nor_can_a_set(self, modern: lab.Server) -> None:
        many = modern.map("double", [1])
        for what in (many, many[:1]):
            with pytest.raises(TypeError, match=r"can't be pickled.*results\(\).*sets\['double 1'\]"):
                pickle.dumps(what)


class TestSets:
    def test_results_as_gather_has_them(self, modern: lab.Server) -> None:
        many = modern.map("double", [1, -2])
        _, two = many.results(return_exceptions=True, timeout=20)
        assert isinstance(two, ToolError)
        with pytest.raises(ToolError):
            many.results()
        with pytest.raises(InvalidArguments, match="return_exceptions must be True or False, not 'collect'"):
            many.results("collect")  # type: ignore[call-overload]

    def test_wait_says_whether_it_has_come(self, server: lab.Server, workshop: Workshop) -> None:
        many = server.map("hold", [{"n": n} for n in range(3)])
        until(lambda: workshop.running == 3)
        for when in ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"):
            assert many.wait(0.05, when) is False  # type: ignore[arg-type]
        many[0].cancel()
        assert many.wait(20, "FIRST_COMPLETED") is True
        assert many.wait(0.05, "FIRST_EXCEPTION") is False
        workshop.open()
        assert many.wait(20) is True
        with pytest.raises(InvalidArguments, match="return_when must be"):
            many.wait(1, "SOME")  # type: ignore[arg-type]

    def test_a_late_one_is_a_failure_in_every_way(self, modern: lab.Server, workshop: Workshop) -> None:
        many = modern.map("hold", [{"n": 1}, {"n": 2}], concurrency=1, timeout=0.2)
        assert many.wait(20, "FIRST_EXCEPTION") is True
        assert isinstance(many[0].exception(), TimeoutError)
        assert many[0].status == "failed"
        many.cancel()

    def test_a_slice_is_a_set_in_itself(self, server: lab.Server, workshop: Workshop) -> None:
        many = server.map("double", [{"n": n} for n in (1, -2, 3, 4)])
        middle = many[1:3]
        assert middle.wait(20)
        assert list(middle) == [many[1], many[2]]
        assert (len(middle), middle.counts, list(middle.index)) == (2, {"failed": 1, "completed": 1}, [1, 2])
        assert repr(middle) == "<TaskSlice shop.double: 2/2 done, 1 failed>"
        assert middle.df.index.tolist() == [1, 2]
        assert middle.df.n.tolist() == [-2, 3]
        assert [each.value for each in many[2:].results(timeout=20)] == [6, 8]
        assert [each.value for each in many[::-1][:2].results(timeout=20)] == [8, 6]
        assert {task.arguments["n"] for task in middle.as_completed(20)} == {-2, 3}
        with pytest.raises(ToolError) as caught:
            middle.results()
        assert "row 1: {'n': -2}" in caught.value.__notes__[0]
        workshop.broken = False
        many.retry().wait(20)
        assert [each.value for each in middle.results(timeout=20)] == [-4, 6]
        assert [each.value for each in asyncio.run(_awaited(many[:2]))] == [2, -4]

    def test_a_slice_can_be_cancelled(self, server: lab.Server, workshop: Workshop) -> None:
        many = server.map("hold", [{"n": n} for n in range(4)], concurrency=2)
        until(lambda: workshop.running == 2)
        many[1:3].cancel()
        workshop.open()
        assert many.wait(20)
        assert [task.status for task in many] == ["completed", "cancelled", "cancelled", "completed"]
        assert sorted(workshop.started) == [0, 1, 3]


async def _awaited(what: Any) -> Any:
    return await what


def test_planned_calls_are_futures_too(modern: lab.Server) -> None:
    task = Task(client_of(modern).plan(modern.tool("double"), {"n": 1}, as_task=True, queued=True))
    assert concurrent.futures.wait([task], 0.01).not_done == {task}
