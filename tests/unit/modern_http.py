"""A 2026-07-28 client that shows the HTTP itself: headers, status codes and the bytes of an answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tests.unit.jsonrpc import TASKS, Json

CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
    CAPABILITIES: {"extensions": {TASKS: {}}},
}


def rpc(response: httpx2.Response) -> Json:
    """The JSON-RPC message of an answer, which may come as an event stream."""
    text = response.text
    if text.startswith(("event:", "data:", ":")):
        text = next(line for line in text.splitlines() if line.startswith("data:")).removeprefix("data:")
    return dict(json.loads(text))


class Modern:
    """2026-07-28 requests as one person; `capabilities` are the client's."""

    def __init__(
        self, http: httpx2.AsyncClient, url: str, token: str | None = None, capabilities: Json | None = None
    ) -> None:
        self.http = http
        self.url = url
        self.token = token
        declared = {"extensions": {TASKS: {}}} if capabilities is None else capabilities
        self.envelope = {**ENVELOPE, CAPABILITIES: declared}

    async def post(self, method: str, named: str | None = None, /, **params: Any) -> httpx2.Response:
        headers = self._headers(method)
        if named is not None:
            headers["mcp-name"] = named
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": self.envelope}}
        return await self.http.post(self.url, json=body, headers=headers)

    async def about(self, method: str, task_id: str, **params: Any) -> httpx2.Response:
        return await self.post(method, task_id, taskId=task_id, **params)

    async def get(self, task_id: str) -> Json:
        return rpc(await self.about("tasks/get", task_id))

    async def call(self, name: str, **arguments: Any) -> Json:
        return rpc(await self.post("tools/call", name, name=name, arguments=arguments))

    async def task(self, name: str, **arguments: Any) -> str:
        return str((await self.call(name, **arguments))["result"]["taskId"])

    async def until(self, task_id: str, *statuses: str) -> Json:
        async with asyncio.timeout(10):
            while True:
                task = (await self.get(task_id))["result"]
                if task["status"] in statuses:
                    return dict(task)
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def listen(self, *task_ids: str) -> AsyncIterator[AsyncIterator[Json]]:
        """What comes on a listener's stream, the acknowledgement first."""
        params = {"notifications": {"taskIds": list(task_ids)}, "_meta": self.envelope}
        body = {"jsonrpc": "2.0", "id": "listening", "method": "subscriptions/listen", "params": params}
        headers = self._headers("subscriptions/listen")
        async with self.http.stream("POST", self.url, json=body, headers=headers) as stream:
            yield messages_of(stream)

    def _headers(self, method: str) -> dict[str, str]:
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": method,
        }
        return headers if self.token is None else {**headers, "authorization": f"Bearer {self.token}"}


async def messages_of(stream: httpx2.Response) -> AsyncIterator[Json]:
    async for line in stream.aiter_lines():
        if line.startswith("data:"):
            yield json.loads(line.removeprefix("data:"))
