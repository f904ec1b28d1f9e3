"""What a table and a card say of a sweep: the states it is in, and what its server wrote to stderr."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import comm
import pytest

import pmcp_lab as lab
from pmcp_lab.notebook import TaskCard, TaskTable
from tests.unit.front_end import Comm, FrontEnd, until
from tests.unit.notebook.test_widgets import cells, replay
from tests.unit.workshop import Workshop


@pytest.fixture(autouse=True)
def comms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", Comm)


def test_table_repr_counts_and_frame_agree() -> None:
    workshop = Workshop()
    with lab.connect(workshop.server, name="shop") as server:
        many = server.map("hold", [{"n": n} for n in range(9)], concurrency=3)
        until(lambda: workshop.running == 3)
        page = FrontEnd(TaskTable(many))

        def told() -> list[dict[str, int]]:
            rows = cells(page.opened["_state"]["state"]["patch"]).values()
            return [
                dict(Counter(row["status"] for row in rows)),
                dict(Counter(many.df.status)),
                dict(Counter(task.status for task in many)),
                many.counts,
            ]

        assert told() == [{"working": 3, "queued": 6}] * 4
        assert repr(TaskTable(many)) == "<TaskTable 3 working, 6 queued>"
        many[8].cancel()
        many[0].cancel()
        until(lambda: [row["status"] for row in replay(page).values()].count("cancelled") == 2)
        assert many[8].exception(5) is not None
        workshop.open()
        assert many.wait(20)
        until(lambda: Counter(row["status"] for row in replay(page).values()) == many.counts)
        assert many.counts == {"completed": 7, "cancelled": 2} == dict(Counter(many.df.status))
        assert repr(many).startswith("<TaskSet shop.hold: 9/9 done, 2 cancelled, ")


def test_a_row_that_was_lost_is_the_same_everywhere(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(DIES)
    with lab.connect([sys.executable, str(script)], name="dying") as server:
        many = server.map("die", [{}])
        many.wait(20)
        assert many.counts == {"unknown": 1}
        assert many.df.status.tolist() == ["unknown"]
        assert "1/1 done, 1 unknown" in repr(many)
        row = cells(FrontEnd(TaskTable(many)).opened["_state"]["state"]["patch"])[0]
        assert (row["status"], many.failures[0].count) == ("unknown", 1)


DIES = """
import os, sys
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("dying")

@server.tool()
def die() -> str:
    os._exit(3)

@server.tool()
async def complain() -> str:
    print("<b>the disk is full</b>", file=sys.stderr, flush=True)
    raise ToolError("no room")

server.run("stdio")
"""


def test_stderr_is_on_the_card_and_in_the_expanded_row(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(DIES)
    with lab.connect([sys.executable, str(script)], name="dying") as server:
        task = server.task("complain")
        card, page = FrontEnd(TaskCard(task)), FrontEnd(TaskTable([task]))
        page.set(_expanded=[0])
        task.exception(20)
        found: list[Any] = []

        def ended() -> bool:
            found[:] = [each["stderr"] for delta in page.of("delta") for each in delta.get("details", ())]
            return any(found)

        until(ended)
        assert found[-1].startswith("<b>the disk is full</b>")
        until(lambda: card.of("delta") and card.of("delta")[-1]["stderr"] == found[-1])
        assert FrontEnd(TaskCard(task)).opened["_state"]["state"]["stderr"] == task.stderr
