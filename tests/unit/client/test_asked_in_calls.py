"""Our own client where a call is no task and its tool asks all the same, because it can't be one: both generations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mcp.server.context import CallNext, HandlerResult
from mcp.server.mcpserver import Context
from mcp_types import InputRequiredResult

import pmcp_lab as lab
from pmcp_lab.client import Question, call_of
from pmcp_lab.server.request import Request
from tests.unit.asking import Lab, Name


@pytest.fixture(params=["legacy", "2026-07-28"])
def server(request: pytest.FixtureRequest) -> Iterator[lab.Server]:
    with lab.connect(Lab().server, name=f"asking-{request.param}", mode=request.param) as connected:
        yield connected


def test_code_answers(server: lab.Server) -> None:
    asked = []

    @server.on_input
    def answer(question: Question) -> dict[str, str]:
        asked.append((question.tool, question.message))
        return {"name": "Ada"}

    assert server.call("never_a_task").text == "Ada"
    assert asked == [("never_a_task", "Who?")]


def test_a_person_answers(server: lab.Server) -> None:
    run = server.task("never_a_task")
    call_of(run).asked.result(10)
    assert (run.status, [question.message for question in run.questions]) == ("input_required", ["Who?"])
    run.answer({"name": "Grace"})
    assert run.result(10).text == "Grace"
    assert [moment.status for moment in run.moments] == ["working", "input_required", "working", "completed"]


def test_what_a_call_is_made_again_with() -> None:
    """MCP 2026-07-28, multi round-trip requests: what the client must do."""
    lab_, sent = Lab(), []

    async def listen(ctx: Request, call_next: CallNext) -> HandlerResult:
        sent.append((ctx.method, ctx.request_id, dict(ctx.params or {})))
        return await call_next(ctx)

    lab_.server.middleware.insert(0, listen)

    @lab_.server.tool()
    async def stateless(ctx: Context) -> str | InputRequiredResult:
        """Asks without a state."""
        form = {"mode": "form", "message": "Who?", "requestedSchema": Name.model_json_schema()}
        asking = {"inputRequests": {"who": {"method": "elicitation/create", "params": form}}}
        return "done" if ctx.input_responses else InputRequiredResult.model_validate(asking, by_name=False)

    with lab.connect(lab_.server, name="asking", mode="2026-07-28") as server:
        server.on_input(lambda question: {"name": "Ada"})
        assert server.call("never_a_task").text == "Ada"
        assert server.call("stateless").text == "done"
        server.call("adds", a=1)
    first, second, third, fourth, _ = [params for method, _, params in sent if method == "tools/call"]
    assert second["requestState"].startswith("pmcp-lab.")
    assert list(second["inputResponses"].values()) == [{"action": "accept", "content": {"name": "Ada"}}]
    assert fourth["inputResponses"].keys() == {"who"}
    assert "requestState" not in fourth
    ids = [number for method, number, _ in sent if method == "tools/call"]
    assert len(set(ids)) == len(ids)
    for _, _, params in sent:
        if params not in (second, fourth):
            assert params.keys().isdisjoint({"requestState", "inputResponses"})
    assert (first["name"], third["name"]) == ("never_a_task", "stateless")
