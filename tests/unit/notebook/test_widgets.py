"""What the widgets say to their views, by `js/MESSAGES.md`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import comm
import pytest
from mcp.server.apps import APP_MIME_TYPE, Apps
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError as MCPToolError
from mcp.server.mcpserver.resources import TextResource
from traitlets import TraitError

import pmcp_lab as lab
from pmcp_lab.client import call_of
from pmcp_lab.errors import AppError
from pmcp_lab.notebook import AppView, TaskCard, TaskTable
from pmcp_lab.notebook.row_patches import brief
from pmcp_lab.notebook.tool_form import spelled
from tests.unit.front_end import Comm, FrontEnd, until
from tests.unit.workshop import Workshop


@pytest.fixture(autouse=True)
def comms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", Comm)


@pytest.fixture(scope="module")
def demo() -> Iterator[lab.Server]:
    with lab.connect("demo", name="widgets") as server:
        yield server


def cells(patch: dict[str, Any] | None) -> dict[int, dict[str, Any]]:
    """What a patch says, by row, as a view would read it."""
    found: dict[int, dict[str, Any]] = {}
    if patch is None:
        return found
    rows = patch["rows"]
    numbers = rows if isinstance(rows, list) else list(range(rows["first"], rows["first"] + rows["count"]))
    for part in ("columns", "variables"):
        for name, column in patch.get(part, {}).items():
            for place, value in zip(column.get("at", range(len(numbers))), column["values"], strict=True):
                told = column["words"][value] if "words" in column else value
                if part == "columns":
                    found.setdefault(numbers[place], {})[name] = told
                else:
                    found.setdefault(numbers[place], {}).setdefault("vars", {})[name] = told
    return found


def replay(page: FrontEnd) -> dict[int, dict[str, Any]]:
    """The rows as a view knows them after the opening state and all messages since."""
    known: dict[int, dict[str, Any]] = {}
    patches = [page.opened["_state"]["state"]["patch"], *(m["patch"] for m in page.messages if "patch" in m)]
    for patch in patches:
        for number, fields in cells(patch).items():
            row = known.setdefault(number, {"vars": {}})
            row["vars"].update(fields.pop("vars", {}))
            row.update(fields)
    return known


def finished(demo: lab.Server, count: int = 1) -> list[lab.Task]:
    runs = [demo.task("train", epochs=1, seconds=0.01) for _ in range(count)]
    for run in runs:
        run.result(10)
    return runs


class TestTable:
    def test_it_opens_with_the_present(self, demo: lab.Server) -> None:
        (run,) = finished(demo)
        state = FrontEnd(TaskTable([run])).opened["_state"]
        assert state["seq"] == 0
        assert state["state"]["total"] == 1
        row = cells(state["state"]["patch"])[0]
        assert row["status"] == "completed"
        assert row["taskId"] == run.id
        assert row["vars"]["epoch"] == 1
        assert row["progress"] == 1.0
        assert "epochs" in row["result"]

    def test_deltas_are_numbered_without_a_gap_and_not_too_many(self, demo: lab.Server) -> None:
        page = FrontEnd(TaskTable(demo))
        began = time.monotonic()
        runs = [demo.task("train", epochs=20, seconds=1) for _ in range(10)]
        for run in runs:
            run.result(20)
        until(lambda: [row["status"] for row in replay(page).values()].count("completed") == len(demo.tasks))
        took = time.monotonic() - began
        deltas = page.of("delta")
        assert [delta["seq"] for delta in deltas] == list(range(1, len(deltas) + 1))
        assert len(deltas) <= took * 10 + 2
        assert all(each["thread"] == "pmcp_lab" for each in page.comm.sent[1:])

    def test_a_delta_holds_only_what_changed(self, demo: lab.Server) -> None:
        run = demo.task("train", epochs=3, seconds=0.5)
        page = FrontEnd(TaskTable([run]))
        run.result(10)
        until(lambda: replay(page)[0]["status"] == "completed")
        row = replay(page)[0]
        assert (row["taskId"], row["vars"]["epoch"], row["message"]) == (run.id, 3, run.message)
        told = [fields for delta in page.of("delta") for fields in cells(delta["patch"]).values()]
        assert not any("tool" in fields or "started" in fields for fields in told)

    def test_many_rows_come_in_parts_and_changes_wait_for_theirs(
        self, demo: lab.Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, size in (("FIRST", 2), ("CHUNK", 3), ("SLICE", 2)):
            monkeypatch.setattr(f"pmcp_lab.notebook.task_table.{name}", size)
        runs = [*finished(demo, 8), demo.task("train", epochs=4, seconds=0.4)]
        page = FrontEnd(TaskTable(runs))
        state = page.opened["_state"]["state"]
        assert (state["total"], sorted(cells(state["patch"]))) == (9, [0, 1])
        page.send(kind="hello", view="v1", seq=0)
        page.wait("welcome")
        page.send(kind="more", view="v1", rows=2)
        runs[-1].result(10)
        until(lambda: replay(page).get(8, {}).get("status") == "completed")
        assert [sorted(cells(part["patch"])) for part in page.of("rows")] == [[2, 3, 4], [5, 6, 7], [8]]
        rows = replay(page)
        assert [rows[n]["taskId"] for n in range(9)] == [run.id for run in runs]
        assert rows[8]["vars"]["epoch"] == 4

    def test_a_view_that_missed_something_gets_everything(self, demo: lab.Server) -> None:
        run = demo.task("train", epochs=1, seconds=0.05)
        page = FrontEnd(TaskTable([run]))
        run.result(10)
        until(lambda: replay(page)[0]["status"] == "completed")
        page.send(kind="hello", view="v1", seq=0)
        (state,) = page.wait("state")
        assert state["to"] == "v1"
        assert state["seq"] >= 1
        assert cells(state["state"]["patch"])[0]["status"] == "completed"
        page.send(kind="hello", view="v1", seq=state["seq"])
        (welcome,) = page.wait("welcome")
        assert welcome["seq"] == state["seq"]

    def test_a_page_that_reloads_gets_the_present(self, demo: lab.Server) -> None:
        run = demo.task("train", epochs=1, seconds=0.05)
        table = TaskTable([run])
        run.result(10)
        until(lambda: cells(table.get_state()["_state"]["state"]["patch"])[0]["status"] == "completed")

    def test_the_end_is_in_the_state_that_a_saved_notebook_keeps(self, demo: lab.Server) -> None:
        run = demo.task("train", epochs=2, seconds=0.2)
        page = FrontEnd(TaskTable([run]))
        run.result(10)
        until(lambda: page.updates("_state"))
        (kept,) = page.updates("_state")
        assert cells(kept["state"]["patch"])[0]["status"] == "completed"
        assert kept["seq"] == page.of("delta")[-1]["seq"]

    def test_nothing_is_sent_while_nobody_looks(self, demo: lab.Server) -> None:
        run = demo.task("train", epochs=5, seconds=0.4)
        page = FrontEnd(TaskTable([run]))
        page.send(kind="hello", view="v1", seq=0)
        page.wait("welcome")
        # What the shell's own thread hears can't be relied on to be heard again while a cell runs.
        page.send(kind="sleep", view="v1")
        page.send(kind="ping", view="v1", n=1)
        page.wait("pong")
        sleeper = threading.Thread(target=page.send, kwargs={"kind": "sleep", "view": "v1"})
        sleeper.start()
        sleeper.join()
        page.send(kind="ping", view="v1", n=2)
        page.wait("pong", 2)
        before = len(page.of("delta"))
        run.result(10)
        assert len(page.of("delta")) == before
        page.send(kind="wake", view="v1")
        until(lambda: replay(page)[0]["status"] == "completed")
        assert len(page.of("delta")) == before + 1
        assert not page.of("state")

    def test_ping_and_cancel(self, demo: lab.Server) -> None:
        runs = [demo.task("train", epochs=100, seconds=60) for _ in range(3)]
        page = FrontEnd(TaskTable(runs))
        page.send(kind="ping", view="v1", n=7)
        assert page.wait("pong") == [{"kind": "pong", "to": "v1", "n": 7, "views": {}}]
        page.send(kind="action", view="v1", action="cancel", rows=[0, 0, 2, 2])
        assert runs[0].exception(10) is not None
        assert runs[2].exception(10) is not None
        assert [run.status for run in runs] == ["cancelled", "working", "cancelled"]
        runs[1].cancel()

    def test_an_expanded_row_tells_its_life(self, demo: lab.Server) -> None:
        run = demo.task("train", epochs=3, seconds=0.4)
        table = TaskTable([run])
        page = FrontEnd(table)
        page.set(_expanded=[0])
        run.result(10)
        until(lambda: replay(page)[0]["status"] == "completed")
        until(lambda: any(d["details"][0]["result"] for d in page.of("delta") if "details" in d))
        details = [detail for delta in page.of("delta") for detail in delta.get("details", ())]
        history = [moment for detail in details for moment in detail["history"]]
        assert [(m["status"], m["message"]) for m in history] == [(m.status, m.message) for m in run.moments]
        assert details[-1]["arguments"] == {"epochs": 3, "seconds": 0.4}
        assert table.get_state()["_state"]["state"]["details"][0]["history"] == history

    def test_raw_json_on_demand(self, demo: lab.Server) -> None:
        (run,) = finished(demo)
        page = FrontEnd(TaskTable([run]))
        page.send(kind="raw", view="v1", rows=[0, 0])
        (raw,) = page.wait("raw")
        known = json.loads(raw["text"])
        assert (raw["row"], known["task"]["taskId"], known["arguments"]) == (0, run.id, run.arguments)
        assert known["result"]["structuredContent"]["epochs"] == 1

    def test_what_is_malformed_is_ignored(self, demo: lab.Server) -> None:
        page = FrontEnd(TaskTable(finished(demo)))
        page.send(kind="hello")
        for rows in ("nobody", None, [5, 9], [-3, -1], ["a", "b"], [0]):
            page.send(kind="action", view="v1", action="cancel", rows=rows)
            page.send(kind="raw", view="v1", rows=rows)
        page.send(kind="more", view="v1", rows="all")
        page.send(kind="nonsense", view="v1")
        page.comm.handle_msg({"content": {"data": {"method": "custom", "content": "text"}}, "buffers": []})
        page.send(kind="ping", view="v1", n=1)
        page.wait("pong")
        assert not page.of("raw")

    def test_no_message_has_an_id(self, demo: lab.Server) -> None:
        run = demo.task("train", epochs=2, seconds=0.1)
        page = FrontEnd(TaskTable([run]))
        run.result(10)
        page.send(kind="hello", view="v", seq=-1)
        page.wait("state")
        assert all("id" not in message for message in page.messages)

    def test_code_and_view_share_the_selection(self, demo: lab.Server) -> None:
        runs = finished(demo, 5)
        table = TaskTable(runs, filter="status:completed", group_by="tool", sort="-progress")
        page = FrontEnd(table)
        page.set(_selected=[1, 2, 4, 4])
        assert list(table.selected) == [runs[1], runs[2], runs[4]]
        table.selected = [runs[3], runs[0], runs[4]]
        assert page.updates("_selected") == [[0, 0, 3, 4]]
        assert page.opened["filter"] == "status:completed"
        assert (page.opened["group_by"], page.opened["sort"]) == ("tool", "-progress")
        assert list(table.df["status"]) == ["completed"] * 5

    def test_only_columns_that_exist(self, demo: lab.Server) -> None:
        table = TaskTable(demo, columns=["tool", "variables.loss"])
        assert table.columns == ["tool", "variables.loss"]
        with pytest.raises(TraitError, match="no column 'tol'"):
            table.columns = ["tol"]

    def test_a_set_of_tasks_may_grow(self, demo: lab.Server) -> None:
        class Growing(list[lab.Task]):
            def on_task(self, listener: Callable[[lab.Task], object]) -> Callable[[], None]:
                self.tell = listener
                return lambda: None

        runs = Growing(finished(demo))
        page = FrontEnd(TaskTable(runs))
        (late,) = finished(demo)
        runs.tell(late)
        until(lambda: replay(page).get(1, {}).get("taskId") == late.id)

    def test_a_variable_that_was_deleted_is_gone_from_its_row(self) -> None:
        workshop = Workshop()
        with lab.connect(workshop.server, name="deleting") as server:
            run = server.task("hold", n=1)
            until(lambda: run.variables.get("n") == 1)
            run.set_variables({"keep": "x"})
            page = FrontEnd(TaskTable([run]))
            assert replay(page)[0]["vars"] == {"n": 1, "keep": "x"}
            run.set_variables({"keep": None})
            until(lambda: replay(page)[0].get("variables") == {"n": 1})
            workshop.open()
            run.result(10)

    def test_numbers_a_browser_cannot_hold_are_text(self) -> None:
        assert [brief(value) for value in (2**60, float("nan"), 1 / 3, True, None, [1, 2], "x" * 500)] == [
            str(2**60),
            "nan",
            0.333333,
            True,
            None,
            "[1, 2]",
            "x" * 79 + "…",
        ]

    def test_the_static_table_is_short_and_escaped(self, demo: lab.Server, monkeypatch: pytest.MonkeyPatch) -> None:
        run = demo.task("publish", model="<script>alert(1)</script>")
        until(lambda: run.questions)
        run.answer(action="decline")
        run.result(10)
        data, _ = TaskTable([run])._repr_mimebundle_()
        assert "<script>" not in data["text/html"]
        assert "&lt;script&gt;alert(1)" in data["text/html"]
        assert data["text/plain"] == "<TaskTable 1 completed>"
        monkeypatch.setattr("pmcp_lab.notebook.saved_html.ROWS", 3)
        data, _ = TaskTable(finished(demo, 5))._repr_mimebundle_()
        assert data["text/html"].count("<tr>") == 1 + 3
        assert "5 completed; the first 3 of 5 are listed" in data["text/html"]


class TestCard:
    def test_history_arrives_whole_and_once(self, demo: lab.Server) -> None:
        run = demo.task("train", epochs=5, seconds=0.8)
        card = TaskCard(run)
        page = FrontEnd(card)
        run.result(10)
        until(lambda: page.of("delta") and page.of("delta")[-1]["row"]["status"] == "completed")
        history = [*page.opened["_state"]["state"]["history"], *(m for d in page.of("delta") for m in d["history"])]
        assert [(m["status"], m["message"]) for m in history] == [(m.status, m.message) for m in run.moments]
        assert card.get_state()["_state"]["state"]["history"] == history

    def test_a_question_is_shown(self, demo: lab.Server) -> None:
        run = demo.task("publish", model="m")
        page = FrontEnd(TaskCard(run))
        until(lambda: run.questions)
        until(lambda: any(delta["row"]["questions"] for delta in page.of("delta")))
        asked = [delta["questions"] for delta in page.of("delta") if delta["questions"]][-1]
        assert [(each["message"], [field["name"] for field in each["fields"]]) for each in asked] == [
            ("Publish m?", ["publish", "visibility"])
        ]
        run.answer(action="cancel")
        run.exception(10)

    def test_an_answer_is_checked_and_passed_on(self, demo: lab.Server) -> None:
        run = demo.task("publish", model="m")
        page = FrontEnd(TaskCard(run))
        call_of(run).asked.result(10)
        (question,) = run.questions

        def answer(**content: Any) -> dict[str, Any]:
            sent = len(page.of("answered"))
            page.send(kind="answer", view="v1", question=question.key, **content)
            said = page.wait("answered", sent + 1)[-1]
            assert (said["to"], said["question"]) == ("v1", question.key)
            return said["problems"]  # type: ignore[no-any-return]

        assert answer(action="accept", content={"visibility": "moon"}).keys() == {"publish", "visibility"}
        assert "must be 'accept'" in answer(action="perhaps")[""]
        assert answer(action="accept", content="nonsense") == {"publish": "Required."}
        assert answer(action="accept", content={"publish": True, "visibility": "public"}) == {}
        assert run.result(10).value["visibility"] == "public"
        assert "answered already" in answer(action="decline")[""]

    def test_raw_json_on_demand(self, demo: lab.Server) -> None:
        run = demo.task("train", epochs=1, seconds=0.05)
        page = FrontEnd(TaskCard(run))
        run.result(10)
        page.send(kind="raw", view="v1")
        (raw,) = page.wait("raw")
        known = json.loads(raw["text"])
        assert (raw["to"], known["task"]["status"], known["task"]["taskId"]) == ("v1", "completed", run.id)
        assert known["result"]["structuredContent"]["epochs"] == 1

    def test_without_a_front_end_it_shows_its_last_state_escaped(self, demo: lab.Server) -> None:
        run = demo.task("publish", model="<script>alert(1)</script>")
        call_of(run).asked.result(10)
        asking = TaskCard(run)._repr_mimebundle_()[0]["text/html"]
        assert "asks" in asking
        run.answer({"publish": True})
        run.result(10)
        data = TaskCard(run)._repr_mimebundle_()[0]
        assert "is published for" in data["text/html"]
        assert "completed" in data["text/plain"]
        assert "<script>" not in asking + data["text/html"]


class TestToolForm:
    def test_it_runs_what_is_filled_in(self, demo: lab.Server) -> None:
        form = demo.tools["train"].form(epochs=2)
        page = FrontEnd(form)
        fields = {field["name"]: field for field in page.opened["_tool"]["fields"]}
        assert fields["epochs"]["default"] == 2
        assert page.opened["_state"]["state"]["row"] is None
        page.send(kind="run", view="v1", content={"epochs": 0})
        assert "minimum of 1" in page.wait("filled")[0]["problems"]["epochs"]
        page.send(kind="run", view="v1", content={"epochs": 1, "seconds": 0.05})
        assert page.wait("filled", 2)[1]["problems"] == {}
        until(lambda: page.of("delta") and page.of("delta")[-1]["row"]["status"] == "completed")
        first, (state,) = form.task, page.of("state")
        assert state["state"]["row"]["key"] == call_of(first).key
        page.send(kind="run", view="v1", content={"epochs": 1, "seconds": 0.05})
        until(lambda: len(page.of("state")) == 2)
        assert call_of(form.task).number > call_of(first).number
        numbers = [each["seq"] for each in page.messages if "seq" in each]
        assert numbers == list(range(1, len(numbers) + 1))

    def test_it_gives_the_cell_that_does_the_same(self, demo: lab.Server) -> None:
        page = FrontEnd(form := demo.tools["add"].form())
        page.send(kind="code", view="v1", content={"a": 1, "b": 2})
        code = page.wait("filled")[0]["code"]
        assert code == "import pmcp_lab as lab\nlab.connected('widgets').call('add', a=1, b=2)"
        assert eval(form.code, {"lab": lab}).value == 3
        assert form.task is None, "nothing was run"

    def test_awkward_names_go_into_a_mapping(self) -> None:
        assert spelled({"a": 1, "ttl": 2, "x-y": 3, "class": 4}) == ["{'ttl': 2, 'x-y': 3, 'class': 4}", "a=1"]


def scratch(**resources: Any) -> MCPServer:
    """A server with one app per MIME type given."""
    server = MCPServer("scratch")
    for name, (mime, text) in resources.items():
        server.add_resource(TextResource(uri=f"ui://scratch/{name}", name=name, mime_type=mime, text=text))
        server.tool(name=name, meta={"ui": {"resourceUri": f"ui://scratch/{name}"}})(lambda: "done")
    return server


class TestApp:
    def open(self, demo: lab.Server) -> tuple[AppView, FrontEnd]:
        view = demo.app("wave", frequency=3)
        return view, FrontEnd(view)

    def rpc(self, page: FrontEnd, method: str, **params: Any) -> dict[str, Any]:
        number = len(page.of("rpc-result")) + 1
        page.send(kind="rpc", view="v1", call=number, payload={"method": method, "params": params})
        answer = page.wait("rpc-result", number)[-1]
        assert (answer["to"], answer["call"]) == ("v1", number)
        return answer["payload"]  # type: ignore[no-any-return]

    def test_the_result_follows(self, demo: lab.Server) -> None:
        view, page = self.open(demo)
        assert page.opened["_call"]["arguments"] == {"frequency": 3}
        until(lambda: view._call["result"] is not None)
        assert view._call["result"]["structuredContent"]["frequency"] == 3
        data, _ = view._repr_mimebundle_()
        assert data["text/plain"] == "<AppView widgets.wave>"
        assert "MCP App of <code>widgets.wave</code>" in data["text/html"]

    def test_it_may_call_tools(self, demo: lab.Server) -> None:
        view, page = self.open(demo)
        answer = self.rpc(page, "tools/call", name="wave", arguments={"frequency": 5})
        assert answer["result"]["structuredContent"]["frequency"] == 5
        assert view.calls[-1]["method"] == "tools/call"
        until(lambda: view.calls[-1].get("ms", -1) >= 0)  # the answer goes out before it is noted

    def test_errors_come_back_with_their_code(self, demo: lab.Server) -> None:
        _, page = self.open(demo)
        assert self.rpc(page, "tools/call", name="nothing")["error"]["code"] == -32602
        assert self.rpc(page, "sampling/createMessage")["error"]["code"] == -32601
        assert self.rpc(page, "resources/read", uri="ui://demo/none")["error"]["code"] != 0
        assert self.rpc(page, "tools/call", name="flaky", arguments={"after": 0.01})["result"]["isError"] is True

    def test_resources_are_passed_on(self, demo: lab.Server) -> None:
        _, page = self.open(demo)
        (content,) = self.rpc(page, "resources/read", uri="ui://demo/wave")["result"]["contents"]
        assert content["mimeType"] == APP_MIME_TYPE
        assert self.rpc(page, "resources/list")["result"]["resources"]

    def test_calls_do_not_wait_for_each_other(self, demo: lab.Server) -> None:
        _, page = self.open(demo)
        page.send(
            kind="rpc",
            view="v1",
            call=1,
            payload={"method": "tools/call", "params": {"name": "flaky", "arguments": {"after": 1.0}}},
        )
        page.send(
            kind="rpc",
            view="v1",
            call=2,
            payload={"method": "tools/call", "params": {"name": "add", "arguments": {"a": 1, "b": 2}}},
        )
        assert [answer["call"] for answer in page.wait("rpc-result", 2)] == [2, 1]

    def test_a_call_the_app_cancels_is_not_answered(self, demo: lab.Server) -> None:
        view, page = self.open(demo)
        params = {"name": "flaky", "arguments": {"after": 0.5}}
        page.send(kind="rpc", view="v1", call=1, payload={"method": "tools/call", "params": params})
        page.send(kind="rpc-cancel", view="v1", call=1)
        until(lambda: view.calls and view.calls[-1].get("error"))
        time.sleep(0.7)
        assert not page.of("rpc-result")

    def test_only_tools_for_apps(self) -> None:
        apps = Apps()
        apps.add_html_resource("ui://guarded/page", "<p>hello</p>")

        @apps.tool(resource_uri="ui://guarded/page")
        def shown() -> str:
            return "shown"

        @apps.tool(resource_uri="ui://guarded/page", visibility=["model"])
        def secret() -> str:
            return "secret"

        with lab.connect(MCPServer("guarded", extensions=[apps])) as server:
            page = FrontEnd(server.app("shown"))
            assert "not visible to apps" in self.rpc(page, "tools/call", name="secret")["error"]["message"]
            listed = self.rpc(page, "tools/list")["result"]["tools"]
            assert [tool["name"] for tool in listed] == ["shown"]

    def test_closing_says_so_once(self, demo: lab.Server) -> None:
        view, page = self.open(demo)
        view.close()
        view.close()
        assert page.updates("_closed") == [True]

    def test_a_resource_of_another_kind_is_refused(self) -> None:
        with lab.connect(scratch(plain=("text/plain", "hi"), good=(APP_MIME_TYPE, "<p>hi</p>"))) as server:
            with pytest.raises(AppError, match="is served as 'text/plain'"):
                server.app("plain")
            resource = server.app("good")._resource
            assert resource["html"] == "<p>hi</p>"
            assert resource["legacy"] is False

    def test_old_widgets_are_shown_too(self) -> None:
        old = scratch(
            sky=("text/html+skybridge", "<p>"),
            mcp=("text/html+mcp", "<p>"),
            page=("text/html", "<p>"),
            mixed=(APP_MIME_TYPE, "<script>mcpBridge.callTool()</script>"),
        )
        with lab.connect(old) as server:
            for name in ("sky", "mcp", "page", "mixed"):
                assert server.app(name)._resource["legacy"] is True

    def test_what_an_app_keeps_is_there_again(self, demo: lab.Server) -> None:
        view, page = self.open(demo)
        page.send(kind="event", view="v1", event="stored", payload={"local": {"zoom": "3"}, "other": 1})
        until(lambda: view._storage)
        assert view._storage == {"local": {"zoom": "3"}}
        assert demo.app("wave")._storage == {"local": {"zoom": "3"}}
        page.send(kind="event", view="v1", event="stored", payload={"state": "x" * 3_000_000})
        page.send(kind="event", view="v1", event="stored", payload={"local": {"zoom": None}})
        page.send(kind="event", view="v1", event="stored", payload={"local": "text"})
        page.send(kind="event", view="v1", event="stored", payload={"state": {"page": 2}})
        until(lambda: "state" in view._storage)
        assert view._storage == {"local": {"zoom": "3"}, "state": {"page": 2}}

    def test_an_app_keeps_two_megabytes_and_no_byte_more(self) -> None:
        apps = Apps()
        apps.add_html_resource("ui://keeper/page", "<p>")

        @apps.tool(resource_uri="ui://keeper/page")
        def show() -> str:
            return "shown"

        def stored(payload: dict[str, Any]) -> None:
            page.send(kind="event", view="v1", event="stored", payload=payload)

        with lab.connect(MCPServer("keeper", extensions=[apps])) as server:
            view = server.app("show")
            page = FrontEnd(view)
            most = 2 * 1024 * 1024 - len(json.dumps({"state": "", "local": {"at": "1"}}))
            stored({"local": {"at": "1"}})
            stored({"state": "x" * most})
            until(lambda: "state" in view._storage)
            stored({"state": "x" * (most + 1)})
            stored({"local": {"at": "12"}})  # too much with what is kept
            stored({"local": {"at": "3"}})
            until(lambda: view._storage["local"] != {"at": "1"})
            assert view._storage["local"] == {"at": "3"}
            assert len(view._storage["state"]) == most
            assert server.app("show")._storage == view._storage

    def test_a_blob_is_read_too(self) -> None:
        server = MCPServer("blobs")

        @server.resource("ui://blobs/page", mime_type=APP_MIME_TYPE)
        def page() -> bytes:
            return "<p>häuschen</p>".encode()

        @server.tool(meta={"ui/resourceUri": "ui://blobs/page"})
        def show() -> str:
            return "shown"

        with lab.connect(server) as connected:
            assert connected.app("show")._source.html == "<p>häuschen</p>"

    def test_a_tool_call_that_fails_is_told(self) -> None:
        apps = Apps()
        apps.add_html_resource("ui://failing/page", "<p>hello</p>")

        @apps.tool(resource_uri="ui://failing/page")
        def broken() -> str:
            raise MCPToolError("no data today")

        with lab.connect(MCPServer("failing", extensions=[apps])) as server:
            view = server.app("broken")
            until(lambda: view._call["result"] or view._call["error"])
            assert "no data today" in str(view._call["result"])
