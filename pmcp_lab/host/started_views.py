"""The views in which an app has started, and what it is asked in the one that started last."""

from __future__ import annotations

import concurrent.futures
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from pmcp_lab.client import runtime
from pmcp_lab.errors import INTERNAL_ERROR, AppError


class StartedViews:
    """Views by their ids. Changed on the loop, asked from any thread.

    Args:
        post: Sends a message to a view.
    """

    def __init__(self, post: Callable[[str, dict[str, Any]], object]) -> None:
        self._post = post
        self._started: dict[str, dict[str, Any]] = {}
        self._asked: dict[tuple[str, object], concurrent.futures.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)

    def start(self, view: str, said: dict[str, Any]) -> None:
        """The app has started there, perhaps anew.

        Args:
            said: What it said of itself (`ui/initialize`).
        """
        self.end(view)
        self._started[view] = said

    def end(self, view: str) -> None:
        """The app is gone there."""
        self._started.pop(view, None)
        for (asked, _), answer in list(self._asked.items()):
            if asked == view and answer.cancel():
                answer.set_running_or_notify_cancel()  # who waits would not hear of it

    @property
    def capabilities(self) -> dict[str, Any]:
        """What the app that started last said it can do; empty where there is none."""
        last = next(reversed(self._started.values()), None)
        said = (last or {}).get("appCapabilities")
        return dict(said) if isinstance(said, Mapping) else {}

    def ask(self, name: str, method: str, params: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """See `HostedApp.ask`.

        Args:
            name: What the app is called in texts.
        """
        view = next(reversed(self._started), None)
        if view is None:
            raise AppError(f"{name} is open in no notebook, or its app has not started yet.")
        answer = self.put(view, method, params)
        try:
            return runtime().wait(answer, timeout)
        except concurrent.futures.CancelledError:
            raise AppError("The app went away before it answered.") from None
        finally:
            answer.cancel()

    def put(self, view: str, method: str, params: Mapping[str, Any]) -> concurrent.futures.Future[dict[str, Any]]:
        """The same for one of them, without waiting. A future that is cancelled wants no answer any more."""
        place = (view, next(self._numbers))
        answer: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        self._asked[place] = answer
        answer.add_done_callback(lambda _: self._asked.pop(place, None))
        payload = {"method": method, "params": dict(params)}
        self._post(view, {"kind": "ask", "call": place[1], "payload": payload})
        return answer

    def answer(self, view: str, number: object, said: dict[str, Any]) -> None:
        """The app has answered."""
        answer = self._asked.get((view, number))
        if answer is None or answer.done():
            return
        error = said.get("error")
        if isinstance(error, Mapping):
            code = error.get("code")
            text = f"The app answered: {error.get('message')}"
            answer.set_exception(AppError(text, code=code if isinstance(code, int) else INTERNAL_ERROR))
        else:
            result = said.get("result")
            answer.set_result(result if isinstance(result, dict) else {})
