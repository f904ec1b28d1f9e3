"""Tab in code that calls tools, as IPython gives it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.notebook import load_ipython_extension


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    served: MCPServer[Any] = MCPServer("sim")

    @served.tool()
    def train(epochs: int, rate: float = 0.1, kind: Literal["alpha", "beta"] = "alpha", on: bool = False) -> str:
        return f"{epochs} {rate} {kind} {on}"

    @served.tool(name="two-words")
    def two_words(text: str) -> str:
        return text

    shell = InteractiveShell()
    load_ipython_extension(shell)
    load_ipython_extension(shell)  # a second time changes nothing
    with lab.connect(served, name="sim") as server:
        shell.push({"sim": server, "tool": server.tools["train"], "kindred": 1})
        yield shell


def completions(shell: InteractiveShell, code: str) -> list[str]:
    with provisionalcompleter():
        return [code[: each.start] + each.text for each in shell.Completer.completions(code, len(code))]


NAMES = ["epochs=", "kind=", "on=", "rate="]


@pytest.mark.parametrize(
    ("code", "fitting"),
    [
        ('sim.call("', ["train", "two-words"]),
        ("sim.task('tr", ["train"]),
        ('sim.tools["tw', ["two-words"]),
        ('sim.task("train", ', NAMES),
        ('sim.task("train", k', ["kind="]),
        ('sim.call("train", epochs=3, ', ["kind=", "on=", "rate="]),
        ('many = sim.map("train", [{"epochs": 1}], r', ["rate="]),
        ('sim.map("train", [{"ep', ["epochs"]),
        ('sim.map("train", [{"epochs": 1, "', ["kind", "on", "rate"]),
        ('sim.task("train", {"kind": "b', ["beta"]),
        ('sim.task("train", kind=', ["'alpha'", "'beta'"]),
        ('sim.task("train", kind="be', ["beta"]),
        ("sim.tools.train(", NAMES),
        ("sim.tools.train.task(epochs=(1, 2), o", ["on="]),
        ('sim.tools["train"].form(e', ["epochs="]),
        ("tool(", NAMES),
        ('print(\n  sim.call("train",  # as ever, (\n    r', ["rate="]),
        ("sim.tools.train(epochs=len('),('), r", ["rate="]),
        ('sim.task("""train""", r', ["rate="]),
    ],
)
def test_what_can_stand_there_and_nothing_else(shell: InteractiveShell, code: str, fitting: list[str]) -> None:
    assert sorted(completions(shell, code)) == sorted(code[: len(code) - _begun(code)] + each for each in fitting)


def _begun(code: str) -> int:
    """How much of the last word is written."""
    return len(code) - len(code.rstrip("abcdefghijklmnopqrstuvwxyz"))


@pytest.mark.parametrize(
    "code",
    ['# sim.call("tr', "\"sim.call('tr", 'sim.call("nowhere", kin', "kindred.call('tr", 'sim.prompt("tr', "print(kin"],
)
def test_elsewhere_it_keeps_out(shell: InteractiveShell, code: str) -> None:
    found = completions(shell, code)
    assert not any(each.endswith(("train", "epochs=", "kind=")) for each in found)


def test_attributes(shell: InteractiveShell) -> None:
    assert "sim.tools.train" in completions(shell, "sim.tools.tr")
    assert "sim.tools.search" in completions(shell, "sim.tools.")
    assert "sim.tools.two-words" not in completions(shell, "sim.tools.")
    assert "sim.tools.train.map" in completions(shell, "sim.tools.train.")


def test_other_completions_still_stand_where_a_value_may_be_anything(shell: InteractiveShell) -> None:
    assert 'sim.task("train", epochs=kindred' in completions(shell, 'sim.task("train", epochs=kind')


def test_a_server_that_is_away_disturbs_nobody(shell: InteractiveShell) -> None:
    gone = lab.connect(MCPServer("gone"), name="gone")
    gone.close()
    shell.push({"gone": gone})
    assert not any(each.endswith("train") for each in completions(shell, 'gone.call("'))
