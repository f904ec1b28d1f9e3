"""A workflow led from the kernel, by what the wire says."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comm
import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError as Refused

import pmcp_lab as lab
from pmcp_lab.client import driver_of, runtime
from pmcp_lab.client.workflows.steps import status_of
from pmcp_lab.errors import ConnectionClosed, InvalidArguments, NotAWorkflow, TaskError, ToolError, UnknownPrompt
from pmcp_lab.notebook import WorkflowView
from pmcp_lab.server import Tasks
from pmcp_lab.workflow import SequentialWorkflow, Workflows, from_step, prompt_arg, task_variable, template
from tests.unit.front_end import Comm, FrontEnd, until
from tests.unit.pmcp_workflow import PmcpWorkflow

SERVER = Path(__file__).parents[2] / "servers" / "releasing.py"


@pytest.fixture
def pmcp() -> Iterator[PmcpWorkflow]:
    server = PmcpWorkflow()
    yield server
    server.close()


@pytest.fixture
def server(pmcp: PmcpWorkflow) -> Iterator[lab.Server]:
    with lab.connect(pmcp.url, name="pmcp") as connected:
        yield connected


class TestPmcp:
    """A server that says in text what is to be called, and nothing of what became of it."""

    def test_it_pauses_and_says_why(self, server: lab.Server) -> None:
        run = server.workflow("ship", version="1.2").wait(5)
        assert repr(run) == "<Workflow pmcp.ship working, 1 of 3 steps: Step 'upload' needs a value for bucket.>"
        assert list(run.df.status) == ["completed", "pending", "pending"]
        assert run.steps[0].result.value == {"file": "a.tar"}
        upload, announce = run.calls
        assert (upload.target, upload.step, upload.missing) == ("upload_file", "upload", ("bucket",))
        assert upload.guidance == "Ask which bucket it is."
        assert announce.missing == ("text",)
        assert "Here's my plan" in run.messages.text

    def test_its_calls_lead_it_to_the_end(self, server: lab.Server, pmcp: PmcpWorkflow) -> None:
        run = server.workflow("ship", version="1.2")
        with pytest.raises(InvalidArguments, match="still needs bucket"):
            run.next()
        with pytest.raises(InvalidArguments, match=r"colour"):
            run.next(bucket="b", colour="red")
        assert run.next(bucket="b2").value == {"file": "a.tar", "bucket": "b2"}
        (call,) = pmcp.continued
        assert call["_meta"]["_task_id"] == "wf"
        assert list(run.df.status) == ["completed", "completed", "pending"]
        run.call_step("announce", text="out now")
        assert list(run.df.status) == ["completed"] * 3
        assert not run.done()
        run.finish({"where": "b2"})
        assert run.result(5).value == {"where": "b2"}
        assert run.status == "completed"
        with pytest.raises(TaskError, match="nothing to be done: it is completed"):
            run.next()

    def test_a_tool_that_fails_leaves_it_where_it_was(self, server: lab.Server) -> None:
        run = server.workflow("ship", version="1.2")
        with pytest.raises(ToolError, match="bucket is locked"):
            run.next(bucket="locked")
        assert run.calls[0].step == "upload"
        run.next(bucket="b2")
        assert list(run.df.status) == ["completed", "completed", "pending"]

    def test_it_can_be_given_up(self, server: lab.Server) -> None:
        run = server.workflow("ship", version="1.2")
        run.cancel()
        until(run.done)
        assert run.status == "cancelled"
        assert run.calls == ()


def releasing(gate: asyncio.Event | None = None) -> MCPServer[Any]:
    """A server of ours with a workflow that has something for everybody."""
    release = (
        SequentialWorkflow("release", "Build a version and publish it")
        .argument("version", "What to release")
        .step("build", "build", {"version": prompt_arg("version")}, bind="artifact", retryable=True)
        .step("upload", "upload", {"file": from_step("artifact", "file")}, guidance="Ask which bucket it is.")
        .step("approve", execution="manual", question="Publish {version}?", answer={"ok": "boolean"}, proceed_if="ok")
        .step("tag", "announce", {"text": task_variable("tag")})
        .step("announce", "announce", {"text": template("{version} is out")})
    )
    tasks = Tasks("memory://")
    server: MCPServer[Any] = MCPServer("ours", extensions=[tasks], middleware=[tasks], log_level="ERROR")

    @server.tool()
    async def build(version: str) -> dict[str, str]:
        if gate is not None:
            await gate.wait()
        if version == "0":
            raise Refused("there is no version 0")
        return {"file": f"{version}.zip"}

    @server.tool()
    def upload(file: str, bucket: str) -> str:
        return f"{bucket}/{file}"

    @server.tool()
    def announce(text: str) -> str:
        return text

    Workflows([release], tasks).attach(server)
    return server


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
class TestOurs:
    """A server that says what became of every call, and goes on by itself."""

    def test_it_is_led_from_pause_to_pause(self, mode: str) -> None:
        with lab.connect(releasing(), name="ours", mode=mode) as server:  # type: ignore[arg-type]
            run = server.workflow("release", version="1.2").wait(10)
            assert run.pause.kind == "schemaMismatch"
            assert run.next(bucket="b2").value == "b2/1.2.zip"
            assert run.wait(10).pause.kind == "inputRequired"
            run.answer({"ok": True})
            run.wait(10)
            assert run.calls[0].kind == "variable"
            with pytest.raises(InvalidArguments, match="waits for the variable 'tag'"):
                run.next()
            run.next(tag="v1.2")
            assert run.wait(10).done()
            assert run.result(10).structured["completed"]
            assert list(run.df.status) == ["completed"] * 5
            assert list(run.df.value)[-2:] == ["v1.2", "1.2 is out"]

    def test_another_client_takes_it_up(self, mode: str) -> None:
        ours = releasing()
        with lab.connect(ours, name="one", mode=mode) as one, lab.connect(ours, name="two", mode=mode) as two:  # type: ignore[arg-type]
            begun = one.workflow("release", version="1.2").wait(10)
            run = two.workflow("release", task_id=begun.id).wait(10)
            assert run.id == begun.id
            assert [step.status for step in run.steps] == [step.status for step in begun.steps]
            run.next(bucket="b2")
            until(lambda: begun.steps[1].status == "completed")

    def test_a_step_that_fails_says_so_and_may_be_tried_again(self, mode: str) -> None:
        with lab.connect(releasing(), name="ours", mode=mode) as server:  # type: ignore[arg-type]
            run = server.workflow("release", version="0").wait(10)
            assert run.pause.kind == "toolError"
            assert "there is no version 0" in run.pause.message
            run.call_step("build", version="1")
            assert run.wait(10).steps[0].result.value == {"file": "1.zip"}
            assert run.steps[0].by == "client"
            run.finish()
            assert run.result(10).value


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_its_task_is_known_while_its_first_step_runs(mode: str) -> None:
    gate = asyncio.Event()
    with lab.connect(releasing(gate), name="slow", mode=mode) as server:  # type: ignore[arg-type]
        run = server.workflow("release", version="1")
        assert run.status == "working"
        assert run.doing
        assert [status_of(step) for step in run.steps] == ["running", *["pending"] * 4]
        assert repr(run) == "<Workflow slow.release working, 0 of 5 steps>"
        with pytest.raises(TimeoutError):
            run.wait(0.05)
        other = server.workflow("release", task_id=run.id)
        runtime().call_soon(gate.set)
        assert run.wait(10).steps[0].status == "completed"
        assert other.wait(10).id == run.id


def test_it_may_have_begun_where_the_server_names_no_task(pmcp: PmcpWorkflow, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends() -> Any:
        pmcp.close()
        raise ConnectionAbortedError

    with lab.connect(pmcp.url, name="pmcp") as server:
        monkeypatch.setattr(pmcp, "_prompt", ends)
        with pytest.raises(ConnectionClosed, match=r"nobody here knows whether pmcp\.ship was begun"):
            server.workflow("ship", version="1.2")


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_its_server_is_killed_while_its_first_step_runs(tmp_path: Path, mode: str) -> None:
    command = [sys.executable, str(SERVER), str(tmp_path)]
    with lab.connect(command, name="killed", mode=mode) as server:  # type: ignore[arg-type]
        run = server.workflow("release", version="1.2")
        begun = run.id
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        assert run.wait(30).pause.kind == "schemaMismatch"
        assert run.id == begun
        assert run.steps[0].status == "completed"
        assert (tmp_path / "log").read_text().split() == ["build", "build"]
        run.next(bucket="b2")


def test_the_paused_runs_of_others_are_listed_where_the_server_lists_tasks() -> None:
    ours = releasing()
    with (
        lab.connect(ours, name="one", mode="legacy") as one,
        lab.connect(ours, name="two", mode="legacy") as two,
        lab.connect(ours, name="new", mode="2026-07-28") as new,
    ):
        begun = one.workflow("release", version="1.2").wait(10)
        (found,) = two.workflows.runs
        assert found.id == begun.id
        assert two.workflows.runs.df.waits_for.tolist() == ["a value: bucket"]
        found.next(bucket="b2")
        assert found.wait(10).pause.kind == "inputRequired"
        until(lambda: begun.pause and begun.pause.kind == "inputRequired")
        until(lambda: any(run.task is not None and run.task.questions for run in (begun, found)))
        asked, other = (begun, found) if begun.task.questions else (found, begun)
        with pytest.raises(TaskError, match="asks something, but not here"):
            other.answer({"ok": True})
        asked.answer({"ok": False})
        begun.result(10)
        until(lambda: not two.workflows.runs)
        # There is no list of tasks in 2026-07-28: what was begun here is known here.
        assert not new.workflows.runs


def test_what_is_no_workflow_says_so(server: lab.Server, pmcp: PmcpWorkflow, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownPrompt, match="Did you mean 'ship'"):
        server.workflow("shop")
    with pytest.raises(InvalidArguments, match="version: missing"):
        server.workflow("ship")
    plain = {"result": {"messages": []}}
    monkeypatch.setattr(pmcp, "_prompt", lambda: plain)
    with pytest.raises(NotAWorkflow, match=r"server\.prompt\('ship'"):
        server.workflow("ship", version="1")


class TestView:
    @pytest.fixture(autouse=True)
    def comms(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(comm, "create_comm", Comm)

    def test_its_buttons_make_the_calls_of_the_handoff(self, server: lab.Server, pmcp: PmcpWorkflow) -> None:
        page = FrontEnd(WorkflowView(server.workflow("ship", version="1.2")))
        shown = page.opened["_state"]["state"]["workflow"]
        assert [step["status"] for step in shown["steps"]] == ["completed", "pending", "pending"]
        call = shown["calls"][0]
        assert [(field["name"], field.get("default")) for field in call["fields"]] == [
            ("file", "a.tar"),
            ("bucket", None),
        ]
        page.send(kind="make", view="v", call=call["key"], content={"file": "a.tar"})
        assert "bucket" in page.wait("made")[0]["problems"]
        page.send(kind="make", view="v", call=call["key"], content={"file": "a.tar", "bucket": "b2"})
        assert page.wait("made", 2)[1]["problems"] == {}
        assert pmcp.continued[0]["arguments"] == {"file": "a.tar", "bucket": "b2"}
        until(lambda: page.of("delta")[-1]["workflow"]["steps"][1]["status"] == "completed")

    def test_it_goes_on_when_the_server_has_changed_its_lists(self, server: lab.Server) -> None:
        run = server.workflow("ship", version="1.2")
        page = FrontEnd(WorkflowView(run))
        driver_of(run).state = dataclasses.replace(run.state, goal=None)
        server.refresh()
        runtime().run(self.touched(run))
        assert page.wait("delta")[-1]["workflow"]["goal"] == "Ship it"

    @staticmethod
    async def touched(run: lab.client.WorkflowRun) -> None:
        driver_of(run).touch()

    def test_it_is_saved_as_it_is(self, server: lab.Server) -> None:
        data, _ = WorkflowView(server.workflow("ship", version="1.2"))._repr_mimebundle_()
        assert data["text/html"].count("<tr>") == 4
        assert "needs a value for bucket" in data["text/html"]
        assert data["text/plain"].startswith("<Workflow pmcp.ship")
