"""The calls that the text of a handoff lists: all that PMCP's servers say of them, and what people read of ours."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from pmcp_lab.protocol.loose import as_list, as_mapping, as_text
from pmcp_lab.protocol.workflow_state import TO_CONTINUE, NextCall, PauseReason, StepState, StepStatus

_LINE = re.compile(r"\s*\d+\.\s+Call\s+[`'\"]?(?P<tool>[^\s`'\"]+)[`'\"]?\s+with\s+`?(?P<arguments>\{.*\})`?\s*")
_NOTE = re.compile(r"\s+Note:\s*(?P<note>.*\S)\s*")
_UNKNOWN = re.compile(r"<(?:prompt arg|output from|field '.*' from|variable) .*>|<field .*>")


def calls_in_text(messages: object, steps: tuple[StepState, ...], pause: PauseReason | None) -> tuple[NextCall, ...]:
    """The calls that the text of a handoff lists, each for the first open step with its tool that is not taken."""
    texts = [as_text(as_mapping(as_mapping(message).get("content")).get("text")) for message in as_list(messages)]
    text = next((text for text in reversed(texts) if text is not None and TO_CONTINUE in text), "")
    again = pause is not None and pause.retryable
    waiting = [one for one in steps if one.status is StepStatus.PENDING or (one.status is StepStatus.FAILED and again)]
    found: list[NextCall] = []
    for line in text[text.find(TO_CONTINUE) :].splitlines():
        if (note := _NOTE.fullmatch(line)) is not None and found:
            found.append(replace(found.pop(), guidance=note["note"]))
        # PMCP lists a step that only reads resources as a tool of this name.
        if (match := _LINE.fullmatch(line)) is None or match["tool"] == "unknown":
            continue
        try:
            arguments = as_mapping(json.loads(match["arguments"]))
        except (ValueError, RecursionError):
            arguments = {}
        step = next((one for one in waiting if one.tool in (None, match["tool"])), None)
        if step is not None:
            waiting.remove(step)
        missing = tuple(
            name for name, value in arguments.items() if isinstance(value, str) and _UNKNOWN.fullmatch(value)
        )
        found.append(
            NextCall(
                kind="call",
                target=match["tool"],
                step=None if step is None else step.name,
                arguments=arguments,
                missing=missing,
            )
        )
    return tuple(found)
