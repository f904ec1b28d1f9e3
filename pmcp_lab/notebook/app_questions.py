"""What the server asks while it works for an app: put to the person beneath the app, or to the notebook's callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import mcp_types as types

from pmcp_lab.client import Task
from pmcp_lab.client.elicitation import read_question
from pmcp_lab.client.sampling import sample
from pmcp_lab.errors import METHOD_NOT_FOUND, AppError
from pmcp_lab.notebook.task_card import TaskCard

if TYPE_CHECKING:
    from pmcp_lab.notebook.app_view import AppView


class AppQuestions:
    """Shows the card of every call of an app that asks something, as long as it asks. Lives on the loop."""

    def __init__(self, view: AppView) -> None:
        self._view = view
        self._cards: dict[Task, TaskCard] = {}

    @property
    def asking(self) -> list[Task]:
        return list(self._cards)

    def attend(self, task: Task) -> None:
        """Put what a call asks to the person, from now to its end."""
        stop: list[Callable[[], None]] = []

        def changed(task: Task) -> None:
            if task.questions and task not in self._cards:
                self._cards[task] = self._view.within(TaskCard, task)
            elif not task.questions and task in self._cards:
                self._cards.pop(task).close()
            else:
                return
            self._view.assign(_cards=[card.model_id for card in self._cards.values()])
            if task.done():
                stop[0]()

        stop.append(task.subscribe(changed))

    async def relay(self, tool: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Answer what a server asked the page within a call that the page made itself.

        Raises:
            LabError: It is refused.
        """
        follower = self._view.server.connection.follower
        task = Task(self._view.server, tool, {})
        self.attend(task)
        with follower.asking(task):
            match method:
                case "elicitation/create":
                    said: list[dict[str, Any]] = []

                    async def keep(response: dict[str, Any]) -> None:
                        said.append(response)

                    await follower.elicitations.ask(task, read_question("question", params, task), keep)
                    return said[0] if said else {"action": "cancel"}
                case "sampling/createMessage":
                    answer = await sample(follower.on_sampling, params)
                    if isinstance(answer, types.ErrorData):
                        raise AppError(answer.message, code=answer.code)
                    return answer
                case "settle":
                    required = params.get("elicitations")
                    urls = [each for each in required if isinstance(each, dict)] if isinstance(required, list) else []
                    return {"again": await follower.elicitations.settle(task, urls)}
        raise AppError(f"this host does not offer {method}", code=METHOD_NOT_FOUND)
