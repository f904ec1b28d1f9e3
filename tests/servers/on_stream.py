"""A 2025-11-25 server that, as PMCP's, answers on its session's stream once that is open: `python -m … on_stream WAY`.

A POST is then taken with 202. Until the stream is open it is answered in its response. What happens to a call says the
name of the tool, and how often each was called, `count`:

* `work`: answered on the stream
* `early`: on the stream, before the 202
* `twice`: on the stream, and in the response
* `silent`: not at all
* `pair`: two calls, answered when both are there, the second first
* `cut`: the stream ends after the 202, which nobody will answer; `torn`: the same in the middle of a chunk
* `elsewhere`: in the response, which breaks off twice and is taken up by GETs of its own
* `resumed`: the stream ends after the 202; the answer is told on the next, if that takes up where this ended

WAY is one or more of these, joined by `+`:

* `plain`
* `late`: the stream is not open before `open` was called
* `ids`: what is sent on the stream has ids
* `once`: after the first stream there is no other (409), and POSTs are accepted all the same
* `refuses`: there is no stream (405), and POSTs are accepted all the same
* `absent`: there is no session, thus no stream, and POSTs are accepted all the same
* `silent-lists`: `tools/list` is accepted and not answered
* `accepts-all`: so is everything, from the first message on
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

WAYS = set(sys.argv[1].split("+"))
TOOLS = ("work", "early", "twice", "silent", "pair", "cut", "torn", "resumed", "elsewhere", "count", "open")
Message = dict[str, Any]


class Session:
    def __init__(self) -> None:
        self.queue: asyncio.Queue[Message | str] | None = None
        self.streams = 0
        self.pair: Message | None = None
        self.left: list[Message] = []
        self.events = itertools.count(1)
        self.wanted = asyncio.Event()
        self.open = asyncio.Event()
        if "late" not in WAYS:
            self.wanted.set()

    def tell(self, message: Message | str) -> None:
        if self.queue is not None:
            self.queue.put_nowait(message)


sessions: dict[str, Session] = {}
called: Counter[str] = Counter()


def result(message: Message) -> Message:
    match message["method"]:
        case "initialize":
            info = {"name": "on_stream", "version": "1"}
            found: Message = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
        case "tools/list":
            found = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}
        case "tools/call":
            tool = message["params"]["name"]
            found = {"content": [{"type": "text", "text": json.dumps(called) if tool == "count" else tool}]}
        case _:
            return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "Method not found"}}
    return {"jsonrpc": "2.0", "id": message["id"], "result": found}


async def post(request: Request) -> Response:
    message = await request.json()
    if "accepts-all" in WAYS or "id" not in message or "method" not in message:
        return Response(status_code=202)
    method = message["method"]
    if method == "initialize":
        if "absent" in WAYS:
            return JSONResponse(result(message))
        name = f"session-{len(sessions) + 1}"
        sessions[name] = Session()
        return JSONResponse(result(message), headers={"mcp-session-id": name})
    if "absent" in WAYS:
        return Response(status_code=202)
    session = sessions.get(request.headers.get("mcp-session-id", ""))
    if session is None:
        error = {"code": -32601, "message": "Method not found"}
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "error": error}, 400)
    tool = message["params"]["name"] if method == "tools/call" else ""
    called[tool] += 1
    if tool == "open":
        session.wanted.set()
        await session.open.wait()
        return JSONResponse(result(message))
    if tool == "elsewhere":
        session.left.append(result(message))
        return Response("id: post\nretry: 50\ndata:\n\n", media_type="text/event-stream")
    if "silent-lists" in WAYS and method == "tools/list":
        return Response(status_code=202)
    if session.queue is None and not ("once" in WAYS and session.streams) and "refuses" not in WAYS:
        return JSONResponse(result(message))
    asyncio.get_running_loop().call_later(0 if tool == "early" else 0.1, answer, session, tool, message)
    if tool == "early":
        await asyncio.sleep(0.2)
    if tool == "twice":
        return JSONResponse(result(message))
    return Response(status_code=202)


def answer(session: Session, tool: str, message: Message) -> None:
    match tool:
        case "silent":
            return
        case "pair" if session.pair is None:
            session.pair = message
        case "pair":
            assert session.pair is not None
            for each in (message, session.pair):
                session.tell(result(each))
            session.pair = None
        case "cut" | "torn":
            session.tell(tool)
        case "resumed":
            session.left.append(result(message))
            session.tell({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": ""}})
            session.tell("cut")
        case _:
            session.tell(result(message))


async def get(request: Request) -> Response:
    session = sessions.get(request.headers.get("mcp-session-id", ""))
    if session is None or "refuses" in WAYS:
        return Response(status_code=405)
    if request.headers.get("last-event-id") == "post":
        return Response("id: post-2\nretry: 600\ndata:\n\n", media_type="text/event-stream")
    if request.headers.get("last-event-id") == "post-2":
        return Response(f"data: {json.dumps(session.left.pop())}\n\n", media_type="text/event-stream")
    if session.streams and ("once" in WAYS or session.queue is not None):
        return JSONResponse({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "there is one"}}, 409)
    session.streams += 1

    async def events() -> AsyncIterator[str]:
        await session.wanted.wait()
        session.queue = asyncio.Queue()
        session.open.set()
        if request.headers.get("last-event-id"):
            for message in session.left:
                session.tell(message)
            session.left.clear()
        try:
            yield ": open\nretry: 100\n\n"
            while True:
                message = await session.queue.get()
                if message == "cut":
                    return
                if message == "torn":
                    raise ConnectionAbortedError
                name = f"id: {next(session.events)}\n" if "ids" in WAYS else ""
                yield f"event: message\n{name}data: {json.dumps(message)}\n\n"
        finally:
            session.queue = None
            session.open.clear()

    return StreamingResponse(events(), media_type="text/event-stream")


async def delete(request: Request) -> Response:
    sessions.pop(request.headers.get("mcp-session-id", ""), None)
    return Response(status_code=200)


VERBS = {"POST": post, "GET": get, "DELETE": delete}
app = Starlette(routes=[Route("/mcp", answers, methods=[verb]) for verb, answers in VERBS.items()])

if __name__ == "__main__":
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listening])
