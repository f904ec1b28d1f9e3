"""The requests of an app's views that are being answered, within a bound of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pmcp_lab.client import now_ms
from pmcp_lab.errors import INTERNAL_ERROR, LabError
from pmcp_lab.host.kept import LIMIT

Entry = dict[str, Any]
"""A request among `calls`: it gets its `result` or `error`, and `ms`."""


class UnderWay:
    """Answers each request in a task of its own, and gives up what nobody waits for any more.

    Args:
        answer: The result of an entry's request, for a view.
        reply: Sends a view something.
        answered: Called with each entry that has its answer.
    """

    def __init__(
        self,
        answer: Callable[[str, Entry], Awaitable[dict[str, Any]]],
        reply: Callable[[str, dict[str, Any]], None],
        answered: Callable[[Entry], object],
    ) -> None:
        self._of = answer
        self._reply = reply
        self._answered = answered
        self._pending: dict[tuple[str, object], asyncio.Task[None]] = {}
        self._weight = 0

    def start(self, view: str, call: object, entry: Entry, weight: int) -> None:
        """Answer a request. On the background thread.

        Args:
            weight: Bytes of it, which are held until it is answered.
        """
        if self._weight + weight > LIMIT:
            error = {"code": INTERNAL_ERROR, "message": "Too much of this app is under way: wait for earlier answers."}
            entry |= {"error": error, "ms": 0}
            self._reply(view, {"kind": "rpc-result", "call": call, "payload": {"error": error}})
            return
        self._weight += weight
        work = asyncio.get_running_loop().create_task(self._answer(view, call, entry))
        self._pending[view, call] = work
        work.add_done_callback(lambda work: self._settled((view, call), entry, weight, work))

    def cancel(self, view: str, call: object) -> None:
        """The view gave it up."""
        if (pending := self._pending.get((view, call))) is not None:
            pending.cancel()

    def leave(self, view: str) -> None:
        """The view went."""
        for key in [key for key in self._pending if key[0] == view]:
            self._pending[key].cancel()

    def end(self) -> None:
        """Give up all."""
        for pending in list(self._pending.values()):
            pending.cancel()

    def _settled(self, key: tuple[str, object], entry: Entry, weight: int, work: asyncio.Task[None]) -> None:
        self._pending.pop(key, None)
        self._weight -= weight
        entry["ms"] = now_ms() - entry["time"]
        if work.cancelled():
            entry["error"] = {"message": "cancelled"}

    async def _answer(self, view: str, call: object, entry: Entry) -> None:
        try:
            answer: dict[str, Any] = {"result": await self._of(view, entry)}
        except LabError as error:
            answer = {"error": {"code": error.code, "message": error.message}}
            if error.data is not None:
                answer["error"]["data"] = error.data
        except Exception as error:
            answer = {"error": {"code": INTERNAL_ERROR, "message": f"{type(error).__name__}: {error}"}}
        entry |= answer
        self._answered(entry)
        self._reply(view, {"kind": "rpc-result", "call": call, "payload": answer})
