"""Questions and completions that a server asks for, answered from code: both generations, tasks and plain calls."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import mcp_types as types
import pytest
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import (
    AcceptedElicitation,
    CancelledElicitation,
    DeclinedElicitation,
    Elicit,
    Resolve,
    Sample,
)
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError
from pydantic import BaseModel

import pmcp_lab as lab
from pmcp_lab.client import Question, call_of, client_of
from pmcp_lab.client.runtime import runtime
from pmcp_lab.demo import build
from pmcp_lab.errors import InputRequired, InvalidArguments, LabError, PeerError, TaskError
from pmcp_lab.server import TaskContext, Tasks

MODES = ["legacy", "2026-07-28"]


class Choice(BaseModel):
    size: int


Outcome = AcceptedElicitation[Choice] | DeclinedElicitation | CancelledElicitation


def which() -> Elicit[Choice]:
    return Elicit("Which size?", Choice)


def rhyme() -> Sample:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text="rhyme on sea"))
    return Sample([message], max_tokens=50)


def asker() -> MCPServer[Any]:
    """Asks in the middle of plain calls."""
    server: MCPServer[Any] = MCPServer("asker")

    @server.tool()
    async def shirt(choice: Annotated[Outcome, Resolve(which)]) -> str:
        """Ask for a size, in whichever way the client's generation has."""
        match choice:
            case AcceptedElicitation(data=data):
                return f"size {data.size}"
            case DeclinedElicitation():
                return "declined"
            case _:
                return "cancelled"

    @server.tool()
    async def pay(ctx: Context[Any, Any]) -> str:
        """Send the person to a page, and say when that is settled."""
        said = await ctx.elicit_url("Pay, please", "https://pay.example/order?id=1", "order-1")
        if said.action == "accept":
            await asyncio.sleep(0.2)
            await ctx.session.send_elicit_complete("order-1")
            await asyncio.sleep(0.2)
        return said.action

    @server.tool()
    async def trap(ctx: Context[Any, Any]) -> str:
        said = await ctx.elicit_url("Look here", "javascript:alert(1)", "trap-1")
        return said.action

    @server.tool()
    async def poem(said: Annotated[types.CreateMessageResult, Resolve(rhyme)]) -> str:
        assert isinstance(said.content, types.TextContent)
        return f"{said.model}: {said.content.text}"

    @server.tool()
    async def blunt() -> str | types.InputRequiredResult:
        """Asks for a completion without looking at what the client can do."""
        return types.InputRequiredResult(input_requests={"s": types.CreateMessageRequest(params=rhyme().params)})

    return server


@pytest.fixture(params=MODES)
def server(request: pytest.FixtureRequest) -> Iterator[lab.Server]:
    with lab.connect(asker(), name=f"asker-{request.param}", mode=request.param) as connected:
        yield connected


@pytest.fixture
def legacy() -> Iterator[lab.Server]:
    with lab.connect(asker(), name="asker-url", mode="legacy") as connected:
        yield connected


@pytest.fixture(params=MODES, scope="module")
def demo(request: pytest.FixtureRequest) -> Iterator[lab.Server]:
    with lab.connect(build(), name=f"asking-{request.param}", mode=request.param) as connected:
        yield connected


