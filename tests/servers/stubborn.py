"""Goes on when its stdin ends, as a hung server would. Speaks just enough MCP to be connected to."""

import json
import sys
import time


def reply(message: dict, result: dict) -> None:
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)


for line in sys.stdin:
    message = json.loads(line)
    print(message.get("method"), file=sys.stderr, flush=True)
    if message.get("method") == "initialize":
        info = {"name": "stubborn", "version": "1"}
        reply(message, {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info})
    elif "id" in message:
        error = {"code": -32601, "message": "no such method"}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}), flush=True)

time.sleep(600)
