"""What a terminal shows while something is waited for, in a real one; the views of a notebook are in tests/browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.terminal import Terminal, terminal
from tests.unit.waits import wait_for

BAR = "━━━━"
WORK = "jobs.work ━━━━━━━━━━━━╺━━━━━━━━━━━  50% 0:0"


def go(folder: Path) -> None:
    """Let what waits in the other process go on."""
    (folder / "go").touch()


def test_a_task_has_a_line_which_goes_with_its_end(tmp_path: Path) -> None:
    with terminal("one", WAITS=str(tmp_path)) as shown:
        *above, line = shown.until(BAR).splitlines()
        assert above == ["before"]
        assert re.fullmatch(re.escape(WORK) + r"\d  work: half of 4", line)
        go(tmp_path)
        assert shown.end() == ["before", "work"]
    assert "\x1b[?" not in shown.raw  # no mode of the terminal was changed, which a kill would leave so


def test_a_call_has_one_too(tmp_path: Path) -> None:
    with terminal("call", WAITS=str(tmp_path)) as shown:
        assert shown.until(BAR).startswith(WORK)
        go(tmp_path)
        assert shown.end() == ["work"]


def test_a_set_tells_how_many_and_how_long(tmp_path: Path) -> None:
    with terminal("many", WAITS=str(tmp_path)) as shown:
        line = shown.until("3/6 done")
        assert re.search(r"jobs\.work ━+╺━+  50% 0:0\d  3/6 done, [\d.]+/s, \d+ s left$", line)
        go(tmp_path)
        assert shown.end() == ["6 results"]


def test_so_it_is_between_the_ends_of_its_tasks(tmp_path: Path) -> None:
    with terminal("ended", WAITS=str(tmp_path)) as shown:
        assert shown.until("2/4 done").splitlines()[:2] == ["ended work"] * 2
        go(tmp_path)
        assert shown.end() == ["ended work"] * 4


def test_what_has_ended_shows_nothing_and_loads_nothing() -> None:
    with terminal("ended_before") as shown:
        assert shown.end() == ["work", "nothing was loaded"]
    assert "\x1b" not in shown.raw


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    with terminal("quiet", WAITS=str(tmp_path)) as shown:
        shown.until("before")
        shown.look(0.8)
        go(tmp_path)
        assert shown.end() == ["before", "work"]
    assert "\x1b" not in shown.raw


def test_output_that_goes_elsewhere_is_left_alone(tmp_path: Path) -> None:
    with terminal("one", stdout=tmp_path / "output", WAITS=str(tmp_path)) as shown:
        shown.until(BAR)
        go(tmp_path)
        assert shown.end() == []
    assert (tmp_path / "output").read_text() == "before\nwork\n"


def test_what_others_write_and_ask_stays_whole(tmp_path: Path) -> None:
    with terminal("prints", WAITS=str(tmp_path)) as shown:
        assert shown.until(BAR).splitlines()[0] == "begun…"
        (tmp_path / "next").touch()
        shown.until("your name?")
        shown.look(0.3)
        asking = shown.rows[-1]
        shown.type("me\n")
        rows = shown.end()
    assert asking == "your name?"
    lines = [f"line {n}" for n in range(40)]
    ends = ["a line in two parts", "on stderr", "logged", "your name? me", "typed: me", "work"]
    assert rows == ["begun…", *lines, *ends]


def test_several_threads_have_a_line_each(tmp_path: Path) -> None:
    with terminal("threads", WAITS=str(tmp_path), lines=8) as shown:
        rows = shown.until("… and 8 more are waited for").splitlines()
        assert [row.startswith("jobs.work") for row in rows] == [True] * 5 + [False]
        go(tmp_path)
        assert shown.end() == ["main"]


def test_a_question_stays_to_be_read_and_says_how_it_is_answered() -> None:
    with terminal("asks") as shown:
        rows = shown.until("5 need input").splitlines()
        questions = [
            "? jobs.pick asks: Which seed for job 0?",
            "  Ctrl-C ends the wait alone; then tasks[0].answer({'seed': …}), or tasks[0].decline()",
            "? jobs.pick asks: Which seed for job 1?",
            "? jobs.pick asks: Which seed for job 2?",
        ]
        assert rows[:-1] == questions
        shown.type("\x03")
        assert shown.end() == [*questions, "interrupted", "seed 7"]


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    with terminal("interrupted", WAITS=str(tmp_path)) as shown:
        shown.until(BAR)
        shown.type("\x03")
        shown.until("interrupted; working")
        go(tmp_path)
        assert shown.end() == ["interrupted; working"]


def test_a_forked_child_writes_as_ever(tmp_path: Path) -> None:
    with terminal("forked", WAITS=str(tmp_path)) as shown:
        shown.until(BAR)
        shown.type("\x13")  # Ctrl-S: who draws the next second is stopped in the middle of it
        shown.look(1.3)
        (tmp_path / "next").touch()
        wait_for(tmp_path / "forked")
        shown.type("\x11")
        assert shown.end()[-1] == "work"
        assert "from the child" in shown.text


def test_a_narrow_one_has_a_short_line(tmp_path: Path) -> None:
    with terminal("one", WAITS=str(tmp_path), columns=30) as shown:
        line = shown.until("jobs.work").splitlines()[-1]
        assert re.fullmatch(r"jobs\.work  50% 0:0\d  work…", line)
        go(tmp_path)
        assert shown.end() == ["before", "work"]


def test_made_narrower_it_takes_away_what_was_wrapped(tmp_path: Path) -> None:
    with terminal("one", WAITS=str(tmp_path)) as shown:
        shown.until(BAR)
        shown.look(0.3)
        before = len(shown.raw)
        shown.resize(30)
        while "\x1b[J" not in shown.raw[before:]:
            shown.look(0.1)
        # 61 columns are three rows of 30 now.
        assert shown.raw[before:].startswith("\r\x1b[A\x1b[A\x1b[1mjobs.work")
        go(tmp_path)
        shown.end()


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours(tmp_path: Path, env: dict[str, str], coloured: bool) -> None:
    with terminal("one", WAITS=str(tmp_path), **env) as shown:
        shown.until(BAR)
    assert ("\x1b[38;" in shown.raw) is coloured


def test_one_that_can_take_nothing_back_gets_the_questions_alone() -> None:
    with terminal("asks", TERM="dumb") as shown:
        shown.until("Which seed for job 2?")
        shown.look(0.3)
        shown.type("\x03")
        assert len(shown.end()) == 6
    assert "\x1b" not in shown.raw


def prompted(shown: Terminal, number: int) -> None:
    shown.until(lambda seen: seen.endswith(f"In [{number}]:"))


def test_in_ipython(tmp_path: Path) -> None:
    with terminal("ipython", WAITS=str(tmp_path), PROMPT_TOOLKIT_NO_CPR="1") as shown:
        prompted(shown, 1)
        shown.type("task = jobs.task('work', until=GO); task.result()\r")
        shown.until(BAR)
        shown.type("\x03")
        shown.until("KeyboardInterrupt")
        prompted(shown, 2)
        assert BAR not in shown.text

        # Who waits elsewhere leaves the prompt alone.
        shown.type("import threading; threading.Thread(target=task.result, daemon=True).start()\r")
        prompted(shown, 3)
        shown.look(0.8)
        assert shown.text.endswith("In [3]:")

        shown.type("task.result()\r")
        shown.until(BAR)
        go(tmp_path)
        prompted(shown, 4)
        assert BAR not in shown.text
        shown.type("exit\r")
        shown.end()
