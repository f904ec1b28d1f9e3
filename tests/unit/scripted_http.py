"""An HTTP server of 2025-11-25 in a thread, which can be told to misbehave, and counts what it is asked."""

from __future__ import annotations

import http.server
import io
import itertools
import json
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any


class ScriptedHttp:
    """Has one tool, `dig`; each call of it as a task makes a task that works until `finish`."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []
        self.sessions: set[str] = set()
        self.tasks: dict[str, str] = {}
        self.page = 50
        self.lists = True
        self.busy_until = 0.0
        self.retry_after: int | None = None
        self.hang_up_on: str | None = None
        """A method whose request is read and never answered: the connection is closed."""
        self.stall_on: str | None = None
        """A method that is answered once `resume` is set."""
        self.flood_on: str | None = None
        """A method that is answered by progress, as a stream of events, for as long as somebody listens."""
        self.resume = threading.Event()
        self.farewell = 200
        """The status with which a session ends."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet

            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer._post(self, message)

            def do_GET(self) -> None:
                self.send_error(405)

            def do_DELETE(self) -> None:
                outer.sessions.discard(self.headers.get("mcp-session-id", ""))
                outer._reply(self, outer.farewell, b"")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/mcp"

    def count(self) -> Counter[str]:
        return Counter(method for _, method in self.asked)

    def forget_sessions(self) -> None:
        self.sessions.clear()

    def close(self) -> None:
        self.resume.set()
        self._server.shutdown()
        self._server.server_close()

    def _post(self, handler: http.server.BaseHTTPRequestHandler, message: dict[str, Any]) -> None:
        method = message.get("method", "")
        self.asked.append((time.monotonic(), method))
        if method == self.hang_up_on:
            handler.close_connection = True
            return
        if method == self.stall_on:
            self.resume.wait(30)
        headers: dict[str, str] = {}
        if method == self.flood_on:
            self._flood(handler, message["params"]["_meta"]["progressToken"])
            return
        if method == "initialize":
            headers["mcp-session-id"] = f"session-{len(self.asked)}"
            self.sessions.add(headers["mcp-session-id"])
        elif method != "server/discover" and handler.headers.get("mcp-session-id") not in self.sessions:
            error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Session not found"}}
            self._reply(handler, 404, json.dumps(error).encode())
            return
        if time.monotonic() < self.busy_until and method.startswith("tasks/"):
            wish = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
            self._reply(handler, 429, b"slow down", **wish)
            return
        if "id" not in message:
            self._reply(handler, 202, b"")
            return
        answer = self._answer(method, message.get("params") or {})
        self._reply(handler, 200, json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}).encode(), **headers)

    def _flood(self, handler: http.server.BaseHTTPRequestHandler, token: object) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        with suppress(OSError):
            for done in itertools.count():
                told = {"progressToken": token, "progress": done}
                event = {"jsonrpc": "2.0", "method": "notifications/progress", "params": told}
                handler.wfile.write(b"event: message\ndata: " + json.dumps(event).encode() + b"\n\n")
        handler.wfile = io.BytesIO()  # what is left of the stream can be sent to nobody

    def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "initialize":
                tasks = {"requests": {"tools": {"call": {}}}, "cancel": {}} | ({"list": {}} if self.lists else {})
                info = {"name": "scripted", "version": "1"}
                capabilities = {"tools": {}, "tasks": tasks}
                return _result(protocolVersion="2025-11-25", capabilities=capabilities, serverInfo=info)
            case "tools/list":
                tool = {"name": "dig", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "optional"}}
                return _result(tools=[tool])
            case "tools/call" if "task" in params:
                task_id = f"task-{len(self.tasks)}"
                self.tasks[task_id] = "working"
                return _result(task=self._task(task_id))
            case "tools/call":
                return _result(content=[{"type": "text", "text": "dug"}])
            case "tasks/get" if params["taskId"] in self.tasks:
                return _result(**self._task(params["taskId"]))
            case "tasks/result" if params["taskId"] in self.tasks:
                return _result(content=[{"type": "text", "text": params["taskId"]}])
            case "tasks/list":
                start = int(params.get("cursor") or 0)
                shown = list(self.tasks)[start : start + self.page]
                more = {"nextCursor": str(start + self.page)} if start + self.page < len(self.tasks) else {}
                return _result(tasks=[self._task(task_id) for task_id in shown], **more)
            case "tasks/get" | "tasks/result":
                return {"error": {"code": -32602, "message": "Task not found"}}
            case _:
                return {"error": {"code": -32601, "message": "no such method"}}

    def _task(self, task_id: str) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat()
        status = self.tasks[task_id]
        moments = {"createdAt": now, "lastUpdatedAt": now}
        return {"taskId": task_id, "status": status, **moments, "ttl": None, "pollInterval": 200}

    def _reply(self, handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


def _result(**fields: Any) -> dict[str, Any]:
    return {"result": fields}
