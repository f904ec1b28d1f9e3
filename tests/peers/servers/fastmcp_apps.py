"""An app of fastmcp's, which prefab draws, with a tool of its own. Over HTTP; prints its address."""

import os
import socket

os.environ["PREFAB_BUNDLED_RENDERER"] = "1"  # else the page is fetched from a CDN

from fastmcp import FastMCP, FastMCPApp
from prefab_ui.actions import SetState
from prefab_ui.actions.mcp import CallTool
from prefab_ui.app import PrefabApp
from prefab_ui.components import Button, Column, Text
from prefab_ui.rx import RESULT, STATE

adding = FastMCPApp("Adding")


@adding.tool()
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@adding.ui()
def sums(a: int = 20) -> PrefabApp:
    """Shows a sum that its own tool makes."""
    with Column() as view:
        Text(f"Given {a}")
        Text(f"Sum: {STATE.sum}")
        Button("Add", on_click=CallTool("add", arguments={"a": a, "b": 22}, on_success=SetState("sum", RESULT)))
    return PrefabApp(view=view, state={"sum": "none yet"})


server = FastMCP("fastmcp-apps", providers=[adding])

if __name__ == "__main__":
    import uvicorn

    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(server.http_app(), log_level="error", lifespan="on")
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
    uvicorn.Server(config).run(sockets=[listening])
