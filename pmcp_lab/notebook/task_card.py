"""The card of one task: its life, variables, questions with their forms, and result."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import traitlets as t

from pmcp_lab.client import Question, Task, call_of, openable, runtime
from pmcp_lab.errors import LabError
from pmcp_lab.host import built, fields, problems
from pmcp_lab.notebook.live import script
from pmcp_lab.notebook.question_app import QuestionApps
from pmcp_lab.notebook.rows import moments, raw_text, row
from pmcp_lab.notebook.saved_html import static_card
from pmcp_lab.notebook.task_views import TaskWidget


class CardWidget(TaskWidget):
    """Shows one task, or none yet, and takes its answers."""

    _esm = script("cards")
    _css = built("views.css")
    _card = t.Unicode().tag(sync=True)

    def __init__(self, task: Task | None, **traits: Any) -> None:
        self.task = task
        self._sent = 0
        self._forms: dict[str, dict[str, Any]] = {}
        self._apps: QuestionApps | None = None
        super().__init__(**traits)
        if task is not None:
            self.follow(call_of(task))
            runtime().call_soon(self._open_apps, task)

    def _changed(self, *rows: int) -> None:
        if self.task is not None:
            self._open_apps(self.task)
        super()._changed(*rows)

    def _open_apps(self, task: Task) -> None:
        """Most questions name none."""
        if self._apps is None and any(question.app for question in task.questions):
            self._apps = QuestionApps(self)
        if self._apps is not None:
            self._apps.follow(task)

    def changed(self) -> None:
        """Have the views hear how the questions stand."""
        super()._changed()

    def close(self) -> None:
        if self._apps is not None:
            runtime().call_soon(self._apps.end)
        super().close()

    def shown(self) -> list[Task]:
        return [self.task] if self.task is not None else []

    def asking(self) -> list[Task]:
        """Those whose questions are shown."""
        return self.shown()

    def state(self) -> dict[str, Any]:
        task = self.task
        if task is None:
            return {"row": None, "history": [], "questions": [], "visiting": None, "stderr": ""}
        return self._told(task, 0)

    def snapshot(self) -> dict[str, Any]:
        with self._lock:
            if self._seq == 0 and self.task is not None:
                self._sent = len(call_of(self.task).history.moments)
            return super().snapshot()

    def delta(self) -> dict[str, Any]:
        assert self.task is not None
        told, self._sent = self._sent, len(call_of(self.task).history.moments)
        return self._told(self.task, told)

    def _told(self, task: Task, since: int) -> dict[str, Any]:
        call = call_of(task)
        seen = call.snapshot()
        return {
            "row": row(seen),
            "history": moments(call.history.moments[since : self._sent]),
            "questions": self.forms(seen.questions),
            "visiting": seen.visiting,
            "stderr": task.stderr if call.done() else "",
        }

    def forms(self, asked: Sequence[Question]) -> list[dict[str, Any]]:
        """Questions as views draw them; each is made once."""
        self._forms = {each.key: self._forms.get(each.key) or form_of(each) for each in asked}
        forms = list(self._forms.values())
        if self._apps is None:
            return forms
        return [{**form, **self._apps.of(each)} for each, form in zip(asked, forms, strict=True)]

    def receive(self, kind: str, view: str, content: dict[str, Any]) -> None:
        task = self.task
        if kind == "answer":
            key = content.get("question")
            asking = [each for each in self.asking() if any(open_one.key == key for open_one in each.questions)]
            asked = asking[0] if asking else task
            if asked is not None:
                asyncio.get_running_loop().create_task(self._answer(asked, view, content))
        elif kind == "raw" and task is not None:
            self.reply(view, {"kind": "raw", "text": raw_text(task)})
        else:
            super().receive(kind, view, content)

    async def _answer(self, task: Task, view: str, content: dict[str, Any]) -> None:
        """Check what a view sent and pass it on; the view hears what is wrong, or sees the question go."""
        key, action, entered = content.get("question"), content.get("action"), content.get("content")
        wrong = await self.answer(task, key, action, entered)
        self.reply(view, {"kind": "answered", "question": key, "problems": wrong})

    async def answer(self, task: Task, key: object, action: object, entered: object) -> dict[str, str]:
        """What is wrong with an answer, by field, "" for the whole; nothing when the server has it."""
        question = next((each for each in task.questions if each.key == key), None)
        wrong: dict[str, str] = {}
        if question is None:
            wrong = {"": "This is answered already, or is not asked any more."}
        else:
            filled = entered if isinstance(entered, Mapping) else {}
            try:
                if action == "accept" and question.url is None:
                    wrong = await asyncio.to_thread(problems, question.schema, filled)
                if not wrong:
                    response = await asyncio.to_thread(question.response, str(action), filled)
                    call = call_of(task)
                    await call.origin.answer(call, question.key, response)
            except LabError as error:
                wrong = {"": error.message}
            except Exception as error:  # a view that waits has to hear of anything
                wrong = {"": f"{type(error).__name__}: {error}"}
        return wrong


class TaskCard(CardWidget):
    """One task: its life, variables, questions and result. Shown again, as it ended, in the saved notebook."""

    task: Task

    def __init__(self, task: Task) -> None:
        super().__init__(task, _card="task")

    def saved(self) -> str:
        return static_card(self.task)

    def __repr__(self) -> str:
        return repr(self.task)


def form_of(question: Question) -> dict[str, Any]:
    """A question as a view draws it (`Asked` of `js/MESSAGES.md`)."""
    if question.url is not None:
        return {
            "key": question.key,
            "message": question.message,
            "url": question.url,
            "openable": openable(question.url),
            "fields": [],
        }
    return {"key": question.key, "message": question.message, "url": None, "fields": fields(question.schema)}
