"""Sweeps that are gone on with: what is missing, and nothing else, is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mcp.server.mcpserver import MCPServer

from pmcp_lab.errors import InvalidArguments, LabError
from tests.unit.client.conftest import Connect, files
from tests.unit.front_end import until
from tests.unit.workshop import Workshop


class TestResume:
    def test_it_goes_on_with_what_is_missing(self, connect: Connect, workshop: Workshop) -> None:
        first = connect()
        many = first.map("hold", [{"n": n} for n in range(6)], concurrency=2, name="sweep-1")
        until(lambda: workshop.running == 2 and all(task.id for task in many[:2]))
        first.close()
        second = connect()
        again = second.sets["sweep-1"]
        assert again.summary() == "0/6 done, 4 never started"
        assert not again.wait(0.1)
        workshop.open()
        assert not again.wait(20), "four are never started, which is no reason to wait for ever"
        with pytest.raises(LabError, match=r"2/6 done, 4 never started; 'sweep-1' goes on with resume\(\)"):
            again.results(timeout=20)
        gone_on = second.map("hold", [{"n": n} for n in range(6)], name="sweep-1", resume=True)
        assert gone_on is again
        assert [each.value["n"] for each in again.results(timeout=20)] == list(range(6))
        assert sorted(workshop.started) == list(range(6)), "each was started once"
        assert "resumed with 4 of 6" in again.summary()
        assert "resumed with 4 of 6" in repr(again)
        assert "nothing was missing" in repr(
            second.map("hold", [{"n": n} for n in range(6)], name="sweep-1", resume=True)
        )

    def test_the_first_time_it_begins(self, connect: Connect) -> None:
        many = connect().map("double", [1], name="sweep-1", resume=True)
        assert many.results(timeout=20)[0].value == 2

    def test_what_is_lost_is_started_again(self, connect: Connect, workshop: Workshop) -> None:
        first = connect()
        many = first.map("hold", [{"n": 1}, {"n": 2}], name="sweep-1")
        until(lambda: all(task.id for task in many))
        first.close()
        fresh = Workshop()
        workshop.server = fresh.server
        fresh.open()
        again = connect().sets["sweep-1"].resume()
        assert [each.value["n"] for each in again.results(timeout=20)] == [1, 2]
        assert "resumed with 2 of 2" in again.summary()
        assert [each.value["n"] for each in connect().sets["sweep-1"].results(timeout=2)] == [1, 2]

    def test_what_failed_stays_until_it_is_retried(self, connect: Connect, workshop: Workshop) -> None:
        connect().map("double", [1, -2], name="sweep-1").wait(20)
        workshop.broken = False
        again = connect().map("double", [1, -2], name="sweep-1", resume=True)
        assert again.counts == {"completed": 1, "failed": 1}
        assert [each.value for each in again.retry().results(timeout=20)] == [2, -4]
        assert [each.value for each in connect().sets["sweep-1"].results(timeout=2)] == [2, -4]

    def test_more_rows_and_another_order(self, connect: Connect, workshop: Workshop) -> None:
        connect().map("double", [1, 2, 2], name="sweep-1").wait(20)
        server = connect()
        rows = pd.DataFrame({"n": [5, 2, 1, 2]}, index=list("abcd"))
        many = server.map("double", rows, name="sweep-1", resume=True)
        assert [each.value for each in many.results(timeout=20)] == [10, 4, 2, 4]
        assert "resumed with 1 of 4" in many.summary()
        assert len(server.tasks) == 4
        again = connect().sets["sweep-1"]
        assert again.df.result.to_dict() == {"a": 10, "b": 4, "c": 2, "d": 4}

    @pytest.mark.parametrize(
        ("tool", "rows", "said"),
        [
            ("double", [1, 3], r"1 of the 2 rows of 'sweep-1' are not among these, as row 1: {'n': 2}; nothing was"),
            ("double", [1, 2, "x"], r"can't take these rows; nothing was started:\n  row 2: n: 'x'"),
            ("hold", [1, 2], r"'sweep-1' is a set of shop.double, not of hold: give it another name"),
        ],
    )
    def test_other_rows_and_tools_are_refused(
        self, connect: Connect, notebook: Path, tool: str, rows: list[Any], said: str
    ) -> None:
        connect().map("double", [1, 2], name="sweep-1").wait(20)
        (file,) = files(notebook)
        before = file.read_text()
        server = connect()
        with pytest.raises(InvalidArguments, match=said):
            server.map(tool, rows, name="sweep-1", resume=True)
        assert file.read_text() == before
        assert [each.value for each in connect().sets["sweep-1"].resume().results(timeout=5)] == [2, 4]

    @pytest.mark.parametrize("fits", [True, False])
    def test_a_tool_whose_schema_changed(self, connect: Connect, workshop: Workshop, fits: bool) -> None:
        first = connect()
        many = first.map("hold", [{"n": n} for n in range(3)], concurrency=1, name="sweep-1")
        until(lambda: many[0].id)
        first.close()
        workshop.open()
        changed: MCPServer[Any] = MCPServer("workshop")
        if fits:

            @changed.tool(name="hold")
            def hold(n: int, extra: str = "") -> int:
                return n
        else:

            @changed.tool(name="hold")
            def held(number: int) -> int:
                return number

        workshop.server = changed
        server = connect()
        if fits:
            again = server.map("hold", [{"n": n} for n in range(3)], name="sweep-1", resume=True)
            assert again[1:].results(timeout=20)[1].value == 2
            assert "its tool's schema has changed since" in again.summary()
            return
        with pytest.raises(InvalidArguments, match=r"shop.hold has changed since, and can't take these rows; nothing"):
            server.map("hold", [{"n": n} for n in range(3)], name="sweep-1", resume=True)
        assert server.sets["sweep-1"].counts["queued"] == 2
