"""The apps that run in a widget's views, and what the kernel asks of them."""

from __future__ import annotations

import concurrent.futures
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from pmcp_lab.client.runtime import runtime
from pmcp_lab.errors import INTERNAL_ERROR, AppError


class AppSessions:
    """One session for each view whose app shook hands, by view id, the last to start at the end.

    Args:
        name: What the widget is called in errors.
        post: Sends a message to the views.
    """

    def __init__(self, name: str, post: Callable[[dict[str, Any]], None]) -> None:
        self._name = name
        self._post = post
        self._started: dict[str, dict[str, Any]] = {}
        self._asked: dict[tuple[str, int], concurrent.futures.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)

    @property
    def capabilities(self) -> dict[str, Any]:
        """What the app that started last said it can do."""
        started = next(reversed(self._started.values()), None)
        capabilities = (started or {}).get("appCapabilities")
        return dict(capabilities) if isinstance(capabilities, Mapping) else {}

    def began(self, view: str, said: dict[str, Any]) -> None:
        self.ended(view)
        self._started[view] = said

    def ended(self, view: str) -> None:
        self._started.pop(view, None)
        for key, future in self._asked.items():
            if key[0] == view and not future.done():
                future.set_exception(AppError("The app went away before it answered."))

    def ask(self, method: str, params: Mapping[str, Any], *, timeout: float) -> dict[str, Any]:
        """A request to the app that started last, and its result. See `AppView.ask`."""
        view = next(reversed(self._started), None)
        if view is None:
            raise AppError(f"{self._name} is open in no notebook, or its app has not started yet.")
        number = next(self._numbers)
        answer = self._asked[view, number] = concurrent.futures.Future()
        payload = {"method": method, "params": dict(params)}
        try:
            self._post({"kind": "ask", "to": view, "call": number, "payload": payload})
            return runtime().wait(answer, timeout)
        finally:
            del self._asked[view, number]

    def answered(self, view: str, call: Any, payload: dict[str, Any]) -> None:
        future = self._asked.get((view, call))
        if future is None or future.done():
            return
        error = payload.get("error")
        if isinstance(error, Mapping):
            code = error.get("code")
            said = f"The app answered: {error.get('message')}"
            future.set_exception(AppError(said, code=code if isinstance(code, int) else INTERNAL_ERROR))
        else:
            result = payload.get("result")
            future.set_result(result if isinstance(result, dict) else {})
