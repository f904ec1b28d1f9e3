"""`subscriptions/listen` (2026-07-28): the streams of one connection, from request to end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import RequestId

from pmcp_lab.client.runtime import seen
from pmcp_lab.errors import ConnectionClosed

LISTEN = "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
ACKNOWLEDGE_TIMEOUT = 10.0
"""Seconds for the acknowledgement, which is the first thing a server sends."""


class Stream:
    """One open stream. Its notifications reach the connection like all others."""

    def __init__(self) -> None:
        self.request_id: RequestId | None = None
        self.acknowledged: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        """What the server agreed to tell of."""
        self.request: asyncio.Future[Any] = self.acknowledged

    @property
    def honoured(self) -> frozenset[str]:
        """The task ids among it."""
        task_ids = self.acknowledged.result().get("taskIds")
        return frozenset(map(str, task_ids)) if isinstance(task_ids, list) else frozenset()

    async def over(self) -> None:
        await asyncio.wait([self.request])

    def close(self) -> None:
        self.request.cancel()


class Streams:
    """Opens streams and finds the acknowledgement of each among what comes in.

    The SDK does not say under which id it sends a request, so the transport does.
    """

    def __init__(self) -> None:
        self._opening: Stream | None = None
        self._turn = asyncio.Lock()

    def sent(self, request_id: RequestId) -> None:
        """The transport sends a `subscriptions/listen`."""
        if self._opening is not None:
            self._opening.request_id = request_id

    def came(self, params: Mapping[str, Any]) -> None:
        """The transport received an acknowledgement."""
        stream = self._opening
        if stream is None or (params.get("_meta") or {}).get(SUBSCRIPTION_ID_META_KEY) != stream.request_id:
            return
        if not stream.acknowledged.done():
            agreed = params.get("notifications")
            stream.acknowledged.set_result(dict(agreed) if isinstance(agreed, Mapping) else {})

    async def open(self, request: Callable[[], Awaitable[Any]]) -> Stream:
        """Send the request and wait until it is acknowledged.

        Args:
            request: Sends it; returns when the server ends the stream.

        Raises:
            PeerError: The server refuses.
            ConnectionClosed: The stream ended, or nothing came, before it was acknowledged.
        """
        async with self._turn:
            stream = self._opening = Stream()
            stream.request = asyncio.ensure_future(request())
            stream.request.add_done_callback(seen)
            try:
                await asyncio.wait(
                    [stream.request, stream.acknowledged],
                    timeout=ACKNOWLEDGE_TIMEOUT,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not stream.acknowledged.done() and stream.request.done():
                    stream.request.result()
                if not stream.acknowledged.done():
                    raise ConnectionClosed("the server did not acknowledge that it is listened to")
            except BaseException:
                stream.close()
                raise
            finally:
                self._opening = None
            return stream