@pytest.fixture(autouse=True)
def no_callback(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "demo" in request.fixturenames:
        request.getfixturevalue("demo").on_input(None)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def question_of(run: lab.Task) -> Question:
    call_of(run).asked.result(10)
    (question,) = run.questions
    return question


class TestAPersonAnswers:
    def test_within_a_plain_call(self, server: lab.Server) -> None:
        run = server.task("shirt")
        question = question_of(run)
        assert run.status == "input_required"
        assert (question.message, question.tool) == ("Which size?", "shirt")
        with pytest.raises(InvalidArguments, match="size"):
            run.answer({"size": "large"})
        run.answer({"size": 3})
        assert run.result(10).text == "size 3"
        assert [moment.status for moment in run.moments] == ["working", "input_required", "working", "completed"]

    @pytest.mark.parametrize(("how", "said"), [("decline", "declined"), ("dismiss", "cancelled")])
    def test_without_deciding(self, server: lab.Server, how: str, said: str) -> None:
        run = server.task("shirt")
        question_of(run)
        getattr(run, how)()
        assert run.result(10).text == said

    def test_twice_is_an_error(self, server: lab.Server) -> None:
        run = server.task("shirt")
        question_of(run)
        run.answer({"size": 3})
        with pytest.raises(TaskError, match="asks nothing"):
            run.answer({"size": 3})
        run.result(10)

    def test_at_once_from_two_places_one_is_told_that_it_is_late(self) -> None:
        tasks, entered, gate = Tasks(), threading.Event(), asyncio.Event()

        @tasks.tool()
        async def confirm(task: TaskContext) -> int:
            answer = await task.elicit("Which size?", Choice)
            return answer.content.size if answer.content else 0

        async def slow(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
            if ctx.method == "tasks/update":
                entered.set()
                await gate.wait()
            return await call_next(ctx)

        shop: MCPServer[Any] = MCPServer("shop", extensions=[tasks], middleware=[slow, tasks])
        with lab.connect(shop, name="two-places", mode="2026-07-28") as server:
            run = server.task("confirm")
            question_of(run)
            first = threading.Thread(target=run.answer, args=({"size": 1},))
            first.start()
            assert entered.wait(10)
            with pytest.raises(TaskError, match="answered already"):
                run.answer({"size": 2})
            runtime().call_soon(gate.set)
            first.join(10)
            assert run.result(10).value == 1

    def test_what_the_server_does_not_take_can_be_answered_again(self) -> None:
        tasks, refusals = Tasks(), ["not now"]

        @tasks.tool()
        async def confirm(task: TaskContext) -> int:
            answer = await task.elicit("Which size?", Choice)
            return answer.content.size if answer.content else 0

        async def picky(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
            if ctx.method == "tasks/update" and refusals:
                raise MCPError(-32050, refusals.pop())
            return await call_next(ctx)

        shop: MCPServer[Any] = MCPServer("shop", extensions=[tasks], middleware=[picky, tasks])
        with lab.connect(shop, name="picky", mode="2026-07-28") as server:
            run = server.task("confirm")
            question_of(run)
            with pytest.raises(PeerError, match="not now"):
                run.answer({"size": 1})
            question_of(run)
            run.answer({"size": 2})
            assert run.result(10).value == 2

    def test_a_cancelled_call_takes_its_question_along(self, server: lab.Server) -> None:
        run = server.task("shirt")
        question_of(run)
        run.cancel()
        assert run.questions == []
        assert run.status == "cancelled"

    def test_a_schema_that_is_none_stops_no_answer(self) -> None:
        question = Question("q", "What?", {"type": "object", "properties": None, "required": ["x"]})
        assert question.response("accept", {"x": 1})["content"] == {"x": 1}

    def test_two_calls_at_once(self, server: lab.Server) -> None:
        runs = [server.task("shirt") for _ in range(2)]
        until(lambda: sum(len(run.questions) for run in runs) == 2)
        # Over 2025-11-25 nothing says which call asks: both questions are shown at the later one.
        for size in (1, 2):
            asked = next(run for run in runs if run.questions)
            asked.answer({"size": size}, key=asked.questions[0].key)
        assert sorted(run.result(10).text for run in runs) == ["size 1", "size 2"]


class TestACallbackAnswers:
    def test_a_task(self, demo: lab.Server) -> None:
        threads: list[str] = []

        @demo.on_input
        def answer(question: Question) -> dict[str, Any]:
            threads.append(threading.current_thread().name)
            assert question.message == "Publish m?"
            return {"publish": True, "visibility": "company"}

        assert demo.task("publish", model="m").result(10).value["visibility"] == "company"
        assert threads
        assert threads[0] != "pmcp_lab"

    def test_a_plain_call(self, demo: lab.Server) -> None:
        demo.on_input(lambda question: "decline")
        assert demo.call("publish", model="m", timeout=10).value["published"] is False

    def test_a_coroutine(self, server: lab.Server) -> None:
        async def answer(question: Question) -> dict[str, int]:
            await asyncio.sleep(0.01)
            return {"size": len(question.message)}

        server.on_input(answer)
        assert server.call("shirt", timeout=10).text == "size 11"

    def test_what_it_leaves_alone_a_person_answers(self, demo: lab.Server) -> None:
        demo.on_input(lambda question: None)
        run = demo.task("publish", model="m")
        question_of(run)
        run.decline()
        assert run.result(10).value["published"] is False

    def test_it_is_asked_once_however_often_the_task_changes_meanwhile(self) -> None:
        tasks, asked = Tasks(), list[str]()

        @tasks.tool(poll_interval="20ms")
        async def confirm(task: TaskContext) -> int:
            async def tell() -> None:
                for number in range(100):
                    await asyncio.sleep(0.02)
                    await task.update(variables={"n": number})

            telling = asyncio.create_task(tell())
            answer = await task.elicit("Which size?", Choice)
            telling.cancel()
            return answer.content.size if answer.content else 0

        def leave(question: Question) -> None:
            asked.append(question.message)

        shop: MCPServer[Any] = MCPServer("shop", extensions=[tasks], middleware=[tasks])
        with lab.connect(shop, name="changing", mode="2026-07-28") as server:
            server.on_input(leave)
            run = server.task("confirm")
            question_of(run)
            until(lambda: run.variables.get("n", 0) >= 5)
            run.answer({"size": 3})
            assert run.result(10).value == 3
        assert asked == ["Which size?"]

    def test_what_it_gets_wrong_a_person_answers(self, demo: lab.Server) -> None:
        demo.on_input(lambda question: {"publish": "maybe"})
        run = demo.task("publish", model="m")
        question_of(run)
        assert "the on_input callback did not answer: InvalidArguments" in str(run.trouble)
        run.decline()
        run.result(10)

    def test_what_it_gets_wrong_a_plain_call_tells(self) -> None:
        with lab.connect(asker(), name="asker-wrong", mode="2026-07-28") as server:
            server.on_input(lambda question: 1 / 0)
            with pytest.raises(InputRequired, match="ZeroDivisionError"):
                server.call("shirt", timeout=10)


class TestAnAppAsks:
    """An app's calls are passed on as they come, and what they ask is answered by a callback or not at all."""

    def test_a_callback_answers(self, server: lab.Server) -> None:
        server.on_input(lambda question: {"size": 4})
        raw = runtime().run(client_of(server).pass_on("shirt", {}), timeout=10)
        assert raw["content"][0]["text"] == "size 4"

    def test_without_one_it_is_told(self) -> None:
        expected = pytest.raises(InputRequired, match=r"asks: 'Which size\?'")
        with lab.connect(asker(), name="asker-app", mode="2026-07-28") as server, expected:
            runtime().run(client_of(server).pass_on("shirt", {}), timeout=10)


class TestNobodyAnswers:
    def test_a_plain_call_says_what_was_asked(self) -> None:
        expected = pytest.raises(InputRequired, match=r"(?s)asks: 'Which size\?'.*server.on_input")
        with lab.connect(asker(), name="asker-nobody", mode="2026-07-28") as server, expected:
            server.call("shirt", timeout=10)

    def test_a_legacy_tool_is_told_and_goes_on(self, legacy: lab.Server) -> None:
        assert legacy.call("shirt", timeout=10).text == "cancelled"


class TestUrls:
    def test_the_server_says_when_it_is_settled(self, legacy: lab.Server) -> None:
        seen: list[str | None] = []
        run = legacy.task("pay")
        question = question_of(run)
        assert question.url == "https://pay.example/order?id=1"
        run.subscribe(lambda task: seen.append(call_of(task).visiting))
        run.answer()
        assert run.result(10).text == "accept"
        assert "pay.example" in seen
        assert call_of(run).visiting is None

    @pytest.mark.parametrize(
        "url",
        [
            "javascript:alert(1)",
            "javascript://pay.example/%0aalert(1)",
            "file:///etc/passwd",
            "file://pay.example/etc/passwd",
            "ftp://pay.example/x",
            "https://",
            "data:text/html,x",
        ],
    )
    def test_only_web_addresses_are_accepted(self, url: str) -> None:
        question = Question("q", "Look", url=url, server="s", tool="t")
        with pytest.raises(InvalidArguments, match="no web address"):
            question.response("accept", None)
        assert question.response("decline", None) == {"action": "decline"}

    def test_a_trap_can_be_declined(self, legacy: lab.Server) -> None:
        run = legacy.task("trap")
        question_of(run)
        with pytest.raises(InvalidArguments):
            run.answer()
        run.decline()
        assert run.result(10).text == "decline"


class TestRefusedOverUrls:
    """A 2025-11-25 server refuses a call until the person has been at some URLs (-32042)."""

    @pytest.fixture
    def calls(self) -> list[str]:
        return []

    @pytest.fixture
    def shop(self, calls: list[str]) -> Iterator[lab.Server]:
        server: MCPServer[Any] = MCPServer("shop", log_level="CRITICAL")
        missing = {"a", "b"}

        def refusal(*names: str) -> UrlElicitationRequiredError:
            about = [("url", f"Pay {name}", f"https://{name}.example/", name) for name in names]
            return UrlElicitationRequiredError(
                [
                    types.ElicitRequestURLParams(mode=mode, message=message, url=url, elicitation_id=name)
                    for mode, message, url, name in about
                ]
            )

        @server.tool()
        async def order() -> str:
            calls.append("order")
            if missing:
                raise refusal(*sorted(missing))
            return "ordered"

        @server.tool()
        async def paid(name: str, ctx: Context[Any, Any]) -> None:
            missing.discard(name)
            await ctx.session.send_elicit_complete(name)

        @server.tool()
        async def never() -> str:
            calls.append("never")
            raise refusal("c")

        with lab.connect(server, name="shop", mode="legacy") as connected:
            yield connected

    def test_the_server_says_that_all_is_settled(self, shop: lab.Server, calls: list[str]) -> None:
        run = shop.task("order")
        for name in ("a", "b"):
            until(lambda name=name: [each.url for each in run.questions] == [f"https://{name}.example/"])
            run.answer()
        until(lambda: [each.message for each in run.questions] == ["Go on when you are done at b.example."])
        shop.call("paid", name="a")
        time.sleep(0.1)
        assert len(run.questions) == 1, "one is still to be paid"
        assert calls == ["order"]
        shop.call("paid", name="b")
        assert run.result(10).text == "ordered"
        assert calls == ["order", "order"]
        assert call_of(run).visiting is None

    def test_the_person_says_so(self, shop: lab.Server, calls: list[str]) -> None:
        run = shop.task("order")
        for name in ("a", "b"):
            until(lambda name=name: [each.url for each in run.questions] == [f"https://{name}.example/"])
            run.answer()
        until(lambda: [each.key for each in run.questions] == ["go-on"])
        run.answer()
        # It was not paid: refused again, and asked again.
        until(lambda: [each.url for each in run.questions] == ["https://a.example/"])
        assert calls == ["order", "order"]
        run.cancel()

    def test_one_no_is_enough(self, shop: lab.Server, calls: list[str]) -> None:
        asked: list[str | None] = []
        run = shop.task("order")
        run.subscribe(lambda task: asked.extend(each.url for each in task.questions))
        until(lambda: run.questions)
        run.decline()
        with pytest.raises(PeerError) as refused:
            run.result(10)
        assert refused.value.code == -32042
        assert set(asked) <= {"https://a.example/"}
        assert calls == ["order"]

    def test_a_server_that_never_stops_refusing_is_given_up(self, shop: lab.Server, calls: list[str]) -> None:
        shop.on_input(lambda question: "accept")
        with pytest.raises(PeerError, match="-32042"):
            shop.call("never", timeout=10)
        assert calls == ["never"] * 10


@pytest.mark.filterwarnings("ignore:The sampling capability is deprecated")
class TestSampling:
    @pytest.mark.parametrize("mode", MODES)
    def test_a_callback_completes(self, mode: str) -> None:
        asked: list[Any] = []

        def complete(messages: list[dict[str, Any]], params: dict[str, Any]) -> str:
            asked.append((messages, params["maxTokens"]))
            return "tea"

        with lab.connect(asker(), name="sampler", mode=mode, on_sampling=complete) as server:
            assert server.call("poem", timeout=10).text == "unknown: tea"
            assert asked == [([{"role": "user", "content": {"type": "text", "text": "rhyme on sea"}}], 50)]

            @server.on_sampling
            async def again(messages: Any, params: Any) -> dict[str, Any]:
                return {"model": "m-1", "content": {"type": "text", "text": "bee"}}

            assert server.call("poem", timeout=10).text == "m-1: bee"
            server.on_sampling(lambda messages, params: {"content": 3})
            with pytest.raises(LabError, match="is no CreateMessageResult"):
                server.call("poem", timeout=10)

    def test_without_a_callback_it_is_refused(self, server: lab.Server) -> None:
        with pytest.raises(LabError, match=r"(?i)sampling"):
            server.call("poem", timeout=10)

    def test_a_server_that_asks_all_the_same_is_refused(self) -> None:
        expected = pytest.raises(InputRequired, match=r"asks for a completion; connect with lab.connect")
        with lab.connect(asker(), name="asker-blunt", mode="2026-07-28") as server, expected:
            server.call("blunt", timeout=10)

    def test_a_server_that_never_stops_asking_is_given_up(self) -> None:
        expected = pytest.raises(InputRequired, match="asked 10 times; it was given up")
        sampling = {"on_sampling": lambda messages, params: "tea"}
        with lab.connect(asker(), name="asker-again", mode="2026-07-28", **sampling) as server, expected:
            server.call("blunt", timeout=10)

    def test_it_can_not_be_offered_later(self, legacy: lab.Server) -> None:
        with pytest.raises(LabError, match=r"Close it and connect with lab.connect\(…, on_sampling=callback\)"):
            legacy.on_sampling(lambda messages, params: "x")


class TestWhoAsks:
    """Over 2025-11-25 a question need not say which call it belongs to."""

    @pytest.fixture
    def nameless(self) -> Iterator[lab.Server]:
        with lab.connect([sys.executable, "-m", "tests.servers.nameless"], name="nameless", mode="legacy") as server:
            yield server

    def test_the_task_that_is_named(self) -> None:
        with lab.connect(build(), name="naming", mode="legacy") as demo:
            runs = [demo.task("publish", model=name) for name in ("m", "n", "o")]
            until(lambda: all(run.questions for run in runs))
            assert [question_of(run).message for run in runs] == ["Publish m?", "Publish n?", "Publish o?"]
            for run in runs:
                run.decline()
                run.result(10)

    def test_the_only_task_that_waits_for_input(self, nameless: lab.Server) -> None:
        asking = nameless.task("ask", name="a", status="input_required")
        working = nameless.task("ask", name="b", status="working")
        plain = nameless.task("hold", name="c", asks=False)
        until(lambda: call_of(asking).reported == "input_required" and working.id and plain.message == "c")
        nameless.call("go")
        assert question_of(asking).message == "a?"
        assert not working.questions
        assert not plain.questions
        asking.decline()
        assert asking.result(10).text == "decline"

    def test_the_latest_call_that_is_no_task(self, nameless: lab.Server) -> None:
        earlier = nameless.task("hold", name="a", asks=False)
        asking = nameless.task("hold", name="b", asks=True)
        working = nameless.task("ask", name="c", status="working")
        until(lambda: working.id and earlier.message == "a" and asking.message == "b")
        nameless.call("go")
        assert question_of(asking).message == "b?"
        assert not earlier.questions
        assert not working.questions
        asking.decline()
        assert asking.result(10).text == "decline"
