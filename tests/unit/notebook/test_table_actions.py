"""What is done to rows of a table, by `js/MESSAGES.md`: each action has one reply, and each row says what failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import comm
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

import pmcp_lab as lab
from pmcp_lab.client import Task, call_of, runtime
from pmcp_lab.errors import PeerError
from pmcp_lab.notebook import TaskTable
from pmcp_lab.notebook.start_code import literal, start_code
from pmcp_lab.server import TaskContext, Tasks
from tests.unit.front_end import Comm, FrontEnd, until
from tests.unit.notebook.test_widgets import replay
from tests.unit.workshop import Workshop


class Approve(BaseModel):
    approve: bool
    note: str = ""


class Asking(Workshop):
    """Whose tool `ask` asks what it is told to."""

    def __init__(self) -> None:
        super().__init__("asking")
        tasks = Tasks("memory://")

        @tasks.tool(support="optional", poll_interval="20ms")
        async def ask(question: str, task: TaskContext) -> str:
            answer = await task.elicit(question, Approve)
            return f"{answer.action} {answer.content.note if answer.content else ''}"

        self.server: MCPServer[Any] = MCPServer("asking", extensions=[tasks], middleware=[tasks], log_level="WARNING")


@pytest.fixture(autouse=True)
def comms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", Comm)


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture
def shop(workshop: Workshop) -> Iterator[lab.Server]:
    with lab.connect(workshop.server, name="shop") as server:
        yield server


@pytest.fixture
def asking() -> Iterator[lab.Server]:
    with lab.connect(Asking().server, name="asking") as server:
        yield server


def act(page: FrontEnd, action: str, *rows: int) -> dict[str, Any]:
    kind = {"code": "cell", "ask": "asked"}.get(action, "done")
    heard = len(page.of(kind))
    page.send(kind="action", view="v", action=action, rows=list(rows))
    return page.wait(kind, heard + 1)[-1]


class TestCancel:
    def test_it_says_what_came_of_it(self, shop: lab.Server, workshop: Workshop) -> None:
        tasks = [*(shop.task("hold", n=n) for n in range(3)), shop.task("double", n=1)]
        tasks[3].result(10)
        until(lambda: workshop.running == 3)
        done = act(FrontEnd(TaskTable(tasks)), "cancel", 0, 3)
        assert (done["to"], done["text"], done["refused"]) == ("v", "3 cancelled, 1 had ended", [])
        until(lambda: all(task.cancelled() for task in tasks[:3]))

    def test_what_the_server_refuses_is_told_on_its_row(self, shop: lab.Server, workshop: Workshop) -> None:
        tasks = [shop.task("hold", n=n) for n in range(2)]
        until(lambda: workshop.running == 2)

        async def refuse(ctx: Any, call_next: Any) -> Any:
            if ctx.method == "tasks/cancel" and ctx.params["taskId"] == tasks[1].id:
                raise PeerError("not now")
            return await call_next(ctx)

        workshop.server.middleware.insert(0, refuse)
        page = FrontEnd(TaskTable(tasks))
        done = act(page, "cancel", 0, 1)
        assert done["text"].startswith("1 cancelled, 1 refused: ")
        assert done["refused"] == [1]
        until(lambda: any("could not be cancelled: " in json.dumps(message.get("patch")) for message in page.messages))
        workshop.open()


class TestRetry:
    def test_a_row_shows_its_new_attempt(self, shop: lab.Server, workshop: Workshop) -> None:
        many = shop.map("double", [1, -2, 3])
        alone = shop.task("double", n=-4)
        many.wait(20)
        alone.exception(10)
        both, own = FrontEnd(TaskTable(shop)), FrontEnd(TaskTable(many))
        assert [row["status"] for row in replay(both).values()] == ["completed", "failed", "completed", "failed"]
        workshop.broken = False
        done = act(both, "retry", 1, 1, 3, 3)
        assert (done["text"], done["refused"]) == ("2 started again", [])
        until(lambda: [row["status"] for row in replay(both).values()] == ["completed"] * 4)
        until(lambda: [row["status"] for row in replay(own).values()] == ["completed"] * 3)
        assert [row.get("error") for row in replay(both).values()] == [None] * 4
        assert list(TaskTable(many).shown()) == list(many), "in the order of the set, not of the attempts"
        assert len(TaskTable(shop).shown()) == 4

    def test_so_does_a_table_of_some_tasks(self, shop: lab.Server, workshop: Workshop) -> None:
        many = shop.map("double", [1, -2, -3])
        alone = shop.task("double", n=-4)
        many.wait(20)
        alone.exception(10)
        some, part = FrontEnd(TaskTable([many[1], alone])), FrontEnd(TaskTable(many[1:]))
        workshop.broken = False
        act(some, "retry", 0, 1)
        act(part, "retry", 1, 1)
        for page in (some, part):
            until(lambda page=page: [row["status"] for row in replay(page).values()] == ["completed"] * 2)
        shop.task("double", n=5).result(10)
        assert len(replay(some)) == len(replay(part)) == 2, "and nothing else joins"

    def test_an_expanded_row_tells_its_new_life(self, shop: lab.Server, workshop: Workshop) -> None:
        many = shop.map("double", [-1])
        many.wait(20)
        table = TaskTable(many)
        page = FrontEnd(table)
        page.set(_expanded=[0])
        until(lambda: any(m.get("details") for m in page.messages))
        workshop.broken = False
        act(page, "retry", 0, 0)
        many.wait(20)
        until(lambda: [d for m in page.messages for d in m.get("details", ())][-1]["history"][-1:] != [])
        details = [detail for message in page.messages for detail in message.get("details", ())]
        until(lambda: any(detail["from"] == 0 and detail["history"][0]["status"] == "working" for detail in details))

    def test_what_still_runs_is_left_alone(self, shop: lab.Server, workshop: Workshop) -> None:
        tasks = [shop.task("hold", n=1), shop.task("double", n=-1)]
        tasks[1].exception(10)
        done = act(FrontEnd(TaskTable(tasks)), "retry", 0, 1)
        assert done["text"] == "1 started again, 1 had not ended"
        workshop.open()


class TestAnswer:
    def test_alike_questions_have_one_form(self, asking: lab.Server) -> None:
        texts = ["Job 7 used 1.5 GB. Go on?", "Job 67 used 22 GB. Go on?", "Delete all?"]
        tasks = [asking.task("ask", question=text) for text in texts]
        until(lambda: all(task.questions for task in tasks))
        page = FrontEnd(TaskTable(tasks))
        groups = act(page, "ask", 0, 2)["groups"]
        keys = [task.questions[0].key for task in tasks]
        assert [group["asked"] for group in groups] == [[[0, keys[0]], [1, keys[1]]], [[2, keys[2]]]]
        assert groups[0]["form"]["message"] == "\n".join(texts[:2])
        assert [field["name"] for field in groups[0]["form"]["fields"]] == ["approve", "note"]
        wrong = self.answer(page, groups[0]["asked"], {"note": 5})
        assert wrong["problems"].keys() == {"approve", "note"}
        right = self.answer(page, groups[0]["asked"], {"approve": True, "note": "yes"})
        assert (right["problems"], right["text"], right["form"]) == ({}, "2 answered", "f")
        assert [task.result(10).text for task in tasks[:2]] == ["accept yes"] * 2
        assert tasks[2].questions
        late = self.answer(page, [*groups[0]["asked"], *groups[1]["asked"]], {}, "decline")
        assert late["text"] == "2 had been answered, 1 declined"
        assert tasks[2].result(10).text == "decline "
        assert act(page, "ask", 0, 2)["text"] == "nothing is asked any more"

    def answer(self, page: FrontEnd, asked: Any, content: Any, action: str = "accept") -> dict[str, Any]:
        heard = len(page.of("answered"))
        page.send(kind="answer", view="v", form="f", asked=asked, action=action, content=content)
        return page.wait("answered", heard + 1)[-1]

    def test_each_row_says_what_failed(self, asking: lab.Server, monkeypatch: pytest.MonkeyPatch) -> None:
        tasks = [asking.task("ask", question="Go on?") for _ in range(2)]
        until(lambda: all(task.questions for task in tasks))
        page = FrontEnd(TaskTable(tasks))
        (group,) = act(page, "ask", 0, 1)["groups"]
        told = call_of(tasks[0]).origin.answer

        async def refuse(call: Any, key: str, response: dict[str, Any]) -> None:
            if call is call_of(tasks[1]):
                raise PeerError("no such task")
            await told(call, key, response)

        monkeypatch.setattr(call_of(tasks[0]).origin, "answer", refuse)
        said = self.answer(page, group["asked"], {"approve": True})
        assert said["problems"] == {"": "1 answered, 1 refused: no such task"}
        assert tasks[1].trouble == "could not be answered: no such task"
        assert tasks[0].result(10).text == "accept "

    @pytest.mark.parametrize("asked", [None, 5, [[0]], [["x", 1]], [[99, "q"]], [[0, "other"]], [[True, "q"]]])
    def test_what_is_malformed_answers_nothing(self, asking: lab.Server, asked: Any) -> None:
        task = asking.task("ask", question="Go on?")
        until(lambda: task.questions)
        said = self.answer(FrontEnd(TaskTable([task])), asked, {"approve": True})
        assert said["problems"] == {}
        assert said["text"] in ("there was nothing to do", "1 had been answered")
        assert task.questions

    def test_an_expanded_row_has_the_form(self, asking: lab.Server) -> None:
        task = asking.task("ask", question="Go on?")
        until(lambda: task.questions)
        page = FrontEnd(TaskTable([task]))
        page.set(_expanded=[0])
        until(lambda: any(m.get("details") for m in page.messages))
        (detail,) = [detail for message in page.messages for detail in message.get("details", ())]
        assert [(each["key"], each["message"]) for each in detail["asked"]] == [(task.questions[0].key, "Go on?")]
        assert self.answer(page, [[0, task.questions[0].key]], {"approve": True})["text"] == "1 answered"
        until(lambda: [d for m in page.messages for d in m.get("details", ())][-1]["asked"] == [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class TestCode:
    @given(JSON)
    def test_every_value_comes_back(self, value: Any) -> None:
        assert json.dumps(eval(literal(value))) == json.dumps(value)

    def test_it_starts_the_same_again(self, shop: lab.Server, workshop: Workshop) -> None:
        many = shop.map("double", [{"n": 1, "note": 'a"\n☃'}, {"n": 2, "flag": True}])
        tasks = [*many, shop.task("double", n=3)]
        for task in tasks:
            task.result(10)
        code = act(FrontEnd(TaskTable(tasks)), "code", 0, 2)["text"]
        exec(code, {})
        started = list(shop.tasks)[3:]
        assert [task.arguments for task in started] == [task.arguments for task in tasks]
        assert [task.result(10).value for task in started] == [2, 4, 6]
        assert start_code([tasks[2]]).endswith("lab.connected('shop').task('double', {'n': 3})")

    def test_what_was_started_elsewhere_is_said(self, shop: lab.Server, workshop: Workshop) -> None:
        task = shop.task("double", n=1)
        task.result(10)
        with lab.connect(workshop.server, name="other") as other:
            assert "1 of these 2 were started elsewhere" in start_code([task, other.attach(str(task.id))])


class TestSelection:
    def test_the_selection_is_a_set_of_its_own(self, shop: lab.Server) -> None:
        tasks = [shop.task("double", n=n) for n in range(4)]
        for task in tasks:
            task.result(10)
        table = TaskTable(tasks)
        FrontEnd(table).set(_selected=[1, 2])
        assert list(table.selected) == list(lab.selected) == tasks[1:3]
        assert lab.selected.df.n.tolist() == [1, 2]
        table.selected = [tasks[3]]
        assert lab.selected.df.result.tolist() == [6]


def test_an_action_that_nobody_knows_is_ignored(shop: lab.Server) -> None:
    task: Task = shop.task("double", n=1)
    page = FrontEnd(TaskTable([task]))
    page.send(kind="action", view="v", action="explode", rows=[0, 0])
    page.send(kind="ping", view="v", n=1, views={"v": 0})
    page.wait("pong")
    runtime().run(_nothing())
    assert not page.of("done")


async def _nothing() -> None:
    return None


def test_a_link_to_a_row_is_followed_by_the_tables_that_have_it(shop: lab.Server) -> None:
    first, second = shop.map("double", [1, 2, 3]), shop.map("double", [4, 5])
    second.wait(20)
    both, other = FrontEnd(TaskTable(shop)), FrontEnd(TaskTable(first))
    anchor = call_of(second[1]).anchor
    for page in (both, other):
        page.send(kind="find", view="v", anchor=anchor)
        page.send(kind="find", view="v", anchor=None)
        page.send(kind="find", view="v", anchor=call_of(first[2]).anchor)
    assert [(each["row"], each["to"]) for each in both.wait("found", 2)] == [(4, "v"), (2, "v")]
    assert [each["row"] for each in other.wait("found", 1)] == [2]


def test_its_frame_is_that_of_the_set(shop: lab.Server) -> None:
    many, alone = shop.map("double", [1, -2]), shop.task("double", n=3)
    many.wait(20)
    alone.result(10)
    pd.testing.assert_frame_equal(TaskTable(many).df, many.df)
    pd.testing.assert_frame_equal(TaskTable(many[1:]).df, many[1:].df)
    whole = TaskTable(shop).df
    assert whole.task_id.tolist() == [task.id for task in (*many, alone)]
    assert whole.n.tolist() == [1, -2, 3]
