"""What a person does to rows of a table, one or many at once, and what its view is told of it (`js/MESSAGES.md`)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pmcp_lab.client import Question, Report, Task, answered, cancelled, started_again
from pmcp_lab.errors import LabError
from pmcp_lab.host import problems
from pmcp_lab.notebook.start_code import LONGEST, start_code
from pmcp_lab.notebook.task_card import form_of

SPELT = 5
"""Questions of one form that are spelt out, where they differ."""


class Table(Protocol):
    """What the actions need of a table."""

    def task_at(self, row: int) -> Task | None: ...

    def row_of(self, task: Task) -> int: ...

    def reply(self, view: str, content: dict[str, Any]) -> None: ...


class TableActions:
    """Each is answered with one reply. On the background loop."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def act(self, view: str, action: object, tasks: Sequence[Task]) -> None:
        """Carry out what a view asks for these rows."""
        match action:
            case "cancel":
                await self._report(view, "cancel", cancelled([*tasks]))
            case "retry":
                await self._report(view, "retry", self._retried(tasks))
            case "code":
                text = start_code(tasks)
                self._table.reply(view, {"kind": "cell", "text": text if len(text) <= LONGEST else None})
            case "ask":
                self._table.reply(view, {"kind": "asked", **self._asked(tasks)})

    async def _report(self, view: str, action: str, doing: Any) -> None:
        """Tell what came of it, in a line, and which rows it can be tried with again."""
        try:
            report: Report = await doing
            said, refused = str(report), list(report.refused)
        except Exception as error:  # a view that waits has to hear of anything
            said, refused = f"{type(error).__name__}: {error}", []
        rows = [self._table.row_of(task) for task in refused]
        self._table.reply(view, {"kind": "done", "action": action, "text": said, "refused": rows})

    async def _retried(self, tasks: Sequence[Task]) -> Report:
        _, report = await asyncio.to_thread(started_again, tasks)
        return report

    def _asked(self, tasks: Sequence[Task]) -> dict[str, Any]:
        """What they ask, alike questions together: one form for each."""
        alike: dict[tuple[str, ...], list[tuple[Task, Question]]] = {}
        elsewhere = 0
        for task in tasks:
            for question in task.questions:
                if question.url is not None:
                    elsewhere += 1
                else:
                    alike.setdefault(_kind(task, question), []).append((task, question))
        groups: list[dict[str, Any]] = []
        for asked in alike.values():
            messages = list(dict.fromkeys(question.message for _, question in asked))
            more = [f"… {len(messages) - SPELT} more"] if len(messages) > SPELT else []
            form = form_of(asked[0][1])
            rows = [[self._table.row_of(task), question.key] for task, question in asked]
            groups.append({"asked": rows, "form": {**form, "message": "\n".join(messages[:SPELT] + more)}})
        text = f"{elsewhere} send you to a page: open those rows" if elsewhere else ""
        return {"groups": groups, "text": text or ("" if groups else "nothing is asked any more")}

    async def answer(self, view: str, content: Mapping[str, Any]) -> None:
        """Check what was filled in, and pass it on for every question that it is meant for."""
        filled = content.get("content")
        entered = filled if isinstance(filled, Mapping) else {}
        said, wrong = "", {}
        try:
            asked = [each for each in map(self._question, _pairs(content.get("asked"))) if each is not None]
            if content.get("action") == "accept" and asked and asked[0][1].url is None:
                wrong = await asyncio.to_thread(problems, asked[0][1].schema, entered)
            if not wrong:
                report = await answered(asked, str(content.get("action")), entered)
                missing = len(_pairs(content.get("asked"))) - len(asked)
                report += Report({"had been answered": missing}, {})
                said, wrong = str(report), {"": str(report)} if report.refused else {}
        except LabError as error:
            wrong = {"": error.message}
        except Exception as error:  # a view that waits has to hear of anything
            wrong = {"": f"{type(error).__name__}: {error}"}
        self._table.reply(view, {"kind": "answered", "form": content.get("form"), "problems": wrong, "text": said})

    def _question(self, pair: tuple[int, str]) -> tuple[Task, Question] | None:
        row, key = pair
        task = self._table.task_at(row)
        found = () if task is None else (each for each in task.questions if each.key == key)
        return next(((task, each) for each in found if task is not None), None)


def _kind(task: Task, question: Question) -> tuple[str, ...]:
    """Equal for questions that one answer can be meant for: the same words but for numbers, and the same form."""
    words = re.sub(r"\d+(?:[.,]\d+)*", "#", question.message)
    return task.server, task.tool, words, json.dumps(question.schema, sort_keys=True, default=str)


def _pairs(asked: object) -> list[tuple[int, str]]:
    pairs = asked if isinstance(asked, list) else []
    return [
        (pair[0], pair[1])
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and type(pair[0]) is int and isinstance(pair[1], str)
    ]
