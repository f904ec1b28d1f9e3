"""A marimo notebook without a page: as a script, and what its cells hand to be shown. Pages are in tests/browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.processes import ROOT

CELLS = """
import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    import pmcp_lab as lab
    from pmcp_lab.errors import InputRequired
    from tests.unit.waits import server

    return InputRequired, lab, mo, server


@app.cell
def _(lab, server):
    jobs = lab.connect(server)
    task = jobs.task("work")
    many = jobs.map("work", [{"name": "a"}, {"name": "b"}])
    return jobs, many, task


@app.cell
def _(jobs, many, mo, task):
    for shown in (jobs.tools, task, many, many[:1], jobs.tool("work").form(steps=2)):
        print(type(shown).__name__, "work" in mo.as_html(shown).text)
    return


@app.cell
async def _(many, task):
    print([result.text for result in [await task, *await many]])
    return


@app.cell
def _(InputRequired, jobs, lab, server):
    print("same connection:", lab.connect(server) is jobs)
    try:
        jobs.call("pick")
    except InputRequired as error:
        print(str(error).splitlines()[0])
    return


if __name__ == "__main__":
    app.run()
"""


@pytest.mark.timeout(120)
def test_a_notebook_runs_as_a_script(tmp_path: Path) -> None:
    notebook = tmp_path / "notebook.py"
    notebook.write_text(CELLS)
    run = subprocess.run(
        [sys.executable, str(notebook)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.stderr == ""
    assert run.stdout.splitlines() == [
        "Tools True",
        "Task True",
        "TaskSet True",
        "TaskSlice True",
        "ToolForm True",
        "['work', 'a', 'b']",
        "same connection: True",
        "jobs.pick asks: 'Which seed for job 0?'",
    ]
