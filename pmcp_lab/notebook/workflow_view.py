"""The live view of a workflow: its steps as a track, why it paused, and the calls that carry it on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import traitlets as t

from pmcp_lab.client import Task, WorkflowRun, driver_of, runtime, status_of
from pmcp_lab.errors import LabError
from pmcp_lab.host import fields, problems
from pmcp_lab.notebook.saved_html import TEXT, status, table, text
from pmcp_lab.notebook.task_card import CardWidget
from pmcp_lab.protocol.task import from_timestamp
from pmcp_lab.protocol.workflow_wire import NextCall, StepResult, StepState, ending_text

TEXT_LIMIT = 20_000
"""Characters of a result, or of what the prompt said, that are sent to a view; more is cut."""
LINE = 160
"""Characters of a result in its step's line."""


class WorkflowView(CardWidget):
    """One workflow. Shown again, as it ended, in the saved notebook."""

    _card = t.Unicode("workflow").tag(sync=True)

    def __init__(self, run: WorkflowRun) -> None:
        self.run = run
        # Now, since a delta is made on the background thread, which can't wait for a list that the server changed.
        listings = driver_of(run).client.listings
        self._schemas: dict[str, Mapping[str, Any]] = {
            name: tool.input_schema for name, tool in runtime().run(listings.tools()).items()
        }
        self._about = runtime().run(listings.prompts())[run.name].description
        super().__init__(None)
        self.follow(driver_of(run))

    def shown(self) -> list[Task]:
        return [self.run.task] if self.run.task is not None else []

    def asking(self) -> list[Task]:
        return [task for task in (driver_of(self.run).call, self.run.task) if task is not None]

    def state(self) -> dict[str, Any]:
        questions = self.forms([question for task in self.asking() for question in task.questions])
        return {"workflow": self._workflow(), "questions": questions}

    def delta(self) -> dict[str, Any]:
        return self.state()

    def _workflow(self) -> dict[str, Any]:
        run = self.run
        pause, task = run.pause, run.task
        return {
            "name": run.name,
            "server": run.server,
            "goal": (run.state and run.state.goal) or self._about,
            "status": run.status,
            "taskId": run.id,
            "doing": run.doing,
            "trouble": run.trouble or (task.trouble if task is not None else None),
            "steps": [_step(step) for step in run.steps],
            "pause": None
            if pause is None
            else {
                "kind": pause.kind,
                "step": pause.step,
                "message": pause.message,
                "deadline": _milliseconds(pause.deadline),
            },
            "ending": None if run.ending is None else {"kind": run.ending.kind, "message": _ending(run)},
            "skippable": run.state.skippable if pause is not None and run.state is not None else None,
            "undoable": any(step.undo and step.undone is None and step.status == "completed" for step in run.steps),
            "calls": [self._call(call) for call in run.calls],
            "said": _cut(run.messages.text, TEXT_LIMIT),
            "started": task.started if task is not None else None,
            "ended": task.ended if task is not None else None,
        }

    def _call(self, call: NextCall) -> dict[str, Any]:
        known = {name: value for name, value in call.arguments.items() if name not in call.missing}
        return {
            "key": _key(call),
            "kind": call.kind,
            "step": call.step,
            "target": call.target,
            "guidance": call.guidance,
            "fields": fields(self._schema(call), known) if call.kind in ("call", "variable") else [],
        }

    def _schema(self, call: NextCall) -> Mapping[str, Any]:
        if call.kind == "variable":
            return {"type": "object", "properties": {call.target: {"type": "string"}}, "required": [call.target]}
        loose = {"type": "object", "properties": {name: {} for name in call.arguments}}
        return self._schemas.get(call.target, loose)

    def receive(self, kind: str, view: str, content: dict[str, Any]) -> None:
        run = self.run
        key = str(content.get("call") or kind)
        match kind:
            case "make":
                call = next((each for each in run.calls if _key(each) == key), None)
                entered = content.get("content")
                filled = dict(entered) if isinstance(entered, Mapping) else {}
                self._start(view, key, lambda: self._make(call, filled))
            case "skip":
                entered = content.get("content")
                reason = str(entered.get("reason") or "") if isinstance(entered, Mapping) else ""
                self._start(view, key, lambda: self._skip(str(content.get("step") or ""), reason))
            case "undo":
                self._start(view, key, run.undo)
            case "finish":
                self._start(view, key, run.finish)
            case "cancel":
                self._start(view, key, run.cancel)
            case _:
                super().receive(kind, view, content)

    def _start(self, view: str, key: str, work: Callable[[], object]) -> None:
        asyncio.get_running_loop().create_task(self._do(view, key, work))

    async def _do(self, view: str, key: str, work: Callable[[], object]) -> None:
        """Do what a button says, on a thread that may wait; the view hears what is wrong."""
        wrong: dict[str, str] = {}
        try:
            found = await asyncio.to_thread(work)
            wrong = found if isinstance(found, dict) else {}
        except LabError as error:
            wrong = {"": error.message}
        except Exception as error:  # a view that waits has to hear of anything
            wrong = {"": f"{type(error).__name__}: {error}"}
        self.reply(view, {"kind": "made", "call": key, "problems": wrong})

    def _skip(self, step: str, reason: str) -> dict[str, str]:
        if not reason.strip():
            return {"reason": "Required."}
        self.run.skip(reason, step=step)
        return {}

    def _make(self, call: NextCall | None, filled: dict[str, Any]) -> dict[str, str]:
        if call is None:
            return {"": "This is done already, or is not to be done any more."}
        if call.kind == "variable":
            filled = {name: _read(str(value)) for name, value in filled.items()}
        elif wrong := problems(self._schema(call), filled):
            return wrong
        driver = driver_of(self.run)
        task = driver.begin(call, filled)
        driver.land()
        if task is not None and task.failure is not None:
            raise task.failure
        return {}

    def settled(self) -> bool:
        return self.run.done()

    def saved(self) -> str:
        return static_workflow(self.run)

    def __repr__(self) -> str:
        return repr(self.run)


