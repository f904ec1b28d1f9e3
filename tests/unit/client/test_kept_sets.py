"""Sweeps that last: over restarts of the kernel, beside another kernel, and whatever became of their files."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.client.tasks import kept_set
from pmcp_lab.errors import InvalidArguments, LabError, TaskCancelled, TaskNotFound, ToolError, UnknownSet
from tests.unit.durable_server import ROOT, DurableServer
from tests.unit.front_end import until
from tests.unit.workshop import Workshop

MODES = ["legacy", "2026-07-28"]

Connect = Callable[..., lab.Server]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The environment of a kernel of a notebook; the folder of what it remembers."""
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ann/sweep.ipynb")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    return tmp_path / "pmcp_lab"


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture(params=MODES)
def connect(request: pytest.FixtureRequest, workshop: Workshop, notebook: Path) -> Iterator[Connect]:
    """Connections to the workshop, each with no memory of the others but the disk: as after a restart.

    One of the same name is closed before.
    """
    servers: list[lab.Server] = []

    def connected(name: str = "shop") -> lab.Server:
        for server in servers:
            if server.name == name:
                server.close()
        servers.append(lab.connect(workshop.server, name=name, mode=request.param))
        return servers[-1]

    yield connected
    for server in servers:
        server.close()


def files(notebook: Path) -> list[Path]:
    return sorted(notebook.rglob("sets-*/*/*.jsonl"))


class TestNames:
    def test_a_set_is_found_by_its_name(self, connect: Connect) -> None:
        server = connect()
        many = server.map("double", [1, 2], name="sweep-1")
        other = server.map("double", [3])
        many.wait(20)
        other.wait(20)
        assert list(server.sets) == ["sweep-1", "double 1"]
        assert server.sets["sweep-1"] is many
        assert "sweep-1" in server.sets
        assert server.sets.get("nothing") is None
        with pytest.raises(UnknownSet, match=r"^shop has no set of tasks named 'sweep'. Did you mean 'sweep-1'\?$"):
            server.sets["sweep"]

    def test_a_name_that_is_taken_is_an_error(self, connect: Connect) -> None:
        connect().map("double", [1, 2], name="sweep-1").wait(20)
        for name in ("shop", "shop", "other"):
            server = connect(name)
            with pytest.raises(LabError, match=r"(?s)has a set 'sweep-1' already \(2 rows of double, .*resume=True"):
                server.map("double", [1, 2], name="sweep-1")
            assert len(server.tasks) == 2, "nothing was started"

    def test_made_names_go_on_after_a_restart(self, connect: Connect) -> None:
        first = connect()
        assert [first.map("double", [1]).name for _ in range(2)] == ["double 1", "double 2"]
        first.close()
        assert connect().map("double", [1]).name == "double 3"

    def test_a_set_can_be_forgotten(self, connect: Connect, notebook: Path) -> None:
        server = connect()
        many = server.map("hold", [{"n": 1}], name="sweep-1")
        with pytest.raises(LabError, match="still runs"):
            del server.sets["sweep-1"]
        many.cancel()
        many.wait(20)
        del server.sets["sweep-1"]
        assert list(server.sets) == files(notebook) == []
        with pytest.raises(UnknownSet):
            del server.sets["sweep-1"]
        server.map("double", [1], name="sweep-1").wait(20)

    @pytest.mark.parametrize("name", ["", "x" * 201])
    def test_a_name_that_is_none(self, connect: Connect, name: str) -> None:
        with pytest.raises(InvalidArguments, match="1 to 200 characters"):
            connect().map("double", [1], name=name)

    def test_resume_wants_a_name(self, connect: Connect) -> None:
        with pytest.raises(InvalidArguments, match="say which, with name="):
            connect().map("double", [1], resume=True)

    def test_a_tools_own_name_is_not_taken_for_the_sets(self, connect: Connect, workshop: Workshop) -> None:
        @workshop.server.tool()
        def greet(name: str = "you") -> str:
            return f"Hello {name}"

        server = connect()
        with pytest.raises(InvalidArguments, match="greet has an argument `name`.*put the argument into the rows"):
            server.map("greet", [{}], name="Ann")
        many = server.map("greet", [{"name": "Ann"}], name="greetings")
        assert (many.results(timeout=20)[0].value, many.name) == ("Hello Ann", "greetings")

    def test_any_text_is_a_name(self, connect: Connect, notebook: Path) -> None:
        name = "../../ü\n☃"
        connect().map("double", [1], name=name).wait(20)
        assert list(connect().sets) == [name]
        assert len(files(notebook)) == 1


