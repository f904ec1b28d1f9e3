"""Sweeps that last: found by their names after a restart of the kernel, with their arguments, order and answers."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import pmcp_lab as lab
from pmcp_lab.client.tasks import kept_set
from pmcp_lab.errors import InvalidArguments, LabError, TaskCancelled, TaskNotFound, ToolError, UnknownSet
from tests.unit.client.conftest import Connect, files
from tests.unit.front_end import until
from tests.unit.workshop import Workshop


class TestNames:
    def test_a_set_is_found_by_its_name(self, connect: Connect) -> None:
        server = connect()
        many = server.map("double", [1, 2], name="sweep-1")
        other = server.map("double", [3])
        many.wait(20)
        other.wait(20)
        assert list(server.sets) == ["sweep-1", "double 1"]
        assert server.sets["sweep-1"] is many
        assert "sweep-1" in server.sets
        assert server.sets.get("nothing") is None
        with pytest.raises(UnknownSet, match=r"^shop has no set of tasks named 'sweep'. Did you mean 'sweep-1'\?$"):
            server.sets["sweep"]

    def test_a_name_that_is_taken_is_an_error(self, connect: Connect) -> None:
        connect().map("double", [1, 2], name="sweep-1").wait(20)
        for name in ("shop", "shop", "other"):
            server = connect(name)
            with pytest.raises(LabError, match=r"(?s)has a set 'sweep-1' already \(2 rows of double, .*resume=True"):
                server.map("double", [1, 2], name="sweep-1")
            assert len(server.tasks) == 2, "nothing was started"

    def test_made_names_go_on_after_a_restart(self, connect: Connect) -> None:
        first = connect()
        assert [first.map("double", [1]).name for _ in range(2)] == ["double 1", "double 2"]
        first.close()
        assert connect().map("double", [1]).name == "double 3"

    def test_a_set_can_be_forgotten(self, connect: Connect, notebook: Path) -> None:
        server = connect()
        many = server.map("hold", [{"n": 1}], name="sweep-1")
        with pytest.raises(LabError, match="still runs"):
            del server.sets["sweep-1"]
        many.cancel()
        many.wait(20)
        del server.sets["sweep-1"]
        assert list(server.sets) == files(notebook) == []
        with pytest.raises(UnknownSet):
            del server.sets["sweep-1"]
        server.map("double", [1], name="sweep-1").wait(20)

    @pytest.mark.parametrize("name", ["", "x" * 201])
    def test_a_name_that_is_none(self, connect: Connect, name: str) -> None:
        with pytest.raises(InvalidArguments, match="1 to 200 characters"):
            connect().map("double", [1], name=name)

    def test_resume_wants_a_name(self, connect: Connect) -> None:
        with pytest.raises(InvalidArguments, match="say which, with name="):
            connect().map("double", [1], resume=True)

    @pytest.mark.parametrize(
        ("word", "value"), [("name", "Ann"), ("resume", True), ("timeout", 5), ("ttl", 60), ("concurrency", 2)]
    )
    def test_a_tools_own_argument_is_not_taken_for_maps(
        self, connect: Connect, workshop: Workshop, word: str, value: Any
    ) -> None:
        scope: dict[str, Any] = {}
        exec(f"def say({word}: object = None) -> str: return repr({word})", scope)
        workshop.server.tool()(scope["say"])
        server = connect()
        with pytest.raises(
            InvalidArguments, match=rf"say has an argument `{word}`.*or for all of them as map\('say', "
        ):
            server.map("say", [{}], **{word: value})
        assert len(server.tasks) == 0
        many = server.map("say", [{word: value}, {}], {word: value}, name="said")
        assert ({result.value for result in many.results(timeout=20)}, many.name) == ({repr(value)}, "said")
        meant = {"name": "x", word: value} if word != "name" else {"name": "x"}
        assert server.tools["say"].map([{}], {}, **meant).results(timeout=20)[0].value == "None"

    def test_any_text_is_a_name(self, connect: Connect, notebook: Path) -> None:
        name = "../../ü\n☃"
        connect().map("double", [1], name=name).wait(20)
        assert list(connect().sets) == [name]
        assert len(files(notebook)) == 1


class TestAnswers:
    def test_arguments_order_and_answers_are_as_they_were(self, connect: Connect) -> None:
        rows = pd.DataFrame(
            {"n": [3, -1, 2], "note": ["a", None, "c"]},
            index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2), ("z", 3)], names=["model", "fold"]),
        )
        many = connect().map("double", rows, name="sweep-1")
        many.wait(20)
        again = connect().sets["sweep-1"]
        assert again is not many
        pd.testing.assert_frame_equal(
            again.df.drop(columns=["seconds"]), many.df.drop(columns=["seconds"]), check_exact=True
        )
        assert again.df.index.names == ["model", "fold"]
        assert (again.df.seconds - many.df.seconds).abs().max() < 0.002
        one, two, three = again.results(return_exceptions=True, timeout=1)
        assert (one.value, three.value) == (6, 4)  # type: ignore[union-attr]
        assert isinstance(two, ToolError)
        assert str(two) == str(many[1].failure)
        assert [task.id for task in again] == [task.id for task in many]
        assert list(again) == list(many), "they are handles of the same tasks"
        assert repr(again) == "<TaskSet shop.double: 3/3 done, 1 failed>"

    def test_the_server_is_not_asked_for_what_is_known(self, connect: Connect, workshop: Workshop) -> None:
        connect().map("double", range(5), name="sweep-1").wait(20)
        workshop.server = Workshop().server  # one that knows nothing of it
        assert [each.value for each in connect().sets["sweep-1"].results(timeout=1)] == [0, 2, 4, 6, 8]

    def test_what_the_server_has_forgotten_says_so(self, connect: Connect, workshop: Workshop) -> None:
        first = connect()
        many = first.map("hold", [{"n": 1}, {"n": 2}], name="sweep-1")
        until(lambda: all(task.id for task in many))
        first.close()
        workshop.server = Workshop().server
        again = connect().sets["sweep-1"]
        assert again.wait(20)
        assert all(isinstance(task.failure, TaskNotFound) for task in again)
        assert again.df.status.tolist() == ["failed", "failed"]
        assert again.df.error.str.contains("never there, expired, or somebody else's").all()

    def test_what_still_runs_is_followed_and_kept_when_it_ends(self, connect: Connect, workshop: Workshop) -> None:
        first = connect()
        many = first.map("hold", [{"n": 1}, {"n": 2}], name="sweep-1")
        until(lambda: workshop.running == 2 and all(task.id for task in many))
        first.close()
        again = connect().sets["sweep-1"]
        assert again.counts == {"working": 2}
        assert [task.arguments for task in again] == [{"n": 1}, {"n": 2}]
        workshop.open()
        assert again.wait(20)
        workshop.server = Workshop().server
        assert [each.value["n"] for each in connect().sets["sweep-1"].results(timeout=1)] == [1, 2]

    def test_a_task_is_one_handle_wherever_it_is_found(self, connect: Connect, workshop: Workshop) -> None:
        many = connect().map("hold", [{"n": 1}], name="sweep-1")
        until(lambda: many[0].id)
        by_list, by_set = connect("by_list"), connect("by_set")
        (listed,) = by_list.tasks
        assert by_list.sets["sweep-1"][0] is listed
        assert listed.arguments == {"n": 1}
        task = by_set.sets["sweep-1"][0]
        assert list(by_set.tasks) == [task]
        assert by_set.attach(str(task.id)) is task
        workshop.open()
        assert [each.result(20).value["n"] for each in (listed, task)] == [1, 1]

    def test_every_way_of_ending_comes_back(self, connect: Connect, workshop: Workshop) -> None:
        server = connect()
        late = server.map("hold", [{"n": 1}], name="late", timeout=0.2)
        cancelled = server.map("hold", [{"n": n} for n in range(3)], name="cancelled", concurrency=1)
        until(lambda: workshop.running)
        cancelled.cancel()
        assert late.wait(20)
        assert cancelled.wait(20)
        again = connect().sets
        (error,) = again["late"].results(return_exceptions=True, timeout=5)
        assert isinstance(error, TimeoutError)
        assert str(error) == "shop.hold was cancelled: not done after 0.2 s"
        assert again["late"].counts == {"failed": 1}
        ends = again["cancelled"].results(return_exceptions=True, timeout=5)
        assert all(isinstance(end, TaskCancelled) for end in ends)

    def test_an_answer_that_is_too_large_is_asked_for_again(
        self, connect: Connect, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, notebook: Path
    ) -> None:
        monkeypatch.setattr(kept_set, "ANSWER_LIMIT", 50)
        connect().map("double", [1], name="sweep-1").wait(20)
        (file,) = files(notebook)
        assert json.loads(file.read_text().splitlines()[-1]).keys() == {"row", "left_out"}
        assert connect().sets["sweep-1"].results(timeout=20)[0].value == 2
        workshop.server = Workshop().server
        assert isinstance(connect().sets["sweep-1"][0].exception(20), TaskNotFound)

    def test_calls_that_are_no_tasks(self, connect: Connect, workshop: Workshop) -> None:
        server = connect()
        server.map("show", [{"kind": "image"}], name="shown").wait(20)
        server.map("linger", [{}], name="lost")
        until(lambda: workshop.running == 1)
        server.close()
        sets = connect().sets
        assert sets["shown"].results(timeout=1)[0].content[0].kind == "image"
        (task,) = sets["lost"]
        assert task.status == "unknown"
        assert "was being started when its kernel ended" in str(task.failure)
        workshop.open()
        assert sets["lost"].resume().results(timeout=20)[0].text == "done"

    def test_how_far_it_is_loaded(self, workshop: Workshop, notebook: Path) -> None:
        with lab.connect(workshop.server, name="first") as first:
            many = first.map("hold", [{"n": n} for n in range(30)], concurrency=30, name="sweep-1")
            until(lambda: all(task.id for task in many))

        async def slow(ctx: Any, call_next: Any) -> Any:
            if ctx.method == "tasks/get":
                await asyncio.sleep(0.6)
            return await call_next(ctx)

        workshop.server.middleware.insert(0, slow)
        with lab.connect(workshop.server, name="second") as second:
            second.sets._starter  # noqa: B018 - the first look is not what is measured
            seen: list[str] = []
            looking = threading.Thread(target=lambda: second.sets["sweep-1"])
            looking.start()
            until(lambda: "sweep-1" in second.sets._sets)
            until(lambda: seen.append(second.sets._sets["sweep-1"].summary()) or "16 of 30" in seen[-1])
            looking.join()
            assert seen[0] == "loading 0 of 30"
            until(lambda: second.sets["sweep-1"].summary().startswith("0/30 done"))


def test_a_thousand_rows_are_kept_and_found_quickly(workshop: Workshop, notebook: Path) -> None:
    with lab.connect(workshop.server, name="first") as server:
        many = server.map("double", range(1_000), concurrency=64, name="sweep-1")
        many.wait(60)
    with lab.connect(workshop.server, name="second") as server:
        server.tool("double")
        began = time.thread_time()
        again = server.sets["sweep-1"]
        assert time.thread_time() - began < 2
        assert sum(result.value for result in again.results(timeout=1)) == 999_000