def _key(call: NextCall) -> str:
    return json.dumps([call.kind, call.step, call.target, dict(call.arguments), call.missing], default=str)


def _read(text: str) -> Any:
    """JSON where it is some, else the text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _step(step: StepState) -> dict[str, Any]:
    result = step.result
    return {
        "name": step.name,
        "tool": step.tool,
        "status": status_of(step),
        "execution": step.execution,
        "by": step.by,
        "arguments": None if step.arguments is None else _cut(_pretty(step.arguments), TEXT_LIMIT),
        "line": _cut(" ".join((step.reason or ("" if result is None else _text(result))).split()), LINE),
        # What was asked, left out or taken back is no try of the step.
        "tries": sum(one.by in ("server", "client") for one in step.attempts),
        "result": None if result is None else _cut(_text(result), TEXT_LIMIT),
        "failed": result is not None and result.is_error,
    }


def _ending(run: WorkflowRun) -> str:
    return "" if run.ending is None else ending_text(run.name, run.ending, run.steps)


def _milliseconds(moment: str | None) -> int | None:
    found = from_timestamp(moment)
    return None if found is None else int(found.timestamp() * 1000)


def _text(result: StepResult) -> str:
    if result.omitted:
        return "too large to be told; its server has it"
    return result.text if result.is_error or isinstance(result.value, str) else _pretty(result.value)


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def static_workflow(run: WorkflowRun) -> str:
    """The steps, for where no widget runs. Everything from a server is escaped."""
    rows = [
        (text(step["name"]), text(step["tool"] or ""), status(step["status"]), text(step["line"]))
        for step in map(_step, run.steps)
    ]
    told = f"<p><b>Workflow</b> <code>{text(run.server)}.{text(run.name)}</code>: {status(run.status)}</p>"
    said = _ending(run) if run.ending is not None else "" if run.pause is None else run.pause.message
    return told + table(("step", "tool", "status", "result"), rows) + (f"<p>{text(said, TEXT)}</p>" if said else "")
