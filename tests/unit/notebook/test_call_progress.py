"""How far a plain call is, in a terminal; the bar of a notebook is in tests/browser."""

from __future__ import annotations

import io
import sys

import pytest

import pmcp_lab as lab
import pmcp_lab.notebook


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO, epochs: int, seconds: float) -> str:
    """What appears on stderr while `train` is called."""
    assert pmcp_lab.notebook.CallProgress
    with lab.connect("demo") as demo:
        monkeypatch.setattr(sys, "stderr", stderr)
        demo.call("add", a=1, b=2)
        demo.call("train", epochs=epochs, seconds=seconds)
        return stderr.getvalue()


def test_a_slow_call_tells_and_wipes(monkeypatch: pytest.MonkeyPatch) -> None:
    *drawn, last = said(monkeypatch, Terminal(), 12, seconds=1.2).split("\r\x1b[K")[1:]
    assert drawn
    assert all(line.startswith("demo.train [") and "epoch" in line for line in drawn)
    assert last == ""


def test_a_quick_call_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, Terminal(), 2, seconds=0.1) == ""


def test_nothing_is_written_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, io.StringIO(), 3, seconds=0.9) == ""
