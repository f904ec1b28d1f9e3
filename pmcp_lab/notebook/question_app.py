"""An app of the server in the place of a question's form: `elicitation/create` to the app (SEP-3118, a draft).

The form stays, a click away; it is what is seen whenever the app can't be shown, is no such app, closes, or answers
what was not asked or what nobody meant. An app is put one question, in a request of its own: nothing that it says is
about another, and it answers once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pmcp_lab.client import Question, Server, Task, client_of, servers
from pmcp_lab.errors import LabError
from pmcp_lab.host import read_app
from pmcp_lab.notebook.app_widget import AppWidget
from pmcp_lab.notebook.live import in_batch

ACTIONS = ("accept", "decline", "cancel")


class Card(Protocol):
    """Shows the questions."""

    def within(self, make: Callable[..., Any], *args: Any) -> Any: ...

    async def answer(self, task: Task, key: object, action: object, entered: object) -> dict[str, str]:
        """What is wrong with an answer, by field."""

    def changed(self) -> None:
        """Have the views hear how its questions stand."""


class QuestionApp(AppWidget):
    """The app that asks one question.

    Args:
        answered: Called with its `ElicitResult` and whether a person had just done something on the page.
        failed: Called with why it can't ask.
    """

    def __init__(
        self,
        server: Server,
        question: Question,
        answered: Callable[[dict[str, Any], bool], object],
        failed: Callable[[str], object],
    ) -> None:
        self._question, self._answered, self._failed = question, answered, failed
        self._active = False
        super().__init__(server, None, None)

    def receive(self, kind: str, view: str, content: dict[str, Any]) -> None:
        if kind == "answer":
            self._active = content.get("active") is True
        super().receive(kind, view, content)
        if kind != "event":
            return
        match content.get("event"):
            case "initialized" if isinstance(self.app_capabilities.get("elicitation"), Mapping):
                asyncio.get_running_loop().create_task(self._ask(view))
            case "initialized":
                self._failed("The server’s app does not say that it can ask this.")
            case "init-timeout":
                self._failed("The server’s app does not start.")
            case "closed":
                self._failed("The server’s app closed without an answer.")

    async def _ask(self, view: str) -> None:
        asked = {"mode": "form", "message": self._question.message, "requestedSchema": dict(self._question.schema)}
        try:
            result = await asyncio.wrap_future(self._started.put(view, "elicitation/create", asked))
        except LabError as error:
            self._failed(f"The server’s app can’t ask this: {error.message}")
            return
        except asyncio.CancelledError:
            return  # its frame went; where it begins anew, it is asked anew
        self._answered(result, self._active)


class _Standing:
    """How a question's app stands."""

    def __init__(self) -> None:
        self.app: QuestionApp | None = None
        self.note = ""
        self.opening = True

    def end(self) -> None:
        self.opening = False
        if self.app is not None:
            self.app.end()
            self.app.discard()
            self.app = None


class QuestionApps:
    """Opens the apps of a card's questions, and takes their answers. Lives on the loop."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._shown: dict[str, _Standing] = {}

    def of(self, question: Question) -> dict[str, Any]:
        """For the view: `app` is the model's id, "" while it is on its way; `note` is why there is none any more."""
        shown = self._shown.get(question.key)
        if shown is None:
            return {}
        return {"app": shown.app.model_id if shown.app else "" if shown.opening else None, "note": shown.note}

    def follow(self, task: Task) -> None:
        """Open what is asked by an app now, and end what is not asked any more."""
        asked = {question.key: question for question in task.questions}
        for key in self._shown.keys() - asked.keys():
            self._shown.pop(key).end()
        server = servers().get(task.server)
        if server is None or in_batch() or not client_of(server).renders_questions:
            return
        for key in asked.keys() - self._shown.keys():
            if asked[key].app is not None:
                shown = self._shown[key] = _Standing()
                asyncio.get_running_loop().create_task(self._open(server, task, asked[key], shown))

    def end(self) -> None:
        for shown in self._shown.values():
            shown.end()
        self._shown.clear()

    async def _open(self, server: Server, task: Task, question: Question, shown: _Standing) -> None:
        def answered(result: dict[str, Any], meant: bool) -> None:
            asyncio.get_running_loop().create_task(self._answer(task, question, shown, result, meant))

        try:
            resource = await read_app(client_of(server), str(question.app))
            if not shown.opening:
                return
            app: QuestionApp = self._card.within(
                QuestionApp, server, question, answered, lambda why: self._fall_back(shown, why)
            )
            app.show(resource)
        except LabError as error:
            self._fall_back(shown, f"The server’s app can’t be shown: {error.message}")
            return
        shown.app, shown.opening = app, False
        self._card.changed()

    def _fall_back(self, shown: _Standing, why: str) -> None:
        if shown.app is None and not shown.opening:
            return  # it was told to go, and says that it does
        shown.note = why
        shown.end()
        self._card.changed()

    async def _answer(
        self, task: Task, question: Question, shown: _Standing, result: dict[str, Any], meant: bool
    ) -> None:
        if shown.app is None:
            return
        action, content = result.get("action"), result.get("content")
        entered = content if isinstance(content, Mapping) else {}
        strange = entered.keys() - question.schema.get("properties", {}).keys() if action == "accept" else set()
        if action not in ACTIONS:
            self._fall_back(shown, "The server’s app answered with what is no answer.")
        elif not meant:
            self._fall_back(shown, "The server’s app answered by itself, which does not count: nobody had touched it.")
        elif strange:
            self._fall_back(shown, f"The server’s app answered what was not asked: {', '.join(sorted(strange))[:200]}.")
        elif wrong := await self._card.answer(task, question.key, action, dict(entered)):
            said = "; ".join(f"{name}: {problem}" if name else problem for name, problem in wrong.items())
            self._fall_back(shown, f"The server’s app answered what does not fit: {said[:500]}")
