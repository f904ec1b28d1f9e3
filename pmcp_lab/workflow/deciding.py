"""What a person's answer means to a manual step. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pmcp_lab.protocol.json_schema import Draft202012Validator, SchemaError
from pmcp_lab.protocol.workflow_wire import WORKFLOW
from pmcp_lab.workflow.steps import Step

CLOSED: Final[dict[str, Any]] = {"action": "cancel", "_meta": {WORKFLOW: {"closed": True}}}
"""The answer to a question that is not asked any more."""


def form(step: Step) -> dict[str, Any]:
    """The schema of the step's answer: what has no default has to be there."""
    required = [name for name, schema in step.answer.items() if "default" not in schema]
    return {"type": "object", "properties": step.answer} | ({"required": required} if required else {})


def misfit(step: Step, response: Any) -> str | None:
    """Why this is no answer to the step's question; None when it is one, whatever it says."""
    action = response.get("action") if isinstance(response, Mapping) else None
    if action not in ("accept", "decline", "cancel"):
        return "it has no action: accept, decline or cancel"
    if action != "accept":
        return None
    content = response.get("content")
    try:
        errors = list(Draft202012Validator(form(step)).iter_errors(content if content is not None else {}))
    except SchemaError:
        return None
    said = []
    for error in errors:
        place = ".".join(map(str, error.absolute_path))
        said.append(f"{place}: {error.message}" if place else error.message)
    return "; ".join(said) or None


def decides(step: Step, response: Any) -> bool:
    """Whether an answer is a yes or a no. A dialog that was dismissed is neither, nor what does not fit its form."""
    return misfit(step, response) is None and response.get("action") != "cancel"


def content_of(step: Step, response: Mapping[str, Any]) -> dict[str, Any]:
    """What was filled in, with defaults for what was not."""
    defaults = {name: schema["default"] for name, schema in step.answer.items() if "default" in schema}
    return {**defaults, **(response.get("content") or {})}


def objection(step: Step, response: Mapping[str, Any]) -> str | None:
    """Why an answer that decides is a no; None when it is a yes."""
    if response.get("action") != "accept":
        return "the person declined"
    content = content_of(step, response)
    against = [
        f"{name} is {_shown(content.get(name))}"
        for name, wanted in step.proceed_if.items()
        if not any(same(content.get(name), one) for one in (wanted if isinstance(wanted, list) else [wanted]))
    ]
    return f"the answer was no: {', '.join(against)}" if against else None


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: unlike in Python, true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def _shown(value: Any) -> str:
    return {None: "missing", True: "yes", False: "no"}.get(value, repr(value)) if _plain(value) else repr(value)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)
