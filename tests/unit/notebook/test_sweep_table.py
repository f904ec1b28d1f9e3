"""What a table and a card say of a sweep: the states it is in, and what its server wrote to stderr."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comm
import pytest

import pmcp_lab as lab
from pmcp_lab.client import TableColumns, labels
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


SWEEP = """
from typing import Any
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pmcp_lab.server import TaskContext, Tasks

tasks = Tasks("memory://")

@tasks.tool()
async def fit(seed: int, region: str = "eu", many: int = 0, task: TaskContext = None) -> dict[str, Any]:
    await task.update(variables={"loss": 1 / (seed + 1), "inner": {"a": seed}, "note": "same", "seed": seed})
    if seed % 3 == 2:
        raise ToolError(f"job {seed} diverged")
    extra = {f"x{seed}_{n}": n for n in range(many)}
    return {"loss": float("nan") if seed else 2.5, "best": {"epoch": seed}, "ok": True, **extra}

server = MCPServer("fitting", extensions=[tasks], middleware=[tasks], lifespan=tasks.lifespan)
server.run("stdio")
"""


def told(page: FrontEnd) -> dict[str, Any]:
    """What the last message said of all rows."""
    said = [page.opened["_state"]["state"]["about"], *(m["about"] for m in page.messages if "about" in m)]
    return said[-1]  # type: ignore[no-any-return]


def data(page: FrontEnd) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    patch = page.opened["_state"]["state"]["patch"]
    for name, column in patch["cells"].items():
        for place, value in zip(column.get("at", range(patch["rows"]["count"])), column["values"], strict=True):
            found.setdefault(place, {})[name] = value
    return found


@pytest.fixture
def fitting(tmp_path: Path) -> Iterator[lab.Server]:
    script = tmp_path / "server.py"
    script.write_text(SWEEP)
    with lab.connect([sys.executable, str(script)], name="fitting") as server:
        yield server


def test_the_columns_of_a_sweep_are_those_of_its_frame(fitting: lab.Server) -> None:
    many = fitting.map("fit", range(6), region="eu")
    table = TaskTable(many)
    page = FrontEnd(table)
    assert many.wait(30)
    until(lambda: [row["status"] for row in replay(page).values()].count("completed") == 4)
    said, frame = told(page), many.df
    assert said["title"] == "fitting.fit"
    assert said["alike"] == [["region", "eu"]]
    assert said["failures"] == [[2, "job {n} diverged"]]
    assert said["shown"] == [
        *("n", "arguments.seed", "status", "progress", "variables.loss", "variables.inner.a"),
        *("result.best.epoch", "message", "duration"),
    ]
    labels = {label for _, label, _ in said["columns"]}
    assert labels - set(frame.columns) <= {"many"}, "what is not in the frame was not given"
    assert {"seed", "loss", "variables.loss", "best.epoch", "inner.a", "note"} <= labels
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert (kinds["variables.loss"], kinds["inner.a"]) == ("float64", "int64")
    fresh = data(FrontEnd(TaskTable(many)))
    assert fresh[1] == {
        "arguments.seed": 1,
        "arguments.region": "eu",
        "variables.inner.a": 1,
        "result.loss": "nan",
        "result.best.epoch": 1,
        "result.ok": True,
    } | {name: None for name in fresh[1] if fresh[1][name] is None}


def test_very_many_columns_are_counted_and_not_all_told(fitting: lab.Server) -> None:
    many = fitting.map("fit", [{"seed": seed, "many": 90} for seed in (0, 1, 3, 4, 6, 7)])
    assert many.wait(30)
    said = told(FrontEnd(TaskTable(many)))
    assert len(said["columns"]) == 60
    assert said["more"] > 400
    assert len(said["shown"]) < 20


def test_what_was_chosen_is_remembered_with_the_set(fitting: lab.Server) -> None:
    many = fitting.map("fit", range(2))
    page = FrontEnd(TaskTable(many))
    page.set(columns=["n", "result.loss", "arguments.seed"])
    assert FrontEnd(TaskTable(many)).opened["columns"] == ["n", "result.loss", "arguments.seed"]
    page.set(columns=[])
    assert FrontEnd(TaskTable(many)).opened["columns"] == []
    many.wait(30)


def test_names_of_servers_tools_and_arguments_may_be_anything() -> None:
    long = "x" * 10_000
    known = TableColumns()
    for name in ("arguments.<script>", f"result.{long}", "variables.__proto__", "result."):
        known.take(name, [1])
    assert set(known.known) == {"arguments.<script>", "variables.__proto__", "result."}
    assert len(known.left_out) == 1
    assert labels(["arguments.status", "result.status", "variables.status", "result.a", "variables.a"]) == {
        "arguments.status": "status",
        "result.status": "result.status",
        "variables.status": "variables.status",
        "result.a": "a",
        "variables.a": "variables.a",
    }
