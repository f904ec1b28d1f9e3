"""What becomes of a connection and its tasks when the server dies, restarts, forgets the session or drops a stream."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pmcp_lab as lab
from pmcp_lab.client import client_of, runtime
from pmcp_lab.client.connection import connection
from pmcp_lab.errors import ConnectionClosed
from tests.unit.durable_server import DurableServer, over_stdio
from tests.unit.scripted_http import ScriptedHttp

SERVERS = Path(__file__).parents[2] / "servers"
PYTHONPATH = {"PYTHONPATH": str(Path(__file__).parents[3])}

MODES = ["legacy", "2026-07-28"]


def until(condition: Callable[[], object], timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def closed_afterwards() -> Iterator[None]:
    yield
    for server in lab.servers().values():
        server.close()


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[DurableServer]:
    server = DurableServer(tmp_path)
    yield server
    server.kill()


def start(server: lab.Server, count: int) -> list[lab.Task]:
    return [server.task("hold", number=number) for number in range(count)]


def end(server: lab.Server, runs: list[lab.Task]) -> None:
    """Let them end, and see that each handle does, with its own result."""
    server.call("release")
    assert [run.result(60).value for run in runs] == list(range(len(runs)))
    assert {run.status for run in runs} == {"completed"}
    assert not any(run.trouble for run in runs)


@pytest.mark.timeout(180)  # starts a server three times
@pytest.mark.parametrize("mode", MODES)
def test_a_url_is_killed_twice_under_its_tasks(mode: str, durable: DurableServer) -> None:
    server = durable.connect(f"killed-{mode}", mode)
    runs = start(server, 40)  # `make stress` has a thousand, and twenty kills
    for _ in range(2):
        durable.kill()
        until(lambda: all("reconnecting to" in (run.trouble or "") for run in runs))
        assert server.status == "reconnecting"
        durable.start()
        until(lambda: not any(run.trouble for run in runs))
        assert {run.status for run in runs} == {"working"}
    end(server, runs)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", MODES)
def test_a_command_is_killed_under_its_tasks(mode: str, tmp_path: Path) -> None:
    server = over_stdio(tmp_path, f"shot-{mode}", mode)
    runs = start(server, 50)
    for _ in range(2):
        old = server.call("pid").value
        os.kill(old, signal.SIGKILL)
        until(lambda: all("reconnecting to" in (run.trouble or "") for run in runs))
        assert server.call("pid").value != old, "a call waits for the new process"
        until(lambda: not any(run.trouble for run in runs))
    end(server, runs)
    assert {run.variables["worker"] for run in runs} == {server.call("pid").value}


@pytest.fixture
def scripted() -> Iterator[ScriptedHttp]:
    server = ScriptedHttp()
    yield server
    server.close()


class TestSession:
    @pytest.mark.parametrize("status", [202, 404, 500])
    def test_its_end_is_nothing_to_tell(
        self, scripted: ScriptedHttp, status: int, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        scripted.farewell = status
        with lab.connect(scripted.url, name=f"ended-{status}") as server:
            assert server.call("dig").text == "dug"
        assert not scripted.sessions
        assert [record.message for record in caplog.records if record.levelname != "INFO"] == []
        assert capsys.readouterr().err == ""

    def test_a_stream_that_nobody_reads_any_more_is_nothing_to_tell(
        self, scripted: ScriptedHttp, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        scripted.flood_on = "tools/call"
        with ThreadPoolExecutor(1) as pool:
            for n in range(5):
                server = lab.connect(scripted.url, name=f"flooded-{n}")
                call = pool.submit(server.call, "dig")
                until(lambda n=n: scripted.count()["tools/call"] == n + 1)
                time.sleep(0.1)
                server.close()
                assert isinstance(call.exception(10), ConnectionClosed)
        assert [record.message for record in caplog.records if record.levelname != "INFO"] == []
        assert capsys.readouterr().err == ""

    def test_an_expired_session_is_begun_again(self, scripted: ScriptedHttp) -> None:
        server = lab.connect(scripted.url, name="expired")
        runs = [server.task("dig") for _ in range(3)]
        scripted.forget_sessions()
        until(lambda: scripted.count()["initialize"] == 2)
        scripted.tasks = dict.fromkeys(scripted.tasks, "completed")
        assert [run.result(10).text for run in runs] == ["task-0", "task-1", "task-2"]
        assert scripted.count()["initialize"] == 2

    def test_a_call_into_an_expired_session_was_not_taken_up_and_is_sent_again(self, scripted: ScriptedHttp) -> None:
        server = lab.connect(scripted.url, name="into-expired")
        assert server.call("dig").text == "dug"
        scripted.forget_sessions()
        assert server.call("dig").text == "dug"
        assert scripted.count()["initialize"] == 2

    def test_a_call_that_may_have_been_taken_up_is_never_repeated(self, scripted: ScriptedHttp) -> None:
        server = lab.connect(scripted.url, name="hung-up")
        server.call("dig")
        scripted.hang_up_on = "tools/call"
        with pytest.raises(ConnectionClosed, match="'hung-up': the connection broke before the answer came"):
            server.call("dig")
        scripted.hang_up_on = None
        assert scripted.count()["tools/call"] == 2
        assert server.call("dig").text == "dug"
        assert scripted.count()["initialize"] == 1, "it happened to that call alone"

    def test_what_only_reads_is_asked_again_where_its_connection_broke(self, scripted: ScriptedHttp) -> None:
        server = lab.connect(scripted.url, name="broke")
        runs = [server.task("dig") for _ in range(3)]
        scripted.hang_up_on = "tasks/list"
        threading.Timer(0.3, lambda: setattr(scripted, "hang_up_on", None)).start()
        server.tasks.refresh()
        assert not any(run.trouble for run in runs)
        assert scripted.count()["tasks/list"] >= 2
        assert scripted.count()["initialize"] == 1

    def test_what_only_reads_is_asked_again(self, scripted: ScriptedHttp) -> None:
        server = lab.connect(scripted.url, name="reading")
        scripted.forget_sessions()
        server.refresh()
        assert "dig" in server.tools

    def test_tasks_the_server_forgot_with_the_session_end_as_unknown(self, scripted: ScriptedHttp) -> None:
        server = lab.connect(scripted.url, name="forgetful")
        kept, lost = server.task("dig"), server.task("dig")
        del scripted.tasks[str(lost.id)]
        scripted.forget_sessions()
        with pytest.raises(ConnectionClosed, match="does not know task task-1 of dig any more, which was working"):
            lost.result(10)
        assert lost.status == "unknown"
        assert str(lost.trouble).endswith("its session ended. It is back, but does not know this task any more.")
        assert kept.status == "working"
        assert kept.trouble is None

    def test_a_result_that_was_on_its_way_is_fetched_again(self, scripted: ScriptedHttp) -> None:
        server = lab.connect(scripted.url, name="fetching")
        ended, working = server.task("dig"), server.task("dig")
        scripted.stall_on = "tasks/result"
        scripted.tasks[str(ended.id)] = "completed"
        until(lambda: scripted.count()["tasks/result"] == 1)
        scripted.stall_on = None
        scripted.forget_sessions()
        assert ended.result(4).text == "task-0", "though the first request for it still hangs"
        assert ended.trouble is None
        assert working.status == "working"


class TestBusy:
    def test_retry_after_is_kept_to(self, scripted: ScriptedHttp) -> None:
        server = lab.connect(scripted.url, name="busy")
        run = server.task("dig")
        scripted.retry_after, scripted.busy_until = 1, time.monotonic() + 0.9
        until(lambda: run.trouble)
        assert run.trouble == "Server 'busy' answered: Too Many Requests (HTTP 429); try again in 1 s"
        until(lambda: run.trouble is None)
        polls = [moment for moment, method in scripted.asked if method == "tasks/get"]
        refused = [moment for moment in polls if moment < scripted.busy_until]
        assert len(refused) == 1
        assert polls[len(refused)] - refused[0] >= 1.0
        assert scripted.count()["initialize"] == 1, "busy is not lost"


class TestRequests:
    def test_a_refresh_of_two_hundred_tasks_is_four_pages(self, scripted: ScriptedHttp) -> None:
        server = lab.connect(scripted.url, name="paged")
        for _ in range(200):
            server.task("dig")
        # On a slow machine the first of them are due before the last is started.
        until(lambda: scripted.count()["tasks/list"] >= 8)
        scripted.asked.clear()
        until(lambda: scripted.count()["tasks/list"] >= 12)
        assert set(scripted.count()) == {"tasks/list"}

    def test_without_a_list_each_is_asked_for_at_its_pace(self, scripted: ScriptedHttp) -> None:
        scripted.lists = False
        server = lab.connect(scripted.url, name="unlisted")
        for _ in range(20):
            server.task("dig")
        scripted.asked.clear()
        time.sleep(1.0)
        assert set(scripted.count()) == {"tasks/get"}
        assert 40 <= len(scripted.asked) <= 100

    def test_two_hundred_modern_tasks_from_start_to_end_are_a_few_listens(self, durable: DurableServer) -> None:
        server = durable.connect("listened", "2026-07-28")
        runs = start(server, 200)
        end(server, runs)
        asked = server.call("asked").value
        assert "tasks/get" not in asked
        assert 1 <= asked["subscriptions/listen"] <= 40


class TestGivingUp:
    def test_a_command_that_ends_at_once_each_time_is_closed_with_its_last_words(self, tmp_path: Path) -> None:
        script = tmp_path / "moody.py"
        script.write_text(MOODY)
        server = lab.connect([sys.executable, str(script), str(tmp_path / "started")], name="moody", mode="legacy")
        until(lambda: server.closed)
        with pytest.raises(ConnectionClosed, match="not again"):
            server.call("anything", check=False)
        assert len((tmp_path / "started").read_text()) == 1 + connection.RESTARTS

    def test_closing_while_it_reconnects(self, durable: DurableServer) -> None:
        server = durable.connect("closing", "2026-07-28")
        run = start(server, 1)[0]
        durable.kill()
        until(lambda: server.status == "reconnecting")
        assert repr(server) == "<Server closing: reconnecting, http>"
        server.close()
        assert server.closed
        assert isinstance(run.exception(5), ConnectionClosed)
        assert run.status == "unknown"

    def test_a_call_does_not_wait_for_ever(self, durable: DurableServer, monkeypatch: pytest.MonkeyPatch) -> None:
        server = durable.connect("waiting", "legacy")
        durable.kill()
        until(lambda: server.status == "reconnecting")
        with pytest.raises(ConnectionClosed, match=r"is away; reconnecting to 'waiting' \(attempt \d+\)"):
            client_of(server).connection.wait(0.3)
        durable.start()
        assert server.call("pid").value == durable.process.pid

    def test_every_call_waits_while_the_server_is_started_again(self, tmp_path: Path) -> None:
        """A cell's and an app's: there is one way for all."""
        with over_stdio(tmp_path, "away", "2026-07-28") as server:
            client = client_of(server)

            def away() -> None:
                os.kill(server.call("pid").value, signal.SIGKILL)
                until(lambda: server.status != "open")

            away()
            before = server.call("pid", timeout=40).value
            away()
            raw = runtime().run(client.pass_on("pid", {}), 40)
            assert raw["structuredContent"]["result"] != before
            away()
            assert runtime().run(client.ask(lambda peer: peer.list_tools(), again=True), 40)

    def test_a_server_object_is_not_connected_to_again(self) -> None:
        from pmcp_lab.demo import build

        server = lab.connect(build(), name="mine", mode="2026-07-28")
        run = server.task("train", epochs=100, seconds=60)
        server.close()
        assert server.closed
        assert isinstance(run.exception(5), ConnectionClosed)


MOODY = """
import json, sys
with open(sys.argv[1], "a") as started:
    started.write("x")
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] != "initialize":
        print("not again", file=sys.stderr, flush=True)
        raise SystemExit(1)
    info = {"name": "moody", "version": "1"}
    result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""