class TestAnswers:
    def test_arguments_order_and_answers_are_as_they_were(self, connect: Connect) -> None:
        rows = pd.DataFrame(
            {"n": [3, -1, 2], "note": ["a", None, "c"]},
            index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2), ("z", 3)], names=["model", "fold"]),
        )
        many = connect().map("double", rows, name="sweep-1")
        many.wait(20)
        again = connect().sets["sweep-1"]
        assert again is not many
        pd.testing.assert_frame_equal(
            again.df.drop(columns=["seconds"]), many.df.drop(columns=["seconds"]), check_exact=True
        )
        assert again.df.index.names == ["model", "fold"]
        assert (again.df.seconds - many.df.seconds).abs().max() < 0.002
        one, two, three = again.results(return_exceptions=True, timeout=1)
        assert (one.value, three.value) == (6, 4)  # type: ignore[union-attr]
        assert isinstance(two, ToolError)
        assert str(two) == str(many[1].failure)
        assert [task.id for task in again] == [task.id for task in many]
        assert list(again) == list(many), "they are handles of the same tasks"
        assert repr(again) == "<TaskSet shop.double: 3/3 done, 1 failed>"

    def test_the_server_is_not_asked_for_what_is_known(self, connect: Connect, workshop: Workshop) -> None:
        connect().map("double", range(5), name="sweep-1").wait(20)
        workshop.server = Workshop().server  # one that knows nothing of it
        assert [each.value for each in connect().sets["sweep-1"].results(timeout=1)] == [0, 2, 4, 6, 8]

    def test_what_the_server_has_forgotten_says_so(self, connect: Connect, workshop: Workshop) -> None:
        first = connect()
        many = first.map("hold", [{"n": 1}, {"n": 2}], name="sweep-1")
        until(lambda: all(task.id for task in many))
        first.close()
        workshop.server = Workshop().server
        again = connect().sets["sweep-1"]
        assert again.wait(20)
        assert all(isinstance(task.failure, TaskNotFound) for task in again)
        assert again.df.status.tolist() == ["failed", "failed"]
        assert again.df.error.str.contains("never there, expired, or somebody else's").all()

    def test_what_still_runs_is_followed_and_kept_when_it_ends(self, connect: Connect, workshop: Workshop) -> None:
        first = connect()
        many = first.map("hold", [{"n": 1}, {"n": 2}], name="sweep-1")
        until(lambda: workshop.running == 2 and all(task.id for task in many))
        first.close()
        again = connect().sets["sweep-1"]
        assert again.counts == {"working": 2}
        assert [task.arguments for task in again] == [{"n": 1}, {"n": 2}]
        workshop.open()
        assert again.wait(20)
        workshop.server = Workshop().server
        assert [each.value["n"] for each in connect().sets["sweep-1"].results(timeout=1)] == [1, 2]

    def test_a_task_is_one_handle_wherever_it_is_found(self, connect: Connect, workshop: Workshop) -> None:
        many = connect().map("hold", [{"n": 1}], name="sweep-1")
        until(lambda: many[0].id)
        by_list, by_set = connect("by_list"), connect("by_set")
        (listed,) = by_list.tasks
        assert by_list.sets["sweep-1"][0] is listed
        assert listed.arguments == {"n": 1}
        task = by_set.sets["sweep-1"][0]
        assert list(by_set.tasks) == [task]
        assert by_set.attach(str(task.id)) is task
        workshop.open()
        assert [each.result(20).value["n"] for each in (listed, task)] == [1, 1]

    def test_every_way_of_ending_comes_back(self, connect: Connect, workshop: Workshop) -> None:
        server = connect()
        late = server.map("hold", [{"n": 1}], name="late", timeout=0.2)
        cancelled = server.map("hold", [{"n": n} for n in range(3)], name="cancelled", concurrency=1)
        until(lambda: workshop.running)
        cancelled.cancel()
        assert late.wait(20)
        assert cancelled.wait(20)
        again = connect().sets
        (error,) = again["late"].results(return_exceptions=True, timeout=5)
        assert isinstance(error, TimeoutError)
        assert str(error) == "shop.hold was cancelled: not done after 0.2 s"
        assert again["late"].counts == {"failed": 1}
        ends = again["cancelled"].results(return_exceptions=True, timeout=5)
        assert all(isinstance(end, TaskCancelled) for end in ends)

    def test_an_answer_that_is_too_large_is_asked_for_again(
        self, connect: Connect, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, notebook: Path
    ) -> None:
        monkeypatch.setattr(kept_set, "ANSWER_LIMIT", 50)
        connect().map("double", [1], name="sweep-1").wait(20)
        (file,) = files(notebook)
        assert json.loads(file.read_text().splitlines()[-1]).keys() == {"row", "left_out"}
        assert connect().sets["sweep-1"].results(timeout=20)[0].value == 2
        workshop.server = Workshop().server
        assert isinstance(connect().sets["sweep-1"][0].exception(20), TaskNotFound)

    def test_calls_that_are_no_tasks(self, connect: Connect, workshop: Workshop) -> None:
        server = connect()
        server.map("show", [{"kind": "image"}], name="shown").wait(20)
        server.map("linger", [{}], name="lost")
        until(lambda: workshop.running == 1)
        server.close()
        sets = connect().sets
        assert sets["shown"].results(timeout=1)[0].content[0].kind == "image"
        (task,) = sets["lost"]
        assert task.status == "unknown"
        assert "was being started when its kernel ended" in str(task.failure)
        workshop.open()
        assert sets["lost"].resume().results(timeout=20)[0].text == "done"

    def test_how_far_it_is_loaded(self, workshop: Workshop, notebook: Path) -> None:
        with lab.connect(workshop.server, name="first") as first:
            many = first.map("hold", [{"n": n} for n in range(30)], concurrency=30, name="sweep-1")
            until(lambda: all(task.id for task in many))

        async def slow(ctx: Any, call_next: Any) -> Any:
            if ctx.method == "tasks/get":
                await asyncio.sleep(0.6)
            return await call_next(ctx)

        workshop.server.middleware.insert(0, slow)
        with lab.connect(workshop.server, name="second") as second:
            second.sets._starter  # noqa: B018 - the first look is not what is measured
            seen: list[str] = []
            looking = threading.Thread(target=lambda: second.sets["sweep-1"])
            looking.start()
            until(lambda: "sweep-1" in second.sets._sets)
            until(lambda: seen.append(second.sets._sets["sweep-1"].summary()) or "16 of 30" in seen[-1])
            looking.join()
            assert seen[0] == "loading 0 of 30"
            until(lambda: second.sets["sweep-1"].summary().startswith("0/30 done"))


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
        assert [each.value for each in again.retry_failed().results(timeout=20)] == [2, -4]
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


