"""Rows that are started again, each in its place: in a set, after a restart, and as a selection."""

from __future__ import annotations

import threading

import pandas as pd
import pytest

import pmcp_lab as lab
from pmcp_lab.client import TaskSelection, call_of, select_in
from pmcp_lab.errors import InvalidArguments, LabError, TaskCancelled
from tests.unit.client.conftest import Connect
from tests.unit.front_end import until
from tests.unit.workshop import Workshop


class TestSet:
    def test_what_failed_starts_again_in_its_place(self, server: lab.Server, workshop: Workshop) -> None:
        many = server.map("double", [1, -2, 3, -4], concurrency=2)
        assert many.wait(20)
        before = list(many)
        workshop.broken = False
        assert many.retry() is many
        assert [result.value for result in many.results(timeout=20)] == [2, -4, 6, -8]
        assert [task is old for task, old in zip(many, before, strict=True)] == [True, False, True, False]
        assert "retried 2 of 4" in repr(many)
        assert "nothing to retry" in repr(many.retry())
        assert many.df.n.tolist() == [1, -2, 3, -4]

    def test_what_was_cancelled_starts_again_too(self, server: lab.Server, workshop: Workshop) -> None:
        many = server.map("hold", [{"n": n} for n in range(4)], concurrency=1)
        until(lambda: workshop.running == 1)
        many.cancel()
        assert many.wait(20)
        workshop.open()
        assert [result.value["n"] for result in many.retry().results(timeout=20)] == [0, 1, 2, 3]

    def test_some_are_given(self, modern: lab.Server) -> None:
        many = modern.map("double", [1, -2, -3])
        assert many.wait(20)
        before = list(many)
        many.retry([many[0], many[1]]).wait(20)
        assert [task is old for task, old in zip(many, before, strict=True)] == [False, False, True]
        many[2:].retry().wait(20)
        assert many[2] is not before[2]
        with pytest.raises(InvalidArguments, match=r"1 of these 2 are no rows of 'double 1', as <Task"):
            many.retry([many[0], before[1]])

    def test_while_the_others_run(self, modern: lab.Server, workshop: Workshop) -> None:
        held = [{"n": n} for n in range(3)]
        many = modern.map("hold", held, concurrency=2)
        until(lambda: workshop.running == 2)
        many[0].cancel()
        until(lambda: many[0].done() and not many[2].queued)
        with pytest.raises(LabError, match=r"1 of these 2 have not ended: wait\(\) or cancel\(\) before retry\(\)"):
            many.retry(many[:2])
        assert many.retry().counts == {"working": 2, "queued": 1}, "no more run at once than asked for"
        workshop.open()
        assert [result.value["n"] for result in many.results(timeout=20)] == [0, 1, 2]
        assert sorted(workshop.started) == [0, 0, 1, 2]

    def test_one_that_is_cancelled_before_its_turn_is_started_once(
        self, modern: lab.Server, workshop: Workshop
    ) -> None:
        many = modern.map("hold", [{"n": 0}, {"n": 1}], concurrency=1)
        until(lambda: workshop.running == 1)
        many[1].cancel()
        many.retry()
        workshop.open()
        assert [result.value["n"] for result in many.results(timeout=20)] == [0, 1]
        assert workshop.started == [0, 1]

    def test_many_threads_retry_at_once(self, modern: lab.Server, workshop: Workshop) -> None:
        many = modern.map("double", [-n for n in range(1, 21)], concurrency=4)
        assert many.wait(20)
        workshop.broken = False
        threads = [threading.Thread(target=many.retry, args=(many[n : n + 5],)) for n in range(0, 20, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [result.value for result in many.results(timeout=20)] == [-2 * n for n in range(1, 21)]

    def test_who_listens_hears_what_takes_whose_place(self, modern: lab.Server) -> None:
        many = modern.map("double", [1, -2])
        assert many.wait(20)
        heard: list[lab.Task] = []
        old, stop = many[1], many.on_task(heard.append)
        many.retry()
        assert heard == [many[1]]
        assert call_of(heard[0]).instead_of == call_of(old).number
        stop()
        many.wait(20)
        many.retry()
        assert len(heard) == 1


class TestAfterARestart:
    def test_the_last_attempt_counts(self, connect: Connect, workshop: Workshop) -> None:
        many = connect().map("double", [1, -2], name="sweep-1")
        many.wait(20)
        workshop.broken = False
        many.retry().wait(20)
        again = connect().sets["sweep-1"]
        assert [each.value for each in again.results(timeout=2)] == [2, -4]
        assert [task.id for task in again] == [task.id for task in many]

    def test_an_attempt_that_was_not_begun_is_missing(self, connect: Connect, workshop: Workshop) -> None:
        server = connect()
        many = server.map("hold", [{"n": n} for n in range(3)], concurrency=1, name="sweep-1")
        until(lambda: workshop.running == 1)
        many[2].cancel()
        many.retry()
        until(lambda: many[0].id)
        server.close()
        again = connect().sets["sweep-1"]
        assert again.counts == {"working": 1, "queued": 2}, "what it had come to before counts no more"
        workshop.open()
        assert [each.value["n"] for each in again.resume().results(timeout=20)] == [0, 1, 2]

    def test_of_a_set_that_is_taken_up(self, connect: Connect, workshop: Workshop) -> None:
        connect().map("double", [1, -2], name="sweep-1").wait(20)
        workshop.broken = False
        again = connect().sets["sweep-1"]
        assert [each.value for each in again.retry().results(timeout=20)] == [2, -4]
        assert [each.value for each in connect().sets["sweep-1"].results(timeout=2)] == [2, -4]

    def test_another_kernels_attempt_takes_the_place_here(self, connect: Connect, workshop: Workshop) -> None:
        first = connect("first").map("double", [1, -2], name="sweep-1")
        first.wait(20)
        other = connect("other").sets["sweep-1"]
        workshop.broken = False
        other.retry().wait(20)
        heard: list[lab.Task] = []
        old = first[1]
        first.on_task(heard.append)
        first.catch_up()
        assert [task.result(5).value for task in first] == [2, -4]
        assert [call_of(task).instead_of for task in heard] == [call_of(old).number]


class TestSelection:
    def test_it_is_looked_at_as_a_set_is(self, modern: lab.Server) -> None:
        rows = pd.DataFrame({"n": [3, -1, 2]}, index=pd.Index(["a", "b", "c"], name="run"))
        many = modern.map("double", rows)
        many.wait(20)
        chosen = TaskSelection([many[0], many[2]])
        whole = many.df.loc[["a", "c"]].drop(columns=["error"])  # an empty column has no type of its own
        pd.testing.assert_frame_equal(chosen.df.drop(columns=["error"]), whole, check_dtype=False)
        assert chosen.df.index.name == "run"
        assert [result.value for result in chosen.results(timeout=5)] == [6, 4]
        assert repr(chosen) == "<TaskSelection shop.double: 2/2 done>"

    def test_of_several_tools(self, modern: lab.Server) -> None:
        tasks = [modern.task("double", n=2), modern.task("show", kind="image")]
        frame = TaskSelection(tasks).df
        assert frame.columns[:1].tolist() == ["tool"]
        assert frame.tool.tolist() == ["double", "show"]
        assert TaskSelection([]).df.empty

    def test_cancel_says_what_came_of_it(self, server: lab.Server, workshop: Workshop) -> None:
        ended = server.task("double", n=1)
        ended.result(10)
        tasks = [ended, *(server.task("hold", n=n) for n in range(3))]
        until(lambda: workshop.running == 3)
        assert repr(TaskSelection(tasks).cancel()) == "3 cancelled"
        assert all(isinstance(task.exception(20), TaskCancelled) for task in tasks[1:])

    def test_retry_keeps_places_in_sets_and_starts_others_anew(self, server: lab.Server, workshop: Workshop) -> None:
        many = server.map("double", [1, -2])
        alone = server.task("double", n=-3)
        many.wait(20)
        alone.exception(20)
        workshop.broken = False
        again = TaskSelection([*many, alone]).retry()
        assert again[0] is many[0]
        assert again[1] is many[1]
        assert [result.value for result in again.results(timeout=20)] == [2, -4, -6]
        assert call_of(again[2]).instead_of == call_of(alone).number
        assert any(task is again[2] for task in server.tasks)

    def test_what_was_started_elsewhere_cant_be(self, server: lab.Server, workshop: Workshop) -> None:
        task = server.task("double", n=-1)
        task.exception(20)
        with lab.connect(workshop.server, name="other", mode="auto") as other:
            found = other.attach(str(task.id))
            found.exception(20)
            with pytest.raises(LabError, match=r"^1 refused: other.* was started elsewhere: what it was called with"):
                TaskSelection([found]).retry()

    def test_the_last_selection_is_at_hand(self, modern: lab.Server) -> None:
        tasks = [modern.task("double", n=n) for n in (1, 2)]
        select_in(lambda: tasks[1:])
        assert list(lab.selected) == tasks[1:]
        select_in(tuple)
        assert len(lab.selected) == 0
