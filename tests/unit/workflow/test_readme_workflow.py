"""The workflow of the README, as it stands there: its person's answer decides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.errors import PeerError, TaskError
from pmcp_lab.server import Tasks
from pmcp_lab.workflow import SequentialWorkflow, Workflows, from_step, prompt_arg

README = Path(__file__).parents[3] / "README.md"
BLOCK = re.search(r"```python\n(release = \(\n.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
AGREES = 'run.answer({"ok": True})'


def played(code: str) -> tuple[lab.client.WorkflowRun, list[str]]:
    """What its cell leaves behind, and what its tools did."""
    tasks, did = Tasks("memory://"), list[str]()
    server: MCPServer[Any] = MCPServer("lab", extensions=[tasks], middleware=[tasks], log_level="ERROR")

    @server.tool()
    def build(version: str) -> dict[str, str]:
        did.append("build")
        return {"file": f"{version}.whl"}

    @server.tool()
    def upload(file: str) -> str:
        did.append(f"upload {file}")
        return file

    names: dict[str, Any] = {"lab": lab, "server": server, "tasks": tasks, "Workflows": Workflows}
    names |= {"SequentialWorkflow": SequentialWorkflow, "from_step": from_step, "prompt_arg": prompt_arg}
    exec(compile(code, str(README), "exec"), names)
    run: lab.client.WorkflowRun = names["run"]
    return run, did


def test_a_yes_publishes() -> None:
    assert BLOCK is not None
    assert AGREES in BLOCK[1]
    run, did = played(BLOCK[1])
    assert did == ["build", "upload 1.2.whl"]
    assert run.result(10).structured["completed"] is True
    assert list(run.df.status) == ["completed"] * 3
    assert list(run.df.by) == ["server", "person", "server"]
    assert run.df.ended.notna().all()
    lab.connected(run.server).close()


def test_a_no_publishes_nothing() -> None:
    assert BLOCK is not None
    run, did = played(BLOCK[1].replace(AGREES, AGREES.replace("True", "False")))
    said = run.result(10)
    assert did == ["build"]
    assert said.structured["completed"] is False
    assert said.text == "Workflow release was stopped at step approve: the answer was no: ok is no."
    assert list(run.df.status) == ["completed", "refused", "pending"]
    assert repr(run).endswith("stopped at approve (the answer was no: ok is no)>")
    with pytest.raises(TaskError, match="step 'approve' was refused"):
        run.call_step("upload", file="1.2.whl")
    with pytest.raises(PeerError, match="runs only as step 'upload' of workflow 'release'"):
        lab.connected(run.server).call("upload", file="1.2.whl")
    assert did == ["build"]
    lab.connected(run.server).close()


def test_nothing_is_to_be_had_before_the_answer() -> None:
    assert BLOCK is not None
    code = BLOCK[1][: BLOCK[1].index(AGREES)]
    run, did = played(code)
    run.wait(10)
    assert [call.step for call in run.calls] == ["approve"]
    with pytest.raises(TaskError, match="a person has to agree at step 'approve' first"):
        run.call_step("upload", file="1.2.whl")
    (waiting,) = lab.connected(run.server).workflows.runs
    assert waiting.id == run.id
    row = lab.connected(run.server).workflows.runs.df.iloc[0]
    assert (row.workflow, row.step, row.waits_for, row.from_whom) == ("release", "approve", "an answer", "a person")
    assert row.since is not None
    run.answer(action="decline")
    run.result(10)
    assert len(lab.connected(run.server).workflows.runs) == 0
    assert did == ["build"]
    lab.connected(run.server).close()
