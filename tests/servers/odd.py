"""A stdio server, most of 2025-11-25, that is odd in one way, as others' servers are: `odd.py WAY [FILE]`.

* `ends-on-probe`: ends when its first message is not `initialize` (PMCP 2.23, rmcp 0.16); notes its starts in FILE
* `generous`: declares resources, prompts, completions and logging, and knows `resources/list` alone
* `chatters`: prints lines that are no messages before and between its answers, one of them in no UTF-8
* `banner`: prints where it would be reached over HTTP, and answers nothing
* `failed-with-result`: says that its task failed, and gives a result that says nothing of that (PMCP's task server)
* `extends`: speaks 2026-07-28 with extensions nobody knows, and settings of known ones that nobody knows
* `slow`: speaks 2026-07-28 without extensions, and its tool tells of its progress for as long as FILE is not there
* `reticent`: its prompt takes an argument that it does not declare (the Go SDK's example)
* `garbles`: what it tells of its work, its log and its lists is not of the form it should have
* `mumbles`: its answer is half a character, a number that JSON has not, or no result, by the argument `how`
* `hints`: speaks 2026-07-28, or 2025-11-25, and says of each list and resource what FILE, which is JSON, says; the
  names of its items, and the text of its resource, count how often it was asked for them
* `refuses-while-it-asks`: its task waits for input, and `tasks/result` is refused until it has been asked for twice
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

WAY = sys.argv[1]
TASK = {
    "taskId": "t1",
    "createdAt": "2026-01-01T00:00:00Z",
    "lastUpdatedAt": "2026-01-01T00:00:00Z",
    "ttl": 60_000,
    "pollInterval": 100,
}
TOOL = {"name": "work", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "required"}}
TASKS = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
GENEROUS = {"tools": {}, "resources": {}, "prompts": {}, "completions": {}, "logging": {}}
FRESH = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
EXTENSIONS = {
    "io.modelcontextprotocol/tasks": {"later": [1], "list": None},
    "io.modelcontextprotocol/ui": {"mimeTypes": "text/plain", "more": {"deep": {}}},
    "org.example/unknown": {"a": [{"b": None}]},
    "org.example/nothing": None,
    "org.example/list": [1],
}
MODERN = ("extends", "slow")
HINTS = json.loads(sys.argv[2]) if WAY == "hints" else {}
asked = 0
counted = Counter[str]()


def hinted(method: str) -> dict[str, Any]:
    """What it lists, with the hints to be tried."""
    counted[method] += 1
    name = f"{method.partition('/')[0]}-{counted[method]}"
    match method:
        case "tools/list":
            found: dict[str, Any] = {"tools": [{"name": "work", "title": name, "inputSchema": {"type": "object"}}]}
        case "prompts/list":
            found = {"prompts": [{"name": name}]}
        case "resources/list":
            found = {"resources": [{"uri": "memo://a", "name": name}]}
        case "resources/templates/list":
            found = {"resourceTemplates": []}
        case _:
            found = {"contents": [{"uri": "memo://a", "text": name}]}
    return {**found, "resultType": "complete", **HINTS}


def result(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """None for a method that it does not know."""
    global asked
    match method:
        case "tools/list" | "prompts/list" | "resources/list" | "resources/read" | "resources/templates/list" if (
            WAY == "hints"
        ):
            return hinted(method)
        case "server/discover" if WAY == "hints":
            capabilities: dict[str, Any] = {"tools": {}, "prompts": {}, "resources": {}}
            found = {"supportedVersions": ["2026-07-28"], "capabilities": capabilities, **HINTS}
            return {**found, "resultType": "complete", "serverInfo": {"name": WAY, "version": "1"}}
        case "server/discover" if WAY in MODERN:
            capabilities = {"tools": {}} | ({"extensions": EXTENSIONS} if WAY == "extends" else {})
            found = {"supportedVersions": ["2026-07-28"], "capabilities": capabilities, **FRESH}
            return {**found, "serverInfo": {"name": WAY, "version": "1"}}
        case "tools/list" if WAY in MODERN:
            return {"tools": [{"name": "work", "inputSchema": {"type": "object"}}], **FRESH}
        case "tools/call" if WAY in MODERN:
            return {"content": [{"type": "text", "text": "done"}], "resultType": "complete"}
        case "initialize":
            capabilities = GENEROUS if WAY in ("generous", "hints", "reticent") else {"tools": {}, "tasks": TASKS}
            info = {"name": WAY, "version": "1"}
            return {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info}
        case "tools/list" if WAY in ("garbles", "mumbles"):
            return {"tools": [{"name": "work", "inputSchema": {"type": "object"}}]}
        case "tools/list":
            return {"tools": [TOOL]}
        case "resources/list" if WAY == "generous":
            return {"resources": [{"uri": "memo://a", "name": "a"}]}
        case "prompts/list" if WAY == "reticent":
            return {"prompts": [{"name": "greet"}]}
        case "prompts/get" if WAY == "reticent":
            said = f"Say hello to {params['arguments']['name']}."
            return {"messages": [{"role": "user", "content": {"type": "text", "text": said}}]}
        case "tools/call" if WAY == "mumbles":
            ways: dict[str, Any] = {
                "half": {"content": [{"type": "text", "text": "a\ud800b"}]},
                "number": {"content": [], "structuredContent": {"loss": float("nan"), "n": 1}},
                "none": 3,
            }
            return ways[params["arguments"]["how"]]  # type: ignore[no-any-return]
        case "tools/call" if WAY == "garbles":
            tell("notifications/message", {"level": "loud", "data": "x"})
            tell("notifications/progress", {"progressToken": params["_meta"]["progressToken"], "progress": "half"})
            return {"content": [{"type": "text", "text": "done"}]}
        case "tools/call":
            return {"task": {**TASK, "status": "working"}}
        case "tasks/get" if WAY == "refuses-while-it-asks":
            asked += 1
            return {**TASK, "status": "input_required" if asked < 4 else "completed"}
        case "tasks/result" if WAY == "refuses-while-it-asks":
            return None if asked < 4 else {"content": [{"type": "text", "text": "done"}]}
        case "tasks/get":
            return {**TASK, "status": "failed", "statusMessage": "it broke"}
        case "tasks/result":
            return {"content": [{"type": "text", "text": "so far"}]}
    return None


def tell(method: str, params: dict[str, Any]) -> None:
    print(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}), flush=True)


def tell_of_progress(token: object, until: Path) -> None:
    done = 0.0
    while not until.exists():
        done = (1 + done) / 2
        tell("notifications/progress", {"progressToken": token, "progress": done, "total": 1})
        time.sleep(0.02)


def main() -> None:
    if len(sys.argv) > 2 and WAY not in ("slow", "hints"):
        with Path(sys.argv[2]).open("a") as starts:
            starts.write("started\n")
    first = True
    if WAY == "banner":
        print("Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)", flush=True)
    if WAY == "chatters":
        sys.stdout.buffer.write(b"Hello, I am caf\xe9\n{broken\n")
        sys.stdout.flush()
    for line in sys.stdin:
        message = json.loads(line)
        if first and WAY == "ends-on-probe" and message["method"] != "initialize":
            sys.exit(1)
        first = False
        if "id" not in message or WAY == "banner":
            continue
        if WAY == "slow" and message["method"] == "tools/call":
            tell_of_progress(message["params"]["_meta"]["progressToken"], Path(sys.argv[2]))
        found = result(message["method"], message.get("params") or {})
        answer = {"error": {"code": -32601, "message": "Method not found"}} if found is None else {"result": found}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)


main()
