"""Sweeps that outlive their kernel, and a second kernel beside it: processes of their own, at a server of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.client.conftest import MODES
from tests.unit.durable_server import ROOT, DurableServer

PRELUDE = """
import os, sys, time
import pandas as pd
import pmcp_lab as lab
jobs = lab.connect(sys.argv[1], name="jobs", mode=sys.argv[2])
rows = pd.DataFrame({"number": range(12)}, index=pd.Index(list("abcdefghijkl"), name="run"))
def until(ready):
    end = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)
"""


class Kernel:
    """A process of its own with the notebook's environment."""

    def __init__(self, durable: DurableServer, mode: str, code: str) -> None:
        script = PRELUDE + textwrap.dedent(code)
        url = f"http://127.0.0.1:{durable.port}/mcp"
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, url, mode],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def said(self) -> list[str]:
        said, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return said.strip().splitlines()


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[DurableServer]:
    server = DurableServer(tmp_path)
    yield server
    server.kill()


BEGIN = """
many = jobs.map("hold", rows, concurrency=4, name="sweep-1")
until(lambda: sum(task.id is not None for task in many) == 4)
print("started", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("mode", MODES)
class TestKernels:
    def test_a_killed_kernels_sweep_goes_on(self, durable: DurableServer, notebook: Path, mode: str) -> None:
        first = Kernel(durable, mode, BEGIN)
        assert first.line() == "started"
        first.kill()
        second = Kernel(
            durable,
            mode,
            """
            many = jobs.sets["sweep-1"]
            print(many.summary())
            print(many.df.index.name, many.df.index.tolist() == rows.index.tolist(), many.df.number.tolist())
            many = jobs.map("hold", rows, name="sweep-1", resume=True)
            jobs.call("release")
            print([each.value for each in many.results(timeout=30)])
            print(jobs.call("asked").value.get("tools/call"))
            """,
        )
        said = second.said()
        assert said[0] == "0/12 done, 8 never started"
        assert said[1] == f"run True {list(range(12))}"
        assert said[2] == str(list(range(12)))
        assert int(said[3]) == 12 + 1 + 1, "each row was called once; and release, and asked"
        durable.kill()
        durable.file.unlink()
        durable.start()
        third = Kernel(durable, mode, """print(jobs.sets["sweep-1"].df.result.tolist())""")
        assert third.said() == [str(list(range(12)))]

    def test_two_kernels_at_once(self, durable: DurableServer, notebook: Path, mode: str) -> None:
        first = Kernel(durable, mode, BEGIN)
        assert first.line() == "started"
        other = """
            for attempt in (
                lambda: jobs.map("hold", rows, name="sweep-1"),
                lambda: jobs.map("hold", rows, name="sweep-1", resume=True),
                lambda: jobs.sets["sweep-1"].resume(),
                lambda: jobs.sets.__delitem__("sweep-1"),
            ):
                try:
                    print(attempt())
                except lab.errors.LabError as error:
                    print(str(error).splitlines()[0])
            print(jobs.sets["sweep-1"].summary())
            print(jobs.call("asked").value.get("tools/call"))
            """
        said = Kernel(durable, mode, "import pmcp_lab.errors\n" + textwrap.dedent(other)).said()
        assert "has a set 'sweep-1' already" in said[0]
        assert all("another kernel" in line for line in said[1:4]), said
        assert said[4] == "0/12 done, 8 never started"
        assert int(said[5]) == 4 + 1, "nothing was started twice"
        first.kill()
        assert "resumed with 8 of 12" in Kernel(durable, mode, 'print(jobs.sets["sweep-1"].resume())').said()[0]
