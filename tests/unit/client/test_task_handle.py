"""The handle of one task: what it knows, what can be done with it, and how it is found again."""

from __future__ import annotations

import asyncio
import copy
import json
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError

import pmcp_lab as lab
from pmcp_lab.client import Task, call_of, client_of
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.targets import Url
from pmcp_lab.client.tasks import Session
from pmcp_lab.errors import NotOffered, PeerError, TaskCancelled, TaskError, TaskNotFound
from pmcp_lab.server import Tasks
from tests.unit.client.conftest import MODES
from tests.unit.front_end import until
from tests.unit.workshop import Workshop


@pytest.fixture(params=MODES)
def server(request: pytest.FixtureRequest, workshop: Workshop) -> Iterator[lab.Server]:
    with lab.connect(workshop.server, name="first", mode=request.param) as server:
        yield server


def second(server: lab.Server, workshop: Workshop) -> lab.Server:
    """Another connection to the same server."""
    return lab.connect(workshop.server, name="second", mode=client_of(server).connection.mode)


class TestHandle:
    def test_history_has_every_change(self, server: lab.Server, workshop: Workshop) -> None:
        run = server.task("hold", n=3)
        until(lambda: run.variables.get("n") == 3)
        workshop.open()
        run.result(10)
        seen = [(each.kind, each.name, each.old, each.new) for each in run.changes]
        assert seen[0] == ("status", None, None, "working")
        assert ("variable", "n", None, 3) in seen
        assert ("message", None, None, "holding 3") in seen
        assert ("progress", None, 0.5, 1.0) in seen
        assert seen.index(("variable", "n", None, 3)) < seen.index(("status", None, "working", "completed"))
        frame = run.history
        assert list(frame.columns) == ["time", "kind", "name", "old", "new"]
        assert frame.time.is_monotonic_increasing
        assert frame[frame.name == "n"].new.tolist() == [3]

    def test_it_is_a_future(self, server: lab.Server, workshop: Workshop) -> None:
        run = server.task("hold", n=1)
        assert run.running()
        assert not run.done()
        assert not run.cancelled()
        run.cancel()
        assert isinstance(run.exception(10), TaskCancelled)
        assert run.cancelled()
        assert not run.running()

    def test_a_call_that_is_given_up_is_over_on_the_server_too(self, server: lab.Server, workshop: Workshop) -> None:
        with pytest.raises(TimeoutError):
            server.call("linger", timeout=0.1)
        until(lambda: workshop.running == 0)
        run = server.task("linger")
        until(lambda: workshop.running == 1)
        run.cancel()
        assert run.cancelled()
        until(lambda: workshop.running == 0)

    @pytest.mark.parametrize("over", [True, False])
    def test_a_cancellation_that_is_refused_matters_only_while_it_runs(self, over: bool) -> None:
        tasks, gate = Tasks(), asyncio.Event()

        @tasks.tool(poll_interval="60s")
        async def quick() -> str:
            await gate.wait()
            return "done"

        async def refusing(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
            if ctx.method != "tasks/cancel":
                return await call_next(ctx)
            if over:
                gate.set()
                await asyncio.sleep(0.2)
            raise MCPError(-32602, "it can't be cancelled")

        shop: MCPServer[Any] = MCPServer("shop", extensions=[tasks], middleware=[refusing, tasks])
        with lab.connect(shop, name="refusing", mode="legacy") as server:
            run = server.task("quick")
            until(lambda: run.id)
            if over:
                run.cancel()
            else:
                with pytest.raises(PeerError, match="can't be cancelled"):
                    run.cancel()
                return
            assert run.result(10).text == "done"

    def test_cancelled_while_it_is_being_created(self, server: lab.Server, workshop: Workshop) -> None:
        tool = server.tool("hold")
        for n in range(5):
            call = client_of(server).plan(tool, {"n": n}, as_task=True)
            run = Task(call)
            runtime().start(client_of(server).start(call))
            run.cancel()
            assert isinstance(run.exception(10), TaskCancelled)
        until(lambda: workshop.running == 0)

    def test_a_failure_is_not_a_cancellation(self, server: lab.Server) -> None:
        run = server.task("double", n=-1)
        assert run.exception(10) is not None
        assert run.done()
        assert not run.cancelled()

    def test_variables_can_be_written(self, server: lab.Server, workshop: Workshop) -> None:
        run = server.task("hold", n=1)
        until(lambda: "n" in run.variables)
        run.set_variables({"limit": 5, "note": "mine"})
        run.variables["limit"] = 6
        del run.variables["note"]
        assert run.variables == {"n": 1, "limit": 6}
        assert json.loads(json.dumps(run.variables)) == copy.deepcopy(run.variables) == run.variables
        assert run.variables.setdefault("extra", 1) == 1
        assert run.variables.pop("extra") == 1
        assert "extra" not in run.variables
        (mine,) = [each for each in second(server, workshop).attach(str(run.id)).variables.items() if each[0] != "n"]
        assert mine == ("limit", 6)
        run.cancel()

    def test_a_variable_of_a_reserved_name_is_refused(self, server: lab.Server) -> None:
        run = server.task("hold", n=1)
        with pytest.raises(PeerError, match="reserved"):
            run.variables["io.modelcontextprotocol/x"] = 1
        run.cancel()

    def test_a_call_without_a_task_has_no_variables(self, server: lab.Server) -> None:
        run = server.task("show", kind="image")
        run.result(10)
        with pytest.raises(TaskError, match="the server made no task of it"):
            run.variables["x"] = 1

    async def test_a_server_without_the_extension_says_so(self) -> None:
        from mcp_types import ServerCapabilities

        from pmcp_lab.client.connection.peer import Peer
        from pmcp_lab.client.connection.streams import Streams

        class Bare:
            server_capabilities = ServerCapabilities()

        with pytest.raises(NotOffered, match=r"does not offer run.pmcp/task-variables"):
            await Peer(Bare(), "plain", Streams()).set_variables("x", {})  # type: ignore[arg-type]


class TestSameTask:
    def test_two_handles_of_a_task_are_equal(self, server: lab.Server, workshop: Workshop) -> None:
        run = server.task("hold", n=1)
        other = second(server, workshop).attach(str(run.id))
        assert other is not run
        assert other == run
        assert {run, other} == {run}
        assert run != server.task("hold", n=1)
        workshop.open()
        assert other.result(10).value["n"] == run.result(10).value["n"] == 1

    def test_without_an_id_it_equals_itself_alone(self, server: lab.Server) -> None:
        first, other = (server.task("show", kind="image") for _ in range(2))
        assert first != other
        assert first == first
        assert len({first, other}) == 2

    def test_attaching_twice_gives_one_handle(self, server: lab.Server) -> None:
        run = server.task("hold", n=1)
        assert server.attach(str(run.id)) is run
        assert lab.attach("first", str(run.id)) is run
        run.cancel()


class TestAttach:
    def test_it_is_followed_to_its_end(self, server: lab.Server, workshop: Workshop) -> None:
        run = server.task("hold", n=4)
        other = second(server, workshop)
        found = lab.attach(other, str(run.id))
        assert found in other.tasks
        assert found.status == "working"
        assert abs(found.started - run.started) < 2_000
        workshop.open()
        assert found.result(10).value["half"] == 2.0
        assert found.variables == {"n": 4}

    def test_it_can_be_cancelled_from_there(self, server: lab.Server, workshop: Workshop) -> None:
        run = server.task("hold", n=4)
        second(server, workshop).attach(str(run.id)).cancel()
        assert isinstance(run.exception(10), TaskCancelled)

    def test_one_that_ended_long_ago_has_its_own_times(self, server: lab.Server, workshop: Workshop) -> None:
        run = server.task("double", n=4)
        run.result(10)
        found = second(server, workshop).attach(str(run.id))
        assert found.result(10).value == 8
        assert found.ended is not None
        assert run.ended is not None
        assert found.ended <= run.ended + 5

    def test_an_unknown_id(self, server: lab.Server) -> None:
        with pytest.raises(TaskNotFound, match="task not found on server 'first'"):
            server.attach("nothing-here")


class TestList:
    def test_by_place_and_by_id(self, server: lab.Server) -> None:
        runs = [server.task("double", n=n) for n in range(3)]
        assert list(server.tasks) == runs
        assert server.tasks[-1] is runs[-1]
        assert server.tasks[:2] == runs[:2]
        assert server.tasks[str(runs[1].id)] is runs[1]
        with pytest.raises(TaskNotFound):
            server.tasks["nobody"]

    def test_search_and_frame(self, server: lab.Server) -> None:
        runs = [server.task("double", n=n) for n in (7, 8, -9)]
        for run in runs:
            run.exception(10)
        assert server.tasks.search("failed") == [runs[2]]
        assert server.tasks.search(f"completed {runs[1].id}") == [runs[1]]
        assert server.tasks.df.status.tolist() == ["completed", "completed", "failed"]
        assert "3 tasks of first" in server.tasks._repr_html_()
        assert "first.double completed" in repr(server.tasks)

    def test_what_others_started_is_listed_where_the_server_can(self, server: lab.Server, workshop: Workshop) -> None:
        runs = [server.task("hold", n=n) for n in range(3)]
        other = second(server, workshop)
        assert len(other.tasks) == 0
        if server.version == "2026-07-28":
            with pytest.raises(NotOffered, match=r"can't list tasks; attach to one by its id"):
                other.tasks.refresh()
            return
        assert {task.id for task in other.tasks.refresh()} == {run.id for run in runs}
        assert len(other.tasks.refresh()) == 3, "known ones are not doubled"
        workshop.open()
        assert sorted(task.result(10).value["n"] for task in other.tasks) == [0, 1, 2]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The environment of a kernel of a notebook; the folder of what it remembers."""
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ann/train.ipynb")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    return tmp_path / "pmcp_lab"


class TestSession:
    def test_a_new_connection_finds_what_was_started(
        self, server: lab.Server, workshop: Workshop, notebook: Path
    ) -> None:
        runs = [server.task("hold", n=n) for n in range(2)]
        plain = server.task("show", kind="image")
        plain.result(10)
        other = second(server, workshop)
        assert [(task.id, task.tool) for task in other.tasks] == [(run.id, "hold") for run in runs]
        workshop.open()
        assert other.tasks[1].result(10).value["n"] == 1

    def test_tables_take_them_in(self, server: lab.Server, workshop: Workshop, notebook: Path) -> None:
        run = server.task("hold", n=1)
        from pmcp_lab.notebook import TaskTable

        assert run in TaskTable(second(server, workshop)).shown()

    def test_only_ids_and_tools_are_kept_for_the_owner_alone(self, notebook: Path) -> None:
        with lab.connect("demo", name="kept", env={"TOKEN": "s3cret"}) as server:
            run = server.task("publish", model="hush-hush")
            until(lambda: [file for file in notebook.glob("*") if file.stat().st_size])
            (file,) = notebook.iterdir()
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            (line,) = file.read_text().splitlines()
            assert json.loads(line).keys() == {"target", "task", "tool", "expires"}
            assert json.loads(line)["task"] == run.id
            ttl_ms = call_of(run).snapshot().ttl_ms
            assert json.loads(line)["expires"] == run.started + ttl_ms == run.started + run.ttl * 1_000
            assert not {"s3cret", "hush", "train.ipynb", "demo"} & set(line.replace('"', " ").split())

    def test_what_the_server_forgot_is_forgotten(self, workshop: Workshop, notebook: Path) -> None:
        with lab.connect(workshop.server, name="first") as server:
            server.task("double", n=1).result(10)
        (file,) = notebook.iterdir()
        assert file.read_text()
        with lab.connect(Workshop().server, name="other") as server:
            assert len(server.tasks) == 0
        assert file.read_text() == ""

    def test_another_server_is_not_asked(self, workshop: Workshop, notebook: Path) -> None:
        with lab.connect(workshop.server, name="first") as server:
            server.task("double", n=1).result(10)
        with lab.connect(Workshop("elsewhere").server, name="other") as server:
            assert len(server.tasks) == 0
        (file,) = notebook.iterdir()
        assert file.read_text()

    def test_one_servers_tasks_are_forgotten_and_the_others_kept(self, notebook: Path) -> None:
        one, other, session = Url("http://one/mcp"), Url("http://other/mcp"), Session()
        for target in (one, other):
            for task in ("a", "b"):
                session.note(target, task, "tool", None)
        session.forget(one, ["a"])
        assert [each.task for each in session.started(one)] == ["b"]
        assert [each.task for each in session.started(other)] == ["a", "b"]

    def test_the_oldest_are_forgotten_where_there_are_too_many(self, notebook: Path) -> None:
        target, session = Url("http://one/mcp"), Session()
        for number in range(2_003):
            session.note(target, str(number), "tool", None)
        session.forget(target, ["2001"])
        kept = [each.task for each in session.started(target)]
        assert (len(kept), kept[0], kept[-1]) == (2_000, "2", "2002")

    def test_what_the_server_has_dropped_by_now_is_not_looked_for(self, notebook: Path) -> None:
        target, session = Url("http://one/mcp"), Session()
        session.note(target, "gone", "tool", int(time.time() * 1000) - 1)
        session.note(target, "there", "tool", int(time.time() * 1000) + 60_000)
        assert [each.task for each in session.started(target)] == ["there"]

    def test_it_can_be_turned_off(self, server: lab.Server, notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lab.session, "remember", False)
        server.task("double", n=1)
        assert not notebook.exists()
        assert repr(lab.session) == "<Session: started tasks are not remembered>"

    def test_or_by_the_environment(self) -> None:
        code = "import os; os.environ['JPY_SESSION_NAME'] = 'x'; import pmcp_lab; print(pmcp_lab.session.file)"
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={"PMCP_LAB_REMEMBER": "0", "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        assert run.stdout.strip() == "None", run.stderr

    def test_a_folder_that_cant_be_written_is_no_reason_to_fail(
        self, server: lab.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("JPY_SESSION_NAME", "x")
        monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "file"))
        session = Session()
        session.note(client_of(server).target, "id", "tool", None)
        assert "can't be written" in repr(session)

    def test_a_line_cut_off_by_a_crash_loses_only_itself(self, notebook: Path) -> None:
        target, session = Url("http://localhost/mcp"), Session()
        session.note(target, "one", "tool", None)
        session.note(target, "gone", "tool", 1)
        (file,) = notebook.iterdir()
        with file.open("a") as opened:
            opened.write('{"target": "ab')
        assert [each.task for each in session.started(target)] == ["one"]
        session.note(target, "two", "tool", None)
        assert [each.task for each in session.started(target)] == ["one", "two"]
        session.clear()
        assert session.started(target) == []
