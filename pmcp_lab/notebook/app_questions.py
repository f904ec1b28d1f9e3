"""What the server asks while it works for an app: put to the person beneath the app, or to the notebook's callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pmcp_lab.client import Task
from pmcp_lab.notebook.task_card import TaskCard


class Asking(Protocol):
    """The view that shows the cards."""

    def within(self, make: Callable[..., Any], *args: Any) -> Any:
        """Make a widget as part of the cell that shows the view."""

    def assign(self, **traits: Any) -> None: ...


class AppQuestions:
    """Shows the card of every call of an app that asks something, as long as it asks. Lives on the loop."""

    def __init__(self, view: Asking) -> None:
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
