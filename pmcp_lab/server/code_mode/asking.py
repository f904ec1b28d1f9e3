"""What a person is asked about a program: whether it may run, and what became of a call that nobody saw the end of."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, Field

from pmcp_lab.errors import LabError
from pmcp_lab.server.code_mode.checking import Checked
from pmcp_lab.server.code_mode.errors import ProgramFailed
from pmcp_lab.server.code_mode.ledger import Ledger, Open, numbered
from pmcp_lab.tasks import TaskContext

AGAIN, DONE, NOT_DONE = "call it again", "it was done", "it was not done"


class Approval(BaseModel):
    """What a person says about a program that has not begun."""

    run: bool = Field(title="Run this program")


class Fate(BaseModel):
    """What a person says about a call that nobody saw the end of."""

    outcome: Literal["call it again", "it was done", "it was not done"] = Field(
        title="What is to be done", description="“It was not done” raises an error in the program, at that line."
    )
    result: str = Field(
        default="", title="What it gave, as JSON", description="For “it was done”: what the program goes on with."
    )


async def ask_approval(task: TaskContext, checked: Checked) -> None:
    """Have a person agree before anything runs.

    Raises:
        ProgramFailed: They did not, or nobody can be asked.
    """
    effects = "\n".join(
        f"  {name} (line {', '.join(map(str, checked.lines[name]))}) {function.effect}"
        for name, function in checked.functions.items()
    )
    message = f"May this program run? It calls\n{effects or '  no tools'}\n\n{numbered(checked.source)}"
    try:
        answer = await task.elicit(message, Approval, key="approval")
    except LabError as error:
        writing = [name for name, function in checked.functions.items() if not function.reads]
        what = f"it calls {', '.join(writing)}, which may change something, so" if writing else "here"
        raise ProgramFailed(f"{what} a person has to agree before it runs, and nobody was asked: {error}") from error
    if answer.content is None or not answer.content.run:
        raise ProgramFailed("a person did not agree to it; nothing was called")


async def ask_fate(task: TaskContext, ledger: Ledger, call: Open) -> str:
    """Have a person say what became of a call whose server ended meanwhile, and note that; which of the three it is.

    Raises:
        ProgramFailed: They let the program end there, or nobody can be asked.
    """
    what = (
        f"The server ended while {call.text} ran (line {call.line}). Nobody knows whether it took effect: look, and say"
    )
    try:
        answer = await task.elicit(f"{what} how to go on.", Fate, key=f"call-{call.number}-{call.begun}")
    except LabError as error:
        raise ProgramFailed(
            f"line {call.line}: the server ended while {call.text} ran, which may not be called twice. Nobody knows "
            f"whether it took effect, and nobody was asked: {error}"
        ) from error
    if not answer.accepted or answer.content is None:
        raise ProgramFailed(f"line {call.line}: a person ended it there; nobody knows whether {call.text} took effect")
    outcome = answer.content.outcome
    if outcome == AGAIN:
        call.begun += 1
        ledger.begun_again(call, "called again, as a person said")
    elif outcome == DONE:
        call.gave(_value(answer.content.result))
    else:
        call.raised("RuntimeError", f"{call.function} was not done: its server ended, and a person said so")
    return outcome


def _value(text: str) -> object:
    """JSON, or the text itself."""
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
