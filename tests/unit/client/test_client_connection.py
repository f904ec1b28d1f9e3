"""Connections: every kind of target, both generations, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.errors import (
    ConnectionClosed,
    ConnectionFailed,
    InputRequired,
    InvalidArguments,
    NotOffered,
    TargetError,
    TaskCancelled,
    ToolError,
    UnknownServer,
    UnknownTool,
)

SERVERS = Path(__file__).parents[2] / "servers"
MODES = ["legacy", "2026-07-28"]
PYTHONPATH = {"PYTHONPATH": str(Path(__file__).parents[3])}


def script(name: str) -> list[str]:
    return [sys.executable, str(SERVERS / f"{name}.py")]


@pytest.fixture(params=MODES, scope="module")
def demo(request: pytest.FixtureRequest) -> Iterator[lab.Server]:
    server = lab.connect("demo", name=f"demo-{request.param}", mode=request.param)
    yield server
    server.close()


@pytest.fixture(autouse=True)
def closed_afterwards() -> Iterator[None]:
    before = set(lab.servers())
    yield
    for name, server in lab.servers().items():
        if name not in before and not name.startswith("demo-"):
            server.close()


def until(condition: object, timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


class TestCalls:
    def test_a_call_returns_the_value(self, demo: lab.Server) -> None:
        assert demo.call("add", a=1, b=2).value == 3
        assert demo.call("add", {"a": 1}, b=2).value == 3

    def test_what_was_negotiated(self, demo: lab.Server) -> None:
        assert demo.version == ("2025-11-25" if "legacy" in demo.name else "2026-07-28")
        assert repr(demo).startswith(f"<Server {demo.name}: ")

    def test_an_unknown_tool_offers_the_nearest(self, demo: lab.Server) -> None:
        with pytest.raises(UnknownTool, match="Did you mean 'add'"):
            demo.call("ad", a=1, b=2)

    def test_a_wrong_type_names_the_schema_path(self, demo: lab.Server) -> None:
        with pytest.raises(InvalidArguments, match=r"a: 'x' is not of type 'integer' \(schema: properties/a/type\)"):
            demo.call("add", a="x", b=2)

    def test_a_misspelt_argument_is_not_dropped(self, demo: lab.Server) -> None:
        with pytest.raises(InvalidArguments, match="epoch: not an argument of this tool. Did you mean 'epochs'"):
            demo.task("train", epoch=3)

    def test_a_tool_error_carries_the_result(self, demo: lab.Server) -> None:
        with pytest.raises(ToolError, match="went away") as caught:
            demo.call("flaky", after=0.01)
        assert caught.value.result["isError"] is True

    def test_a_call_that_takes_too_long_is_given_up(self, demo: lab.Server) -> None:
        with pytest.raises(TimeoutError):
            demo.call("train", epochs=50, seconds=30, timeout=0.3)
        assert demo.call("add", a=1, b=2).value == 3

    def test_calls_from_many_threads(self, demo: lab.Server) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda n: demo.call("add", a=n, b=n).value, range(40))) == [2 * n for n in range(40)]


class TestTasks:
    def test_a_task_from_start_to_end(self, demo: lab.Server) -> None:
        seen: list[tuple[str, float | None]] = []
        run = demo.task("train", epochs=4, seconds=1)
        run.subscribe(lambda task: seen.append((task.status, task.progress)))
        assert run.id
        assert run.status == "working"
        assert run.result(timeout=20).value["epochs"] == 4
        assert run.status == "completed"
        assert run.progress == 1.0
        assert run.variables["epoch"] == 4
        assert any(progress not in (None, 0.0, 1.0) for _, progress in seen), "progress was seen on the way"
        assert [moment.status for moment in run.moments][-1] == "completed"
        assert list(run.history.columns) == ["time", "kind", "name", "old", "new"]

    def test_it_can_be_awaited_on_any_loop(self, demo: lab.Server) -> None:
        async def main() -> object:
            return (await demo.task("train", epochs=2, seconds=0.3)).value["epochs"]

        assert asyncio.run(main()) == 2

    def test_two_at_once(self, demo: lab.Server) -> None:
        first, second = (demo.task("train", epochs=3, seconds=0.6) for _ in range(2))
        assert first.id != second.id
        assert first != second
        assert first.result(20).value["epochs"] == second.result(20).value["epochs"] == 3

    def test_cancel(self, demo: lab.Server) -> None:
        run = demo.task("train", epochs=100, seconds=60)
        run.cancel()
        with pytest.raises(TaskCancelled):
            run.result(timeout=10)
        assert run.status == "cancelled"
        run.cancel()  # of an ended task: nothing to do

    def test_a_result_that_is_not_there_yet(self, demo: lab.Server) -> None:
        run = demo.task("train", epochs=100, seconds=60)
        with pytest.raises(TimeoutError, match="is still working after 0.2 s; it goes on"):
            run.result(timeout=0.2)
        run.cancel()

    def test_failure(self, demo: lab.Server) -> None:
        run = demo.task("flaky", after=0.1)
        assert isinstance(run.exception(timeout=10), ToolError)
        assert "went away" in str(run.exception())

    def test_a_question(self, demo: lab.Server) -> None:
        run = demo.task("publish", model="m")
        until(lambda: run.questions)
        assert run.status == "input_required"
        with pytest.raises(InvalidArguments, match="'publish' is a required property"):
            run.answer({})
        assert run.questions, "a wrong answer loses nothing"
        run.answer({"publish": True, "visibility": "company"})
        assert run.result(timeout=10).value["visibility"] == "company"

    def test_a_declined_question(self, demo: lab.Server) -> None:
        run = demo.task("publish", model="m")
        until(lambda: run.questions)
        run.answer(action="decline")
        assert run.result(timeout=10).value["published"] is False

    def test_a_question_to_a_plain_call_is_not_waited_for_in_silence(self, demo: lab.Server) -> None:
        if demo.version == "2025-11-25":
            # Asked within the call itself: the tool is told that nobody answers.
            assert demo.call("publish", model="m", timeout=20).value["published"] is False
            return
        with pytest.raises(InputRequired, match=r"asks: 'Publish m\?'\nA plain call can't answer; start it with task"):
            demo.call("publish", model="m", timeout=20)

    def test_a_tool_that_the_server_does_not_make_a_task_of(self, demo: lab.Server) -> None:
        run = demo.task("add", a=1, b=2)
        assert run.result(timeout=10).value == 3
        assert run.local
        assert run.status == "completed"

    def test_the_same_from_a_callback(self, demo: lab.Server) -> None:
        ended: list[str] = []
        run = demo.task("train", epochs=1, seconds=0.1)
        run.add_done_callback(lambda task: ended.append(task.status))
        run.result(10)
        until(lambda: ended == ["completed"])


class TestTargets:
    @pytest.mark.parametrize("mode", ["auto", *MODES])
    def test_a_server_object(self, mode: str) -> None:
        from pmcp_lab.demo import build

        with lab.connect(build(), name=f"local-{mode}", mode=mode) as server:
            assert server.call("add", a=2, b=2).value == 4
            assert server.task("train", epochs=2, seconds=0.2).result(10).value["epochs"] == 2

    @pytest.mark.parametrize("mode", ["auto", *MODES])
    def test_a_url(self, mode: str, http_demo: str) -> None:
        with lab.connect(http_demo, mode=mode) as server:
            assert server.call("add", a=2, b=2).value == 4
            run = server.task("publish", model="m")
            until(lambda: run.questions)
            run.answer({"publish": False})
            assert run.result(10).value["published"] is False

    def test_an_entry_of_a_file(self, tmp_path: Path) -> None:
        import json

        file = tmp_path / "servers.json"
        entry = {"command": sys.executable, "args": ["-m", "pmcp_lab", "demo"], "env": PYTHONPATH}
        file.write_text(json.dumps({"mcpServers": {"mine": entry}}))
        with lab.connect("mine", config=file) as server:
            assert server.name == "mine"
            assert server.call("add", a=2, b=2).value == 4

    def test_the_same_cell_twice_is_the_same_connection(self) -> None:
        first = lab.connect("demo", name="again")
        assert lab.connect("demo", name="again") is first
        first.close()
        assert lab.connect("demo", name="again") is not first

    def test_a_server_object_that_was_defined_again_replaces_the_old(self) -> None:
        first = lab.connect(MCPServer("notes"))
        second = lab.connect(MCPServer("notes"))
        assert first.closed
        assert lab.servers()["notes"] is second

    def test_a_name_that_is_taken(self) -> None:
        lab.connect("demo", name="taken")
        with pytest.raises(TargetError, match="'taken' is connected to"):
            lab.connect(script("fragile"), name="taken", env=PYTHONPATH)

    def test_the_generation_is_found_out_once(self) -> None:
        first = lab.connect(script("stubborn"), name="asked")
        assert first.stderr.splitlines()[0] == "server/discover"
        first.close()
        second = lab.connect(script("stubborn"), name="known")
        assert second.stderr.splitlines()[0] == "initialize"

    def test_it_can_be_awaited(self) -> None:
        async def main() -> lab.Server:
            return await lab.connect("demo", name="awaited", wait=False)

        assert asyncio.run(main()).call("add", a=1, b=1).value == 2


class TestTrouble:
    def test_a_program_that_is_not_there(self) -> None:
        with pytest.raises(ConnectionFailed, match="there is no program 'no-such-program'"):
            lab.connect("no-such-program --serve")

    def test_a_program_that_stops_at_once_shows_its_stderr(self) -> None:
        code = "import sys; print('bad configuration', file=sys.stderr); sys.exit(2)"
        with pytest.raises(ConnectionFailed, match="bad configuration"):
            lab.connect([sys.executable, "-c", code])

    def test_a_program_that_never_answers(self) -> None:
        started = time.monotonic()
        with pytest.raises(ConnectionFailed, match="handshake within 1 s"):
            lab.connect([sys.executable, "-c", "import time; time.sleep(60)"], timeout=1)
        assert time.monotonic() - started < 8

    def test_a_url_that_refuses(self) -> None:
        with pytest.raises(ConnectionFailed, match="Can't connect to '127.0.0.1:9'"):
            lab.connect("http://127.0.0.1:9/mcp")

    def test_a_url_that_is_no_mcp_server(self, plain_http: str) -> None:
        with pytest.raises(ConnectionFailed, match="Can't connect to"):
            lab.connect(plain_http, timeout=10)

    def test_an_unknown_word(self) -> None:
        with pytest.raises(TargetError, match="Did you mean 'demo'"):
            lab.connect("deno-demo")

    def test_an_unknown_server(self) -> None:
        from pmcp_lab.client import connected

        lab.connect("demo", name="here")
        with pytest.raises(UnknownServer, match="Did you mean 'here'"):
            connected("hree")

    def test_a_server_that_dies_in_the_middle_of_a_task(self) -> None:
        other = lab.connect("demo", name="bystander")
        fragile = lab.connect(script("fragile"), env=PYTHONPATH)
        run = fragile.task("collapse", after=0.5)
        with pytest.raises(ConnectionClosed, match="out of cheese"):
            run.result(timeout=20)
        assert run.status == "unknown"
        assert run.trouble == (
            "Server 'fragile' stopped. out of cheese. It is back, but does not know this task any more."
        )
        assert run.ended is not None
        assert other.call("add", a=1, b=1).value == 2
        assert fragile.call("ping").value == "pong"

    def test_stderr_is_kept(self) -> None:
        server = lab.connect(script("fragile"), name="noisy", env=PYTHONPATH)
        server.task("collapse", after=0.05).exception(20)
        assert "out of cheese" in server.stderr

    def test_the_end_of_a_connection_ends_its_tasks(self) -> None:
        server = lab.connect("demo", name="leaving")
        run = server.task("train", epochs=100, seconds=60)
        server.close()
        server.close()
        assert isinstance(run.exception(5), ConnectionClosed)
        with pytest.raises(ConnectionClosed, match="connect to it again"):
            server.call("add", a=1, b=1)

    def test_what_is_known_can_be_read_inside_a_callback(self) -> None:
        server = lab.connect("demo", name="known-inside")
        seen: list[str] = []
        run = server.task("train", epochs=1, seconds=0.1)
        run.add_done_callback(lambda _: seen.append(f"{server.version} {server.status} {server!r}"))
        until(lambda: seen)
        assert seen[0].startswith("2026-07-28 open <Server known-inside: ")

    def test_waiting_inside_a_callback_is_refused_rather_than_stuck(self) -> None:
        from pmcp_lab.errors import LabError

        server = lab.connect("demo", name="inside")
        caught: list[Exception] = []

        def callback(task: lab.Task) -> None:
            try:
                server.call("add", a=1, b=1)
            except LabError as error:
                caught.append(error)

        run = server.task("train", epochs=1, seconds=0.1)
        run.add_done_callback(callback)
        until(lambda: caught)
        assert "can't wait" in str(caught[0])


def descendants(marker: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if marker in command and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs Linux")
class TestNoOrphans:
    CODE = """
        import sys, time
        import pmcp_lab as lab
        lab.connect([sys.executable, {stubborn!r}, {marker!r}], mode="legacy")
        print("connected", flush=True)
        {then}
    """

    def start(self, marker: str, then: str) -> subprocess.Popen[str]:
        code = textwrap.dedent(self.CODE).format(stubborn=str(SERVERS / "stubborn.py"), marker=marker, then=then)
        kernel = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, **PYTHONPATH}
        )
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == "connected\n"
        assert descendants(marker)
        return kernel

    def test_after_an_ordinary_end(self, tmp_path: Path) -> None:
        marker = f"ordinary-{tmp_path.name}-{os.getpid()}"
        kernel = self.start(marker, "")
        assert kernel.wait(15) == 0
        kernel.communicate()
        assert not [pid for pid in descendants(marker) if pid != kernel.pid]

    def test_after_a_kill(self, tmp_path: Path) -> None:
        marker = f"killed-{tmp_path.name}-{os.getpid()}"
        kernel = self.start(marker, "time.sleep(60)")
        kernel.send_signal(signal.SIGKILL)
        kernel.communicate()
        until(lambda: not descendants(marker), 5)


@pytest.mark.parametrize("offered", [True, False])
def test_a_log_level_is_asked_for_where_the_server_takes_one(offered: bool) -> None:
    asked: list[str] = []

    async def logging(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method == "logging/setLevel":
            asked.append((ctx.params or {})["level"])
            return {}
        result: Any = await call_next(ctx)
        if ctx.method == "initialize" and offered:
            return {**result, "capabilities": {**result["capabilities"], "logging": {}}}
        return result

    with lab.connect(MCPServer("logs", middleware=[logging]), name="logs", mode="legacy") as server:
        if offered:
            server.set_log_level("warning")
            assert asked == ["warning"]
        else:
            with pytest.raises(NotOffered, match="takes no log level"):
                server.set_log_level("warning")
            assert asked == []
