"""Failures of a sweep: equal ones together, each with its rows, and what its server wrote to stderr meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import pmcp_lab as lab
from pmcp_lab.client import Failures, Kinds, Task
from pmcp_lab.errors import ConnectionClosed
from tests.unit.front_end import until
from tests.unit.workshop import Workshop

NOISY = """
import asyncio, os, sys
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("noisy")

@server.tool()
async def work(n: int) -> str:
    print(f"\\033[31mstarting {n}\\033[0m", file=sys.stderr, flush=True)
    if n == 13:
        print("out of memory", file=sys.stderr, flush=True)
        os._exit(3)
    if n < 0:
        raise ToolError(f"{n} is below zero")
    return "x" * n

@server.tool()
def flood() -> str:
    print("\\n".join(f"line {n}" for n in range(20_000)), file=sys.stderr, flush=True)
    return "done"

server.run("stdio")
"""


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.Server]:
    script: Path = tmp_path_factory.mktemp("noisy") / "server.py"
    script.write_text(NOISY)
    with lab.connect([sys.executable, str(script)], name="noisy") as server:
        yield server


def kinds(*reasons: str) -> list[tuple[int, str]]:
    found = Kinds()
    for each in reasons:
        found.add(each)
    return [(kind.count, kind.reason) for kind in found.told()]


@pytest.mark.parametrize(
    ("reasons", "kind"),
    [
        (["job 3 diverged at step 2", "job 20 diverged at step 2"], "job {n} diverged at step 2"),
        (["loss is nan", "loss is inf"], "loss is {n}"),
        (["at -3.5e-7.", "at 12."], "at {n}."),
        (["task 5ef1ab09 of run_7", "task 77aa0012c of run_8"], "task {id} of run_{n}"),
        (
            ["no 0b0c3a50-9e4a-4a52-8f6e-0d6d3a6f0001", "no 0b0c3a50-9e4a-4a52-8f6e-0d6d3a6fffff"],
            "no {id}",
        ),
        (["host 10.0.0.1", "host 10.0.0.22"], "host {n}"),
        (["", ""], ""),
    ],
)
def test_reasons_that_differ_in_numbers_and_ids_are_of_one_kind(reasons: list[str], kind: str) -> None:
    assert kinds(*reasons) == [(len(reasons), kind)]


def test_other_words_are_another_kind() -> None:
    assert kinds("job 3 diverged", "job 4 ran out of memory", "job 5 diverged", "deadbeef faded") == [
        (2, "job {n} diverged"),
        (1, "job 4 ran out of memory"),
        (1, "deadbeef faded"),
    ]


def test_a_sweep_tells_its_failures_with_their_rows() -> None:
    with lab.connect(Workshop().server, name="shop") as server:
        given = pd.DataFrame({"n": [1, -2, 3, -4]}, index=["a", "b", "<i>c</i>", "d"])
        many = server.map("double", given)
        many.wait(20)
        (group,) = many.failures
        assert (group.count, group.reason, group.rows) == (2, "{n} is below zero", ("b", "d"))
        assert group.tasks == (many[1], many[3])
        assert str(many.failures) == "2 × {n} is below zero\n    rows b, d"
        assert repr(many).endswith("\n2 × {n} is below zero")
        assert many.failures.df.to_dict("records") == [{"count": 2, "reason": "{n} is below zero", "rows": ["b", "d"]}]
        assert many[:3].failures[0].rows == ("b",)
        assert "\n" not in repr(many[:3]), "what happened once is not repeated"
        assert many.df.error.tolist()[1] == "-2 is below zero"
        assert "shop" not in many.timeline().title.partition(":")[2]


def test_what_was_cancelled_did_not_fail_and_what_was_late_did() -> None:
    workshop = Workshop()
    with lab.connect(workshop.server, name="shop") as server:
        late = server.map("hold", [{"n": n} for n in range(3)], timeout=0.2)
        late.wait(20)
        assert str(late.failures[0]) == "3 × was cancelled: not done after 0.2 s"
        stopped = server.map("hold", [{"n": n} for n in range(3)])
        stopped.cancel()
        stopped.wait(20)
        assert (list(stopped.failures), repr(stopped.failures)) == ([], "no failures")


def test_its_html_is_escaped_and_short() -> None:
    with lab.connect(Workshop().server, name="shop") as server:
        (task,) = server.map("double", [1])
        task.result(20)
        failed: list[tuple[str, Task, str]] = [("<b>", task, f"<script>{'x' * n}") for n in range(50)]
        page = Failures(failed)._repr_html_()
    assert "<script>" not in page
    assert "<b>" not in page
    assert page.count("<tr>") == 1 + 20
    assert "… 30 more kinds of failure" in page


class TestStderr:
    def test_what_was_written_while_a_call_ran(self, noisy: lab.Server) -> None:
        first, second = (noisy.task("work", n=n) for n in (1, -2))
        second.exception(20)
        first.result(20)
        third = noisy.task("work", n=3)
        third.result(20)
        assert "starting -2" in second.stderr
        assert third.stderr == "starting 3"

    def test_of_a_flood_the_end(self, noisy: lab.Server) -> None:
        task = noisy.task("flood")
        task.result(20)
        assert len(task.stderr) == 4_000
        assert task.stderr.startswith("…")
        assert task.stderr.endswith("line 19999")

    def test_the_words_of_a_server_that_died(self, noisy: lab.Server) -> None:
        task = noisy.task("work", n=13)
        assert isinstance(task.exception(20), ConnectionClosed)
        until(lambda: noisy.status == "open")
        noisy.call("work", n=1)
        assert task.stderr == "starting 13\nout of memory"

    def test_a_server_of_this_process_has_none(self) -> None:
        with lab.connect(Workshop().server, name="shop") as server:
            task = server.task("double", n=1)
            task.result(20)
            assert task.stderr == ""
