"""When tasks are asked for: the exact schedule, under a clock that jumps, against a server that writes down."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest

from pmcp_lab.client.tasks.poller import (
    BURST,
    DEFAULT,
    FAIRNESS,
    FLOOR,
    IN_FLIGHT,
    JITTER,
    NOTIFIED,
    Listed,
    Poller,
    interval,
)
from pmcp_lab.errors import ConnectionClosed, PeerError, ServerBusy
from tests.unit.virtual_time import VirtualLoop, run


def now() -> float:
    return asyncio.get_running_loop().time()


class Stream:
    def __init__(self, honoured: Iterable[str]) -> None:
        self.honoured = frozenset(honoured)
        self.opened = now()
        self.closed = float("inf")
        self._over = asyncio.Event()

    async def over(self) -> None:
        await self._over.wait()

    def close(self) -> None:
        self.closed = min(self.closed, now())
        self._over.set()


class Server:
    """Has tasks and answers as it is told to; `asked` is what came in, with the time."""

    def __init__(self, *, page: int = 0, listens: bool = False, latency: float = 0.0) -> None:
        self.tasks: dict[str, float | None] = {}
        self.listed: list[str] | None = None
        """What `tasks/list` shows, when that is not all tasks."""
        self.page = page
        self.lists = page > 0
        self.listens = listens
        self.latency = latency
        self.honours: Collection[str] | None = None
        self.snapshot = True
        """Whether a new stream begins by telling how each task stands."""
        self.refusal: Exception | None = None
        self.asked: list[tuple[float, str, str]] = []
        self.streams: list[Stream] = []
        self.flying = self.most = 0
        self.watcher = Poller(self, random.Random(1))

    def watch(self, *names: str, every: float = 1.0) -> None:
        for name in names:
            self.tasks[name] = every
            self.watcher.watch(name, every)

    def times(self, kind: str, name: str | None = None) -> list[float]:
        return [moment for moment, what, detail in self.asked if what == kind and name in (None, detail)]

    def count(self) -> Counter[str]:
        return Counter(kind for _, kind, _ in self.asked)

    async def _ask(self, kind: str, detail: str) -> None:
        self.asked.append((now(), kind, detail))
        self.flying += 1
        self.most = max(self.most, self.flying)
        if self.latency:
            await asyncio.sleep(self.latency)
        self.flying -= 1
        if self.refusal is not None:
            raise self.refusal

    async def get(self, task_id: str) -> float | None:
        await self._ask("get", task_id)
        return self.tasks[task_id]

    async def list(self, cursor: str | None) -> Listed:
        await self._ask("list", cursor or "")
        shown = list(self.tasks) if self.listed is None else self.listed
        start = int(cursor or 0)
        page = {name: self.tasks.get(name) for name in shown[start : start + self.page]}
        return Listed(page, str(start + self.page) if start + self.page < len(shown) else None)

    async def listen(self, task_ids: Collection[str]) -> Stream:
        await self._ask("listen", str(len(task_ids)))
        stream = Stream(name for name in task_ids if self.honours is None or name in self.honours)
        self.streams.append(stream)
        if self.snapshot:
            for name in stream.honoured:
                asyncio.get_running_loop().call_soon(self.watcher.heard, name, self.tasks[name])
        return stream


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[None]:
    running = asyncio.create_task(server.watcher.run())
    await asyncio.sleep(0)
    yield
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def names(count: int) -> list[str]:
    return [f"t{n:04}" for n in range(count)]


def follow(server: Server, tasks: Iterable[str], seconds: float, *, every: float = 1.0) -> Server:
    async def main() -> None:
        async with connected(server):
            server.watch(*tasks, every=every)
            await asyncio.sleep(seconds)

    run(main())
    return server


class TestOneByOne:
    @pytest.mark.parametrize("every", [0.25, 1.0, 7.0])
    def test_never_before_its_interval_and_late_by_the_jitter_at_most(self, every: float) -> None:
        times = follow(Server(), ["a"], 100 * every, every=every).times("get")
        gaps = [later - earlier for earlier, later in pairwise([0.0, *times])]
        assert all(every <= gap <= every * (1 + JITTER) + 1e-6 for gap in gaps)
        assert max(gaps) - min(gaps) > every * JITTER / 2, "they do drift apart"

    def test_never_more_often_than_the_floor(self) -> None:
        times = follow(Server(), ["a"], 10, every=0.0).times("get")
        assert all(later - earlier >= FLOOR for earlier, later in pairwise(times))

    def test_at_most_a_request_per_task_and_interval(self) -> None:
        server = follow(Server(), names(100), 60)
        assert 100 * 60 / (1 + JITTER) - 100 <= len(server.asked) <= 100 * 60
        assert set(server.count()) == {"get"}

    def test_a_changed_wish_is_followed(self) -> None:
        async def main() -> list[float]:
            server = Server()
            async with connected(server):
                server.watch("a", every=1.0)
                await asyncio.sleep(3)
                server.tasks["a"] = 20.0
                await asyncio.sleep(60)
            return server.times("get")

        gaps = [later - earlier for earlier, later in pairwise(run(main()))]
        assert gaps[-1] >= 20.0

    def test_it_stops_at_the_end(self) -> None:
        server = Server()

        async def main() -> None:
            async with connected(server):
                server.watch("a", "b")
                await asyncio.sleep(3)
                server.tasks["a"] = None
                await asyncio.sleep(2)
                server.watcher.forget("a")
                server.watcher.forget("b")
                before = len(server.asked)
                await asyncio.sleep(100)
                assert len(server.asked) == before

        run(main())
        assert len(server.times("get", "a")) <= 5

    def test_what_is_forgotten_while_it_is_asked_for_is_not_asked_for_again(self) -> None:
        server = Server(latency=1.0)

        async def main() -> None:
            async with connected(server):
                server.watch("a", "b")
                await asyncio.sleep(2)
                server.watcher.forget("a")
                await asyncio.sleep(20)

        run(main())
        assert len(server.times("get", "a")) == 1
        assert len(server.times("get", "b")) >= 8

    def test_a_bounded_number_at_a_time(self) -> None:
        server = follow(Server(latency=2.0), names(300), 60)
        assert server.most == IN_FLIGHT
        assert len({detail for _, _, detail in server.asked}) == 300

    def test_a_slow_answer_holds_up_nobody(self) -> None:
        class Slow(Server):
            async def get(self, task_id: str) -> float | None:
                if task_id == "slow":
                    await asyncio.sleep(1000)
                return await super().get(task_id)

        server = follow(Slow(), ["slow", "a", "b"], 10)
        assert len(server.times("get", "a")) >= 8
        assert len(server.times("get", "b")) >= 8

    def test_what_is_looked_at_goes_first_and_nobody_starves(self) -> None:
        server = Server(latency=1.0)

        async def main() -> None:
            async with connected(server):
                server.watcher.prefer(names(400)[-IN_FLIGHT:])
                server.watch(*names(400), every=FLOOR)
                await asyncio.sleep(200)

        run(main())
        seen = Counter(detail for _, _, detail in server.asked)
        watched, others = names(400)[-IN_FLIGHT:], names(400)[:-IN_FLIGHT]
        assert min(seen[name] for name in watched) > 5 * max(seen[name] for name in others)
        assert min(seen[name] for name in others) >= 1
        second = [detail for _, _, detail in server.asked[IN_FLIGHT : 2 * IN_FLIGHT]]
        assert len(set(second) & set(watched)) >= IN_FLIGHT // 2

    @pytest.mark.parametrize("seen", [names(100)[50:], names(100)[::-1]], ids=["half of them", "all, from the last"])
    def test_of_four_polls_one_goes_to_whoever_waits_longest_seen_or_not(self, seen: list[str]) -> None:
        server = Server(latency=1.0)

        async def main() -> None:
            async with connected(server):
                server.watcher.prefer(seen)
                server.watch(*names(100), every=0.0)
                await asyncio.sleep(0.5)

        run(main())
        asked = [detail for _, _, detail in server.asked]
        assert len(asked) == IN_FLIGHT
        assert asked[::FAIRNESS] == names(100)[: IN_FLIGHT // FAIRNESS]
        others = [name for place, name in enumerate(asked) if place % FAIRNESS]
        assert others == seen[: len(others)]

    def test_nobody_starves_while_more_are_looked_at_than_can_be_asked_for(self) -> None:
        server = Server(latency=1.0)

        async def main() -> None:
            async with connected(server):
                server.watcher.prefer(names(200)[-4 * IN_FLIGHT :])
                server.watch(*names(200), every=FLOOR)
                await asyncio.sleep(100)

        run(main())
        assert {detail for _, _, detail in server.asked} == set(names(200))

    def test_asked_for_at_once(self) -> None:
        async def main() -> Server:
            server = Server(latency=0.5)
            async with connected(server):
                server.watch("a", every=100.0)
                await asyncio.sleep(1)
                server.watcher.ask("a")
                await asyncio.sleep(0.1)
                server.watcher.ask("a")  # while it is being asked for: the answer may be older than the reason
                await asyncio.sleep(5)
            return server

        first, second = run(main()).times("get")
        assert first == 1.0
        assert 1.5 + FLOOR <= second <= 1.5 + FLOOR * (1 + JITTER)

    def test_hints(self) -> None:
        assert interval(None) == DEFAULT
        assert interval(2500) == 2.5
        assert interval(0) == FLOOR


class TestTold:
    def test_what_the_server_tells_of_is_polled_less(self) -> None:
        async def main() -> Server:
            server = Server()
            async with connected(server):
                server.watch("told", "untold")
                for _ in range(600):
                    await asyncio.sleep(0.1)
                    server.watcher.heard("told", 1.0)
                assert server.times("get", "told") == []
                await asyncio.sleep(NOTIFIED * (1 + JITTER))
            return server

        server = run(main())
        assert len(server.times("get", "told")) == 1, "those notifications are optional"
        assert len(server.times("get", "untold")) >= 45

    def test_an_end_that_was_told_ends_it(self) -> None:
        async def main() -> Server:
            server = Server()
            async with connected(server):
                server.watch("a")
                await asyncio.sleep(0.5)
                server.watcher.heard("a", None)
                await asyncio.sleep(100)
            return server

        assert run(main()).asked == []


class TestBusy:
    def test_retry_after_is_respected_for_everything(self) -> None:
        async def main() -> Server:
            server = Server()
            async with connected(server):
                server.watch(*names(3))
                server.refusal = ServerBusy("busy", 30.0)
                await asyncio.sleep(1.3)
                refused = len(server.asked)
                assert 1 <= refused <= 3
                server.refusal = None
                await asyncio.sleep(29)
                assert len(server.asked) == refused
                await asyncio.sleep(2)
                assert {detail for _, _, detail in server.asked[refused:]} == set(names(3))
            return server

        run(main())

    def test_of_two_wishes_the_longer_one_counts(self) -> None:
        class Wishing(Server):
            async def get(self, task_id: str) -> float | None:
                self.asked.append((now(), "get", task_id))
                await asyncio.sleep(1.0 if task_id == "long" else 2.0)
                raise ServerBusy("busy", 30.0 if task_id == "long" else 5.0)

        times = follow(Wishing(), ["long", "short"], 25, every=FLOOR).times("get")
        assert len(times) == 2

    def test_without_a_wish_ever_longer(self) -> None:
        async def main() -> list[float]:
            server = Server()
            server.refusal = ServerBusy("busy", None)
            async with connected(server):
                server.watch("a")
                await asyncio.sleep(200)
            return server.times("get")

        gaps = [later - earlier for earlier, later in pairwise(run(main()))]
        assert gaps[:5] == pytest.approx([1, 2, 4, 8, 16], abs=0.01)
        assert max(gaps) == pytest.approx(30, abs=0.01)


class TestByList:
    def test_a_thousand_tasks_are_twenty_requests(self) -> None:
        server = follow(Server(page=50), names(1000), 10)
        starts = server.times("list", "")
        assert server.count() == {"list": 20 * len(starts)}
        assert len(starts) >= 8
        assert all(later - earlier >= 1.0 for earlier, later in pairwise([0.0, *starts])), "not before any hint"

    def test_one_request_where_pages_are_big(self) -> None:
        server = follow(Server(page=5000), names(1000), 10)
        assert len(server.asked) <= 10

    def test_a_few_among_many_are_asked_for_one_by_one(self) -> None:
        server = Server(page=50)
        server.tasks = dict.fromkeys(names(5000), 1.0)
        follow(server, names(5000)[-3:], 50)
        # A list of a hundred pages is tried for three requests' worth, and then not for a while.
        assert server.count()["list"] <= 3
        assert 110 <= server.count()["get"] <= 150

    def test_what_is_on_the_first_page_is_not_looked_for_on_others(self) -> None:
        server = Server(page=50)
        server.tasks = dict.fromkeys(names(5000), 1.0)
        follow(server, names(40), 10)
        assert set(server.count()) == {"list"}
        assert len(server.asked) <= 10

    def test_a_list_that_did_not_pay_once_is_not_given_up_when_many_more_come(self) -> None:
        server = Server(page=50)
        # As a server lists them: the newest first, so that what is watched moves to later pages.
        server.listed = []

        async def scenario() -> None:
            async with connected(server):
                for number in range(1000):
                    server.listed = [f"task {number}", *(server.listed or [])]
                    server.watch(f"task {number}")
                    await asyncio.sleep(0.01)
                await asyncio.sleep(10)

        run(scenario())
        assert server.count()["get"] <= 300, server.count()

    def test_what_no_list_shows_is_asked_for_by_itself(self) -> None:
        server = Server(page=50)
        server.listed = names(100)[:90]
        follow(server, names(100), 20)
        one_by_one = {detail for _, kind, detail in server.asked if kind == "get"}
        assert one_by_one == set(names(100)[90:])
        for name in one_by_one:
            assert len(server.times("get", name)) >= 14
        assert server.count()["list"] <= 2 * 20

    def test_a_list_that_fails_is_left_alone(self) -> None:
        class Broken(Server):
            async def list(self, cursor: str | None) -> Listed:
                await self._ask("list", "")
                raise PeerError("no such method", code=-32601)

        server = follow(Broken(page=50), names(100), 30)
        assert server.count()["list"] == 1
        assert server.count()["get"] >= 2400

    def test_slow_ones_are_not_asked_for_with_fast_ones(self) -> None:
        async def main() -> Server:
            server = Server()
            async with connected(server):
                server.watch("fast", every=0.5)
                server.watch("slow", every=60.0)
                await asyncio.sleep(59)
            return server

        server = run(main())
        assert server.times("get", "slow") == []
        assert len(server.times("get", "fast")) >= 95


class TestByStream:
    def test_a_thousand_tasks_are_one_request_and_no_poll(self) -> None:
        server = follow(Server(listens=True), names(1000), 3600)
        assert server.count() == {"listen": 1}

    def test_a_healthy_stream_costs_no_wake_ups(self) -> None:
        async def main() -> int:
            server = Server(listens=True)
            async with connected(server):
                server.watch(*names(1000))
                await asyncio.sleep(60)
                loop = asyncio.get_running_loop()
                assert isinstance(loop, VirtualLoop)
                before = loop.wakes
                await asyncio.sleep(3600)
                return loop.wakes - before

        assert run(main()) <= 2

    def test_nothing_to_watch_costs_no_wake_ups(self) -> None:
        async def main() -> int:
            server = Server()
            async with connected(server):
                server.watch("a")
                await asyncio.sleep(10)
                server.watcher.forget("a")
                await asyncio.sleep(10)
                loop = asyncio.get_running_loop()
                assert isinstance(loop, VirtualLoop)
                before = loop.wakes
                await asyncio.sleep(3600)
                return loop.wakes - before

        assert run(main()) <= 2

    def test_new_tasks_share_listens_and_no_moment_is_unheard(self) -> None:
        async def main() -> Server:
            server = Server(listens=True, latency=0.05)
            async with connected(server):
                for name in names(1000):
                    server.watch(name)
                    await asyncio.sleep(0.005)
                await asyncio.sleep(60)
            return server

        server = run(main())
        assert server.count()["get"] == 0
        assert server.count()["listen"] <= 15
        assert server.streams[-1].honoured == set(names(1000)), "in the end one stream tells of all"
        assert sum(len(stream.honoured) for stream in server.streams) < 6_000, "few ids were sent again"
        for name in names(1000):
            telling = [stream for stream in server.streams if name in stream.honoured]
            assert all(before.closed >= after.opened for before, after in pairwise(telling))
        for stream in server.streams:
            moment = stream.opened
            assert sum(other.opened <= moment < other.closed for other in server.streams) <= 10

    def test_what_is_not_honoured_is_polled(self) -> None:
        server = Server(listens=True)
        server.honours = names(10)[:7]
        follow(server, names(10), 30)
        assert {detail for _, kind, detail in server.asked if kind == "get"} == set(names(10)[7:])
        assert server.count()["listen"] == 1
        assert server.count()["get"] >= 3 * 24

    @pytest.mark.parametrize("code", [-32601, -32602, -32021])
    def test_a_server_without_streams_is_polled(self, code: int) -> None:
        class Deaf(Server):
            async def listen(self, task_ids: Collection[str]) -> Stream:
                await self._ask("listen", "")
                raise PeerError("no", code=code)

        server = follow(Deaf(listens=True), names(5), 30)
        assert server.count()["listen"] == 1
        assert server.count()["get"] >= 5 * 24

    def test_a_server_that_takes_no_task_ids_is_polled(self) -> None:
        server = Server(listens=True)
        server.honours = ()
        follow(server, names(5), 30)
        assert server.count()["listen"] == 1
        assert server.count()["get"] >= 5 * 24

    def test_what_a_stream_does_not_tell_at_first_is_asked_for_once(self) -> None:
        server = Server(listens=True)
        server.snapshot = False
        follow(server, names(200), 600)
        assert server.count() == {"listen": 1, "get": 200}
        assert max(server.times("get")) < BURST + 2

    def test_a_dropped_stream_is_opened_again(self) -> None:
        async def main() -> Server:
            server = Server(listens=True)
            async with connected(server):
                server.watch(*names(50))
                await asyncio.sleep(100)
                server.streams[-1].close()
                await asyncio.sleep(100)
            return server

        server = run(main())
        assert server.count() == {"listen": 2}
        assert server.streams[1].opened - 100 < 2.0

    def test_streams_that_always_drop_are_tried_ever_less_and_polls_fill_in(self) -> None:
        class Dropping(Server):
            async def listen(self, task_ids: Collection[str]) -> Stream:
                stream = await super().listen(task_ids)
                asyncio.get_running_loop().call_later(0.5, stream.close)
                return stream

        server = follow(Dropping(listens=True), ["a"], 300)
        assert server.count()["listen"] < 60
        heard = sorted([*server.times("get"), *(stream.opened for stream in server.streams)])
        assert max(later - earlier for earlier, later in pairwise(heard)) < 4.0

    def test_a_stream_that_can_not_be_opened_now_is_tried_again(self) -> None:
        async def main() -> Server:
            server = Server(listens=True)
            server.refusal = ConnectionClosed("not now")
            async with connected(server):
                server.watch("a")
                await asyncio.sleep(5)
                server.refusal = None
                await asyncio.sleep(100)
                polled = server.count()["get"]
                await asyncio.sleep(100)
                assert server.count()["get"] == polled
            return server

        assert len(run(main()).streams) == 1

    def test_the_stream_ends_with_the_last_task(self) -> None:
        async def main() -> Server:
            server = Server(listens=True)
            async with connected(server):
                server.watch("a", "b")
                await asyncio.sleep(10)
                server.watcher.forget("a")
                assert server.streams[0].closed == float("inf")
                server.watcher.forget("b")
                await asyncio.sleep(10)
            return server

        assert run(main()).streams[0].closed == 10.0


class TestAgain:
    @pytest.mark.parametrize(("server", "requests"), [(Server(page=50), 2), (Server(), 100)])
    def test_a_new_connection_refreshes_everything_at_once(self, server: Server, requests: int) -> None:
        async def main() -> None:
            async with connected(server):
                server.watch(*names(100), every=60.0)
                await asyncio.sleep(1)
            assert server.asked == []
            await asyncio.sleep(5)
            async with connected(server):
                await asyncio.sleep(1)

        run(main())
        assert len(server.asked) == requests
        assert all(6.0 <= moment < 6.1 for moment, _, _ in server.asked)

    def test_by_stream_too(self) -> None:
        async def main() -> Server:
            server = Server(listens=True)
            async with connected(server):
                server.watch(*names(100))
                await asyncio.sleep(10)
            async with connected(server):
                server.honours = names(100)[:90]
                await asyncio.sleep(20)
            return server

        server = run(main())
        assert server.count()["listen"] == 2
        forgotten = names(100)[90:]
        assert {detail for _, kind, detail in server.asked if kind == "get"} == set(forgotten)
        assert all(server.times("get", name)[0] < 11.0 for name in forgotten), "so that what is lost is soon known"
