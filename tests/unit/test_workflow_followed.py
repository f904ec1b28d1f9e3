"""A workflow led from the kernel, by what the wire says."""

from __future__ import annotations

from collections.abc import Iterator

import comm
import pytest

import pmcp_lab as lab
from pmcp_lab.errors import InvalidArguments, NotAWorkflow, TaskError, ToolError, UnknownPrompt
from pmcp_lab.notebook import WorkflowView
from tests.unit.front_end import Comm, FrontEnd, until
from tests.unit.pmcp_workflow import PmcpWorkflow


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
        assert run.next(bucket="b2").value == '{"file": "a.tar", "bucket": "b2"}'
        (call,) = pmcp.continued
        assert call["_meta"]["_task_id"] == "wf"
        assert list(run.df.status) == ["completed", "completed", "pending"]
        run.call_step("announce", text="out now")
        assert list(run.df.status) == ["completed"] * 3
        assert not run.done()
        run.finish({"where": "b2"})
        assert run.result(5).value == '{"where": "b2"}'
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

    def test_it_is_saved_as_it_is(self, server: lab.Server) -> None:
        data, _ = WorkflowView(server.workflow("ship", version="1.2"))._repr_mimebundle_()
        assert data["text/html"].count("<tr>") == 4
        assert "needs a value for bucket" in data["text/html"]
        assert data["text/plain"].startswith("<Workflow pmcp.ship")
