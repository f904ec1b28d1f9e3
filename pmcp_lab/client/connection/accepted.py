"""Requests that a server takes with HTTP 202 and answers on its session's stream (GET), as PMCP's does (2025-11-25).

The SDK takes 202 for the end of a request. Here its response becomes a stream that stays open until the answer has
come on the other one, or can't come any more; then it says why.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import httpx2
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp.shared.message import SessionMessage
from mcp_types import (
    CONNECTION_CLOSED,
    INTERNAL_ERROR,
    REQUEST_TIMEOUT,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)

from pmcp_lab.client.connection.refusals import BROKE, UNDELIVERED

ON_ACCEPTED: ContextVar[Callable[[str], None] | None] = ContextVar("on_accepted", default=None)
"""Called with the method of a request when its server has accepted it and will answer on its stream."""

ATTEMPTS = 2
"""How often the SDK tries to open the stream before it is content without one."""
REOPEN = 30.0
"""Seconds for a stream that broke to be open again."""
PATIENCE = 300.0
"""Seconds for an answer, where none takes long; as long as for one that comes in the response."""
_LONG = frozenset({"tools/call", "prompts/get", "tasks/result"})
"""What may take any time."""
_LAST_EVENT_ID = "last-event-id"


def awaited(server: str, method: str) -> str:
    """What a request waits for that was accepted, in a line."""
    return (
        f"server {server!r} accepted {method} with HTTP 202 and has not answered on its stream yet; "
        "if it never does, connect to it again"
    )


class _Sent:
    """A request that is not answered yet."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.on_accepted = ON_ACCEPTED.get()
        self.accepted = False
        self.orphaned = False
        """The stream that it was accepted with is gone."""
        self.over = asyncio.Event()
        self.error: dict[str, Any] | None = None
        """What takes the place of an answer that can't come."""

    def fail(self, code: int, message: str, **data: bool) -> None:
        self.error = {"code": code, "message": message, "data": data}
        self.over.set()


