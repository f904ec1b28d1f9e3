"""How long: one reading of it on both sides, where a bare number is seconds; the wire has milliseconds."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.server.mcpserver import MCPServer
from typer.testing import CliRunner

import pmcp_lab as lab
from pmcp_lab.cli import app
from pmcp_lab.client import call_of
from pmcp_lab.errors import InvalidArguments, WorkflowInvalid
from pmcp_lab.notebook.rows import row
from pmcp_lab.protocol.durations import from_milliseconds, milliseconds, seconds, typed, written
from pmcp_lab.server import Tasks
from pmcp_lab.workflow import SequentialWorkflow, Workflows

READ = [
    (None, None),
    (0, 0),
    (60, 60_000),
    (1.5, 1_500),
    (0.29, 290),
    (Fraction(1, 4), 250),
    (2**70, 2**70 * 1_000),
    (timedelta(minutes=1), 60_000),
    (timedelta(days=400, milliseconds=7), 400 * 86_400_000 + 7),
    ("250ms", 250),
    ("0s", 0),
    ("90s", 90_000),
    (".5s", 500),
    ("5m", 300_000),
    ("5 min", 300_000),
    (" 1.5 h ", 5_400_000),
    ("2d", 172_800_000),
    ("1w", 604_800_000),
    ("1h30m", 5_400_000),
    ("1h 30m", 5_400_000),
    ("2 Days 1 hour", 176_400_000),
    ("PT1H", 3_600_000),
    ("PT1H30M", 5_400_000),
    ("P1DT12H", 129_600_000),
    ("PT0.5S", 500),
    ("P2W", 1_209_600_000),
]


@pytest.mark.parametrize(("given", "expected"), READ)
def test_what_is_read(given: Any, expected: int | None) -> None:
    assert milliseconds(given) == expected
    assert seconds(given) == (None if expected is None else expected / 1_000)


@pytest.mark.parametrize("given", [5e-324, 0.0001, timedelta(microseconds=1), "0.1ms"])
def test_a_little_is_not_nothing(given: Any) -> None:
    assert milliseconds(given) == 1


@pytest.mark.parametrize(
    "given",
    [
        *("", " ", "h", "1y", "-1s", "1h1h", "30m1h", "1h30", "1.2.3s", "1e3s", "soon", "9" * 400 + "d"),
        *("P", "PT", "P1Y", "P1M", "PT.S", "PT1.2.3S"),
        *(True, False, -1, -0.001, math.nan, math.inf, -math.inf, 1e308, timedelta(-1), b"1s", [1], 1j),
    ],
)
def test_what_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^ttl: .* is not a duration[:;] .*") as refused:
        milliseconds(given, "ttl")
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("given", ["60", "1.5", " 60 "])
def test_text_without_a_unit_says_how_to_write_it(given: str) -> None:
    with pytest.raises(ValueError, match=f"{given.strip()}s, or the number {given.strip()} for seconds"):
        milliseconds(given)


@given(st.integers(0, 2**60))
def test_what_is_written_is_read(whole: int) -> None:
    # Text is summed as floating point, which has 53 bits.
    assert milliseconds(written(whole)) == pytest.approx(whole, rel=1e-15)
    assert whole > 2**53 or milliseconds(written(whole)) == whole


@given(st.integers(0, 2**80))
def test_what_a_peer_sends_is_a_duration(whole: int) -> None:
    assert milliseconds(from_milliseconds(whole)) == min(whole, milliseconds(timedelta.max))


# --- both halves ------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Any:
    tasks = Tasks("memory://")

    @tasks.tool(ttl=60, poll_interval=0.25)
    async def work() -> str:
        await asyncio.sleep(0.2)
        return "done"

    return MCPServer("units", extensions=[tasks], middleware=[tasks], lifespan=tasks.lifespan)


@pytest.fixture(params=["legacy", "2026-07-28"])
def units(server: Any, request: pytest.FixtureRequest) -> Iterator[lab.Server]:
    with lab.connect(server, mode=request.param, name="units") as connected:
        yield connected


def test_a_tool_s_minute_is_a_minute(units: lab.Server) -> None:
    run = units.task("work")
    assert run.result(10).text == "done", "it did not expire while it ran"
    assert run.ttl == 60
    assert row(call_of(run).snapshot())["ttl"] == 60_000, "milliseconds for the front end"


@pytest.mark.parametrize("ttl", [90, "90s", timedelta(seconds=90)])
def test_a_client_s_minute_and_a_half(server: Any, ttl: Any) -> None:
    with lab.connect(server, mode="legacy", name="units") as units:
        assert units.task("work", ttl=ttl).ttl == 90
        [mapped] = units.map("work", [{}], ttl=ttl)
        mapped.result(10)
        assert mapped.ttl == 90


@pytest.mark.parametrize("ttl", [-1, True, "60", "soon", math.nan])
def test_a_client_s_nonsense_is_not_sent(units: lab.Server, ttl: Any) -> None:
    before = len(units.tasks)
    with pytest.raises(InvalidArguments, match="ttl: .* is not a duration"):
        units.task("work", ttl=ttl)
    with pytest.raises(InvalidArguments, match="ttl: .* is not a duration"):
        units.map("work", [{}], ttl=ttl)
    assert len(units.tasks) == before


# --- workflows and command lines --------------------------------------------------------------------


@pytest.mark.parametrize(("ttl", "expected"), [("60", 60_000), ("90s", 90_000), ("PT1H", 3_600_000)])
def test_a_workflow_s_ttl(ttl: str, expected: int) -> None:
    flow = SequentialWorkflow.parse(f"{{name: one, ttl: {ttl}, steps: [{{name: a, tool: work, timeout: 90s}}]}}")
    tasks = Tasks("memory://")

    @tasks.tool()
    def work() -> str:
        return "done"

    server = MCPServer("units", extensions=[tasks], middleware=[tasks])
    Workflows([flow], tasks).attach(server)
    assert flow.steps[0].timeout == 90
    with lab.connect(server, name="flow") as connected:
        run = connected.workflow("one").wait(10)
        assert run.task.ttl == expected / 1_000


@pytest.mark.parametrize(
    "text",
    [
        "{name: one, ttl: soon, steps: [{name: a, tool: b}]}",
        "{name: one, ttl: true, steps: [{name: a, tool: b}]}",
        "{name: one, steps: [{name: a, tool: b, timeout: soon}]}",
        "{name: one, steps: [{name: a, tool: b, backoff: true}]}",
    ],
)
def test_a_workflow_s_nonsense(text: str) -> None:
    with pytest.raises(WorkflowInvalid, match="is not a duration"):
        SequentialWorkflow.parse(text)


@pytest.mark.parametrize(("text", "expected"), [("60", 60), ("1.5", 1.5), ("90s", 90), ("2m", 120), ("PT1M", 60)])
def test_on_a_command_line_a_number_is_seconds(text: str, expected: float) -> None:
    assert typed(text) == expected


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "soon", ""])
def test_a_command_line_s_nonsense(text: str) -> None:
    done = CliRunner().invoke(app, ["worker", "x:y", f"--grace={text}"])
    assert done.exit_code == 2
    assert "is not a duration" in " ".join(done.output.replace("│", " ").split())