class TestFiles:
    def test_only_their_owner_reads_them(self, connect: Connect, notebook: Path) -> None:
        connect().map("double", [{"n": 1, "note": "s3cret"}], name="sweep-1").wait(20)
        (file,) = files(notebook)
        assert "s3cret" in file.read_text()
        for path in (*notebook.rglob("*"), notebook):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert "sweep" not in str(file)

    def test_none_where_nothing_is_to_be_remembered(
        self, connect: Connect, notebook: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = connect()
        many = server.map("hold", [{"n": 1}], name="before")
        (file,) = files(notebook)
        before = file.read_text()
        until(lambda: many[0].id)
        monkeypatch.setattr(lab.session, "remember", False)
        many.cancel()
        many.wait(20)
        server.map("double", [1], name="after").wait(20)
        assert list(server.sets) == ["before", "after"]
        assert "cancelled" not in file.read_text()
        assert files(notebook) == [file]
        assert before in file.read_text()

    def test_clear_forgets_them(self, connect: Connect, notebook: Path) -> None:
        connect().map("double", [1], name="sweep-1").wait(20)
        lab.session.clear()
        assert files(notebook) == []
        assert list(connect().sets) == []

    def test_a_line_cut_off_loses_only_itself(self, connect: Connect, notebook: Path, workshop: Workshop) -> None:
        connect().map("double", [1, 2], name="sweep-1").wait(20)
        (file,) = files(notebook)
        text = file.read_text()
        file.write_text(text[: text.rindex("\n{") + 30])
        again = connect().sets["sweep-1"]
        assert [each.value for each in again.results(timeout=20)] == [2, 4], "the server still knows"
        workshop.server = Workshop().server
        assert [each.value for each in connect().sets["sweep-1"].results(timeout=20)] == [2, 4]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n",
            "no JSON\n",
            "[]\n",
            '{"pmcp_lab_set": 2, "name": "sweep-1", "rows": 1, "created": 1}\n{}\n',
            "\0" * 99,
        ],
    )
    def test_a_foreign_file_is_no_set(self, connect: Connect, notebook: Path, text: str) -> None:
        connect().map("double", [1], name="sweep-1").wait(20)
        (file,) = files(notebook)
        file.write_text(text)
        (file.parent / "notes.jsonl").write_text(text)
        server = connect()
        assert list(server.sets) == []
        assert server.map("double", [5], name="sweep-1").results(timeout=20)[0].value == 10

    def test_junk_within_is_passed_over(self, connect: Connect, notebook: Path) -> None:
        connect().map("double", [1], name="sweep-1").wait(20)
        (file,) = files(notebook)
        with file.open("a") as opened:
            for junk in ("{", "[1]", '{"row": 99, "begun": 1}', '{"row": "x"}', '{"row": 0, "task": 5, "begun": "x"}'):
                opened.write(junk + "\n")
        assert connect().sets["sweep-1"].results(timeout=5)[0].value == 2

    def test_a_half_written_one_is_no_set(self, connect: Connect, notebook: Path) -> None:
        connect().map("double", range(9), name="sweep-1").wait(20)
        (file,) = files(notebook)
        file.write_text("\n".join(file.read_text().splitlines()[:6]))
        with pytest.raises(UnknownSet, match="is damaged: del server.sets"):
            connect().sets["sweep-1"]
        assert len(connect().map("double", [1], name="sweep-1").results(timeout=20)) == 1

    def test_a_link_is_not_followed(self, connect: Connect, notebook: Path, tmp_path: Path) -> None:
        connect().map("double", [1], name="sweep-1").wait(20)
        (file,) = files(notebook)
        other = tmp_path / "other"
        file.rename(other)
        file.symlink_to(other)
        assert list(connect().sets) == []

    def test_a_folder_that_cant_be_written_is_no_reason_to_fail(
        self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("JPY_SESSION_NAME", "x")
        monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "file"))
        monkeypatch.setattr(lab.session, "trouble", None)  # it is found out for good
        with lab.connect(workshop.server, name="shop") as server:
            many = server.map("double", [1], name="sweep-1")
            assert many.results(timeout=20)[0].value == 2
            assert "'sweep-1' can't be kept" in repr(many)

    def test_the_old_and_the_many_are_forgotten(
        self, connect: Connect, notebook: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = connect()
        for name in ("old", "idle", "held"):
            server.map("double", [1], name=name).wait(20)
        held = server.map("hold", [{"n": 1}], name="runs")
        until(lambda: held[0].id)
        (old,) = [file for file in files(notebook) if '"old"' in file.read_text()]
        (runs,) = [file for file in files(notebook) if '"runs"' in file.read_text()]
        for file in (old, runs):
            os.utime(file, (1, 1))
        other = connect("other")
        other.map("double", [1], name="new").wait(20)
        assert list(other.sets) == ["idle", "held", "runs", "new"], "what runs is not deleted"
        monkeypatch.setattr(kept_set, "KEPT", 3)
        other.map("double", [1], name="newest").wait(20)
        assert set(connect("third").sets) >= {"new", "newest", "runs"}
        assert len(connect("third").sets) <= 4
        held.cancel()


# --- real kernels ---

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


def test_a_thousand_rows_are_kept_and_found_quickly(workshop: Workshop, notebook: Path) -> None:
    with lab.connect(workshop.server, name="first") as server:
        many = server.map("double", range(1_000), concurrency=64, name="sweep-1")
        many.wait(60)
    with lab.connect(workshop.server, name="second") as server:
        server.tool("double")
        began = time.thread_time()
        again = server.sets["sweep-1"]
        assert time.thread_time() - began < 2
        assert sum(result.value for result in again.results(timeout=1)) == 999_000