class Accepted:
    """What the server has accepted, and the stream on which it answers. One for each connection, on its loop.

    Attributes:
        lose: Called with the reason when the connection is of no use any more; returns whether it was given up.
    """

    def __init__(self) -> None:
        self.lose: Callable[[str], bool] = lambda _: False
        self._sent: dict[RequestId, _Sent] = {}
        self._owner: asyncio.Task[Any] | None = None
        """The SDK's task that keeps the stream open: its other GETs are for the rest of a POST's answer."""
        self._open = self._opening = self._ever = self._answers_there = False
        self._refusals = 0
        self._refusal = "the server offers none to this session"
        self._reopen: asyncio.TimerHandle | None = None

    # --- the requests ---

    def outgoing(self, item: SessionMessage) -> None:
        """A message is sent."""
        message = item.message
        if isinstance(message, JSONRPCRequest):
            self._sent[coerce_request_id(message.id)] = _Sent(message.method)
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self._over(cancelled_request_id_from_params(message.params))

    def incoming(self, item: SessionMessage | Exception) -> SessionMessage | Exception:
        """A message has come, by whichever way."""
        if isinstance(item, SessionMessage) and isinstance(item.message, JSONRPCResponse | JSONRPCError):
            self._over(item.message.id)
        return item

    def _over(self, request_id: RequestId | None) -> None:
        sent = None if request_id is None else self._sent.pop(coerce_request_id(request_id), None)
        if sent is not None:
            sent.over.set()

    def take(self, response: httpx2.Response) -> httpx2.Response:
        """What the SDK is to see of a 202: itself for a notification, a stream that waits for a request."""
        message = json.loads(response.request.content)
        if not isinstance(message, dict) or "id" not in message or "method" not in message:
            return response
        sent = self._sent.get(coerce_request_id(message["id"]))
        self._answers_there = True
        if sent is not None and not self._promises():
            self._no_stream(sent, self._refusal)
        elif sent is not None:
            sent.accepted = True
            if sent.on_accepted is not None:
                sent.on_accepted(sent.method)
        waiting = _Waiting(message["id"], sent)
        return httpx2.Response(
            200, headers={"content-type": "text/event-stream"}, stream=waiting, request=response.request
        )

    def _promises(self) -> bool:
        return self._open or self._opening or self._reopen is not None or 0 < self._refusals < ATTEMPTS

    @staticmethod
    def _no_stream(sent: _Sent, why: str) -> None:
        sent.fail(
            INTERNAL_ERROR,
            f"it accepted {sent.method} with HTTP 202, and there is no stream (GET) that its answer could come on: "
            f"{why}. It may be done all the same. A server has to answer in the response to the POST, or to keep the "
            "stream it answers on: ask its authors",
        )

    # --- the stream ---

    def asks(self, request: httpx2.Request) -> bool:
        """Whether this request opens the stream; called before it is sent."""
        if request.method != "GET":
            return False
        resumes = _LAST_EVENT_ID in request.headers
        if self._owner is None and not resumes:
            self._owner = asyncio.current_task()
        if self._owner is None or asyncio.current_task() is not self._owner:
            return False
        self._opening = True
        if not resumes:
            self._drop_orphans()
        return True

    def refused(self, why: str) -> None:
        """It could not be opened."""
        self._opening = False
        self._refusal = why
        self._refusals += 1
        if self._refusals < ATTEMPTS:
            return
        self._keep_time(None)
        # It goes on answering where nobody reads; a new session has a stream of its own.
        if self._ever and self._answers_there and self.lose(f"the stream it answers on broke, and {why}"):
            return
        for sent in self._waiting():
            self._no_stream(sent, why)

    def opened(self, response: httpx2.Response) -> None:
        """It is answered for."""
        if response.is_redirect:
            return
        if response.status_code >= 400:
            self.refused(f"the server refuses one (HTTP {response.status_code})")
            return
        self._opening, self._refusals = False, 0
        self._keep_time(None)
        self._open = self._ever = True
        for sent in self._waiting():
            sent.orphaned = False
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Watched(response.stream, self._ended)

    def _keep_time(self, limit: float | None) -> None:
        if self._reopen is not None:
            self._reopen.cancel()
        self._reopen = (
            None if limit is None else asyncio.get_running_loop().call_later(limit, self._not_reopened, limit)
        )

    def _ended(self) -> None:
        self._open = False
        for sent in self._waiting():
            sent.orphaned = True
        self._keep_time(REOPEN)

    def _not_reopened(self, limit: float) -> None:
        self._reopen = None
        self._refusal = f"it could not be opened again within {limit:g} s"
        self._drop_orphans()

    def _waiting(self) -> list[_Sent]:
        return [sent for sent in self._sent.values() if sent.accepted and not sent.over.is_set()]

    def _drop_orphans(self) -> None:
        """What was to come on a stream that is not taken up where it broke, does not come."""
        for sent in self._waiting():
            if sent.orphaned:
                sent.fail(
                    CONNECTION_CLOSED,
                    f"it accepted {sent.method} with HTTP 202, and the stream that the answer was to come on broke: "
                    "nobody knows whether it was done",
                    **{BROKE: True, UNDELIVERED: False},
                )


class _Waiting(httpx2.AsyncByteStream):
    """The body of a response that waits for an answer which comes elsewhere."""

    def __init__(self, request_id: RequestId, sent: _Sent | None) -> None:
        self._request_id = request_id
        self._sent = sent

    async def __aiter__(self) -> AsyncIterator[bytes]:
        sent = self._sent
        if sent is None:
            return  # the answer was there first
        try:
            async with asyncio.timeout(None if sent.method in _LONG else PATIENCE):
                await sent.over.wait()
        except TimeoutError:
            sent.fail(REQUEST_TIMEOUT, f"no answer within {PATIENCE:g} s")
        if sent.error is not None:
            said = json.dumps({"jsonrpc": "2.0", "id": self._request_id, "error": sent.error})
            yield f"event: message\ndata: {said}\n\n".encode()


class _Watched(httpx2.AsyncByteStream):
    """The body of the stream, which always ends well: the SDK opens it again after an end, after errors only twice."""

    def __init__(self, inner: httpx2.AsyncByteStream, on_end: Callable[[], None]) -> None:
        self._inner = inner
        self._on_end = on_end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with suppress(httpx2.TransportError):
            async for chunk in self._inner:
                yield chunk
        self._on_end()

    async def aclose(self) -> None:
        await self._inner.aclose()
