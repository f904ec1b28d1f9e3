"""A stdio server, most of 2025-11-25, whose apps have what a JSON file says: `mistaken.py FILE`, with `tools` and
`resources` as they are listed, `pages` by address as `resources/read` has them, and `results` by tool."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SERVED = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
UI = "io.modelcontextprotocol/ui"


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    match method:
        case "initialize":
            capabilities = {"tools": {}, "resources": {}, "extensions": {UI: {}}, "experimental": {UI: {}}}
            about = {"name": "mistaken", "version": "1"}
            return {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": about}
        case "ping":
            return {}
        case "tools/list":
            return {"tools": SERVED["tools"]}
        case "resources/list":
            return {"resources": SERVED["resources"]}
        case "resources/templates/list":
            return {"resourceTemplates": []}
        case "resources/read" if params["uri"] in SERVED["pages"]:
            return {"contents": SERVED["pages"][params["uri"]]}
        case "tools/call" if params["name"] in SERVED["results"]:
            result: dict[str, Any] = SERVED["results"][params["name"]]
            return result
    return None


for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    found = answer(message.get("method", ""), message.get("params") or {})
    said = {"result": found} if found is not None else {"error": {"code": -32602, "message": "there is none"}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **said}), flush=True)
