"""A question of a task as a terminal tells it; a notebook has forms."""

from __future__ import annotations

from pmcp_lab.client.questions import Question
from pmcp_lab.client.terminal import Asked


def asked(question: Question, number: int, handle: str) -> Asked:
    """A question, and how it is answered.

    Args:
        number: Of its call.
        handle: How the task is spelled that asks.
    """
    text = f"{question.server}.{question.tool} asks: {question.message}"
    if question.url is None:
        fields = ", ".join(f"{name!r}: …" for name in question.schema.get("properties") or ())
        how = f"{handle}.answer({{{fields}}})"
    else:
        text += f" {question.url}"
        how = f"open that address if you trust it, and {handle}.answer()"
    return Asked(f"{number}.{question.key}", text, f"Ctrl-C ends the wait alone; then {how}, or {handle}.decline()")
