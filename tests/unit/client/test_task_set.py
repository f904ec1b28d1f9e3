"""Many tasks at once: bounded, waited for, cancelled, retried and looked at."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
import time
import xml.etree.ElementTree as ET
from typing import Any

import pandas as pd
import pytest
from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.client import views
from pmcp_lab.demo import build
from pmcp_lab.errors import InvalidArguments, TaskCancelled, ToolError
from tests.unit.client.conftest import MODES
from tests.unit.front_end import until
from tests.unit.workshop import Workshop


class TestRunning:
    def test_results_come_in_the_order_of_the_rows(self, server: lab.Server) -> None:
        many = server.map("double", [{"n": n} for n in range(20)], concurrency=5)
        assert [result.value for result in many.results(timeout=20)] == [2 * n for n in range(20)]
        assert many.done()
        assert many.counts == {"completed": 20}
        assert list(server.tasks) == list(many)

    def test_no_more_than_asked_run_at_once(self, server: lab.Server, workshop: Workshop) -> None:
        many = server.map("hold", ({"n": n} for n in range(9)), concurrency=3)
        until(lambda: workshop.running == 3)
        assert many.counts == {"working": 3, "queued": 6}
        assert many[8].queued
        assert (many[8].status, many[8].message) == ("queued", None)
        assert not many[8].running()
        assert not many.wait(0.1)
        workshop.open()
        assert many.wait(20)
        assert workshop.peak == 3

    def test_rows_start_in_order(self, modern: lab.Server, workshop: Workshop) -> None:
        workshop.open()
        modern.map("hold", [{"n": n} for n in range(5)], concurrency=1).wait(20)
        assert workshop.started == list(range(5))

    def test_a_thousand_neither_block_nor_make_threads(self, modern: lab.Server) -> None:
        modern.tool("double").check({"n": 1})  # the first check imports for a second
        threads = threading.active_count()
        began = time.thread_time()  # of this thread alone, however busy the machine is
        many = modern.map("double", range(1_000), concurrency=64)
        assert time.thread_time() - began < 2
        assert threading.active_count() <= threads
        assert sum(result.value for result in many.results(timeout=60)) == 999_000
        many.df  # noqa: B018 - the first one imports pandas
        began = time.thread_time()
        frame = many.df
        assert time.thread_time() - began < 0.05
        assert frame.result.sum() == 999_000

    def test_as_completed(self, modern: lab.Server, workshop: Workshop) -> None:
        held = modern.map("hold", [{"n": 1}, {"n": 2}], concurrency=1)
        quick = modern.map("double", [1, 2, 3])
        assert {task.result().value for task in quick.as_completed(20)} == {2, 4, 6}
        with pytest.raises(TimeoutError, match=r"0/2 done.*they go on"):
            next(held.as_completed(0.1))
        workshop.open()
        assert [task.arguments["n"] for task in held.as_completed(20)] == [1, 2]

    def test_it_can_be_awaited(self, modern: lab.Server) -> None:
        async def main() -> Any:
            return await modern.map("double", [1, 2])

        assert [result.value for result in asyncio.run(main())] == [2, 4]

    def test_an_interrupt_leaves_it_running(self, modern: lab.Server, workshop: Workshop) -> None:
        many = modern.map("hold", [{"n": n} for n in range(4)], concurrency=2)
        until(lambda: workshop.running == 2)
        threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
        with pytest.raises(KeyboardInterrupt):
            many.results()
        workshop.open()
        assert len(many.results(timeout=20)) == 4

    def test_tools_that_are_no_tasks(self, server: lab.Server) -> None:
        many = server.map("show", [{"kind": "image"}, {"kind": "link"}])
        assert [result.content[0].kind for result in many.results(timeout=20)] == ["image", "resource_link"]


class TestTrouble:
    def test_raise_is_the_first_failure_and_names_the_row(self, server: lab.Server) -> None:
        many = server.map("double", [1, -2, 3])
        with pytest.raises(ToolError, match="-2 is below zero") as caught:
            many.results(timeout=20)
        assert caught.value.__notes__[0].startswith("row 1: {'n': -2}")
        assert "row 1: {'n': -2}" in "\n".join(caught.value._render_traceback_())
        many.wait(20)
        assert many.counts == {"completed": 2, "failed": 1}

    def test_collect_puts_it_in_its_place(self, server: lab.Server) -> None:
        first, second, third = server.map("double", [1, -2, 3]).results(return_exceptions=True, timeout=20)
        assert isinstance(second, ToolError)
        assert (first.value, third.value) == (2, 6)

    def test_cancel_takes_also_what_was_not_started(self, server: lab.Server, workshop: Workshop) -> None:
        many = server.map("hold", [{"n": n} for n in range(10)], concurrency=3)
        until(lambda: workshop.running == 3)
        assert str(many.cancel()) == "10 cancelled"
        assert many.wait(20)
        until(lambda: workshop.running == 0)
        assert len(workshop.started) == 3
        assert all(isinstance(error, TaskCancelled) for error in many.results(return_exceptions=True))
        assert many.counts == {"cancelled": 10}

    def test_cancel_at_once_leaves_nothing_on_the_server(self, server: lab.Server, workshop: Workshop) -> None:
        many = server.map("hold", [{"n": n} for n in range(20)], concurrency=20)
        many.cancel()
        assert many.wait(20)
        until(lambda: workshop.running == 0)

    def test_a_late_one_is_cancelled_and_counts_as_failed(self, server: lab.Server, workshop: Workshop) -> None:
        many = server.map("hold", [{"n": 1}], timeout=0.2)
        (error,) = many.results(return_exceptions=True, timeout=20)
        assert isinstance(error, TimeoutError)
        assert str(error) == "shop.hold was cancelled: not done after 0.2 s"
        assert many.counts == {"failed": 1}
        until(lambda: workshop.running == 0)
        workshop.open()
        assert many.retry().results(timeout=20)[0].value["n"] == 1

    def test_bad_rows_are_named_before_anything_is_sent(self, server: lab.Server) -> None:
        with pytest.raises(InvalidArguments) as caught:
            server.map("double", [{"n": 1}, {"n": "x"}, {"m": 3}])
        said = str(caught.value)
        assert said.startswith(
            "shop.double can't take these rows; nothing was started:\n  row 1: n: 'x' is not of type"
        )
        assert "row 2: m: not an argument of this tool" in said
        assert len(server.tasks) == 0

    def test_many_bad_rows_are_not_all_listed(self, modern: lab.Server) -> None:
        with pytest.raises(InvalidArguments, match="… 20 more"):
            modern.map("double", ["x"] * 30)

    def test_plain_values_need_a_tool_with_one_argument(self) -> None:
        with (
            lab.connect(build(), name="plain") as demo,
            pytest.raises(InvalidArguments, match="plain.train takes several arguments; give each row by name"),
        ):
            demo.map("train", [1])


class TestFrames:
    def test_a_frame_gives_the_arguments_and_its_index(self, modern: lab.Server) -> None:
        given = pd.DataFrame({"n": [1, 2], "note": ["a", None], "flag": [True, False]}, index=["first", "second"])
        many = modern.map("double", given)
        assert many[0].arguments == {"n": 1, "note": "a", "flag": True}
        assert type(many[0].arguments["n"]) is int
        assert many[1].arguments == {"n": 2, "flag": False}
        many.wait(20)
        assert many.df.loc["second", "result"] == 4

    def test_shared_arguments_are_overruled_by_a_row(self, modern: lab.Server) -> None:
        many = modern.map("double", [{"n": 1}, {"n": 2, "note": "own"}], note="shared")
        assert [task.arguments["note"] for task in many] == ["shared", "own"]
        many.wait(20)

    def test_columns_have_types_of_their_own(self, modern: lab.Server, workshop: Workshop) -> None:
        workshop.open()
        many = modern.map("hold", [{"n": 1}, {"n": 2}])
        many.wait(20)
        frame = many.df
        assert list(frame.columns) == [
            *("n", "status", "seconds", "error", "result.n", "half", "even", "name"),
            "variables.n",
        ]
        kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
        assert (kinds["result.n"], kinds["half"], kinds["even"]) == ("int64", "float64", "bool")
        assert frame.half.sum() == 1.5
        assert (frame.seconds >= 0).all()

    def test_what_is_missing_does_not_change_the_type(self, modern: lab.Server) -> None:
        many = modern.map("double", [1, -1, 3])
        many.wait(20)
        frame = many.df
        assert str(frame.result.dtype) == "Int64"
        assert frame.result.isna().tolist() == [False, True, False]
        assert "below zero" in frame.error[1]
        assert frame.status.tolist() == ["completed", "failed", "completed"]

    @pytest.mark.parametrize("mode", MODES)
    def test_fields_within_and_text_that_is_json_are_columns_too(self, mode: str) -> None:
        served: MCPServer[Any] = MCPServer("fit")

        @served.tool()
        def fit(n: int) -> dict:  # type: ignore[type-arg]
            return {"loss": n / 2, "best": {"epoch": n, "at": {"rate": 0.1}}, "empty": {}}

        with lab.connect(served, mode=mode) as server:
            many = server.map("fit", [{"n": 1}, {"n": 2}])
            many.wait(20)
            frame = many.df
        kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
        assert (kinds["loss"], kinds["best.epoch"], kinds["best.at.rate"]) == ("float64", "int64", "float64")
        assert frame["best.epoch"].tolist() == [1, 2]
        assert frame["empty"].tolist() == [{}, {}]

    def test_before_anything_ended(self, modern: lab.Server, workshop: Workshop) -> None:
        many = modern.map("hold", [{"n": n} for n in range(3)], concurrency=1)
        until(lambda: workshop.running == 1)
        assert many.df.status.tolist() == ["working", "queued", "queued"]
        assert many.df.seconds.isna().tolist() == [False, True, True]
        many.cancel()

    def test_pictures_are_objects_that_say_what_they_are(self, modern: lab.Server) -> None:
        many = modern.map("show", [{"kind": "image"}, {"kind": "link"}])
        many.wait(20)
        assert [repr(each) for each in many.df.content] == [
            "<image image/png 70 B>",
            "<resource link https://example.org/<b>>",
        ]

    def test_no_rows(self, modern: lab.Server) -> None:
        many = modern.map("double", [])
        assert many.results(timeout=5) == []
        assert len(many.df) == 0
        assert ET.fromstring(many.timeline()._repr_svg_()) is not None


class TestLooks:
    def test_the_summary_tells_how_far_and_how_fast(self, modern: lab.Server, workshop: Workshop) -> None:
        many = modern.map("hold", [{"n": n} for n in range(4)], concurrency=2)
        assert many.summary() == "0/4 done"
        many.cancel()
        assert many.wait(20)
        assert many.summary().startswith("4/4 done, 4 cancelled, ")
        done = modern.map("double", [1, -1])
        done.wait(20)
        assert done.summary().startswith("2/2 done, 1 failed, ")
        assert repr(done).startswith("<TaskSet shop.double: 2/2 done, 1 failed, ")

    def test_speed_and_rest(self, modern: lab.Server, workshop: Workshop) -> None:
        earliest = time.monotonic()
        many = modern.map("hold", [{"n": n} for n in range(4)], concurrency=1)
        latest = time.monotonic()
        until(lambda: workshop.running == 1)
        many[0].cancel()
        until(lambda: "/s, " in many.summary())
        time.sleep(max(0.0, earliest + 2.0 - time.monotonic()))
        before = time.monotonic()
        said = re.fullmatch(r"1/4 done, 1 cancelled, ([\d.]+)/s, (\d+) s left", many.summary())
        after = time.monotonic()
        assert said is not None, many.summary()
        assert 1 / (after - earliest) - 0.06 <= float(said[1]) <= 1 / (before - latest) + 0.06
        assert 3 * (before - latest) - 1 <= int(said[2]) <= 3 * (after - earliest) + 1
        many.cancel()

    def test_without_a_front_end_it_is_a_text_table(
        self, modern: lab.Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(views, "_views", None)
        many = modern.map("double", [*range(24), -1])
        many.wait(20)
        many._ipython_display_()
        shown = capsys.readouterr().out.splitlines()
        assert len(shown) == 22
        assert shown[3].split() == ["2", "completed", "n=2", "4"]
        assert shown[-1] == "… 5 more"
