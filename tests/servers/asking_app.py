"""A server whose questions are asked by an app of its own, which does as the call's `manner` says."""

from __future__ import annotations

from typing import Any, Literal

from mcp.server.apps import Apps
from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel, Field

from pmcp_lab.server import TaskContext, Tasks

#: Not by an SDK: what a host says goes through here as it is.
PAGE = """<!doctype html><meta charset="utf-8"><title>Seats</title>
<style>
  body { margin: 0; padding: 12px; font: 14px var(--font-sans, sans-serif);
    color: var(--color-text-primary, CanvasText); background: var(--color-background-primary, Canvas) }
  #seats { display: grid; grid-template-columns: repeat(auto-fill, 44px); gap: 6px; margin: 8px 0 }
  #seats button { height: 36px; border-radius: 6px 6px 2px 2px; font: inherit; cursor: pointer; color: inherit;
    border: 1px solid var(--color-border-primary, #888); background: var(--color-background-secondary, #eee) }
  #seats button:hover { border-color: var(--color-border-info, #06c); color: var(--color-text-info, #06c) }
</style>
<div id="asked">Waiting to be asked</div><div id="seats"></div><button id="none">None of these</button>
<script>
  const manner = "MANNER";
  const say = (message) => parent.postMessage({jsonrpc: "2.0", ...message}, "*");
  let question = null;
  const answer = (result, id = question) => say({id, result});
  const choose = (seat) => answer(manner === "misfit" ? {action: "accept", content: {seat: 4711, window: true}}
    : manner === "extra" ? {action: "accept", content: {seat, window: true, admin: true}}
    : manner === "nonsense" ? {yes: true}
    : {action: "accept", content: {seat, window: seat.endsWith("A")}});
  for (const seat of ["1A", "1B", "2A", "2B"]) {
    const button = document.createElement("button");
    button.textContent = seat;
    button.onclick = () => { choose(seat); if (manner === "twice") choose("2B"); };
    document.querySelector("#seats").append(button);
  }
  document.querySelector("#none").onclick = () => answer({action: "decline"});
  addEventListener("message", ({data}) => {
    if (data.id === "init") {
      const {theme, styles} = data.result.hostContext, {style} = document.documentElement;
      style.colorScheme = theme;
      for (const [name, value] of Object.entries(styles.variables)) style.setProperty(name, value);
      say({method: "ui/notifications/initialized", params: {}});
      say({method: "ui/notifications/size-changed", params: {height: document.body.offsetHeight}});
    }
    if (data.method === "ui/resource-teardown") answer({}, data.id);
    if (data.method !== "elicitation/create") return;
    question = data.id;
    document.querySelector("#asked").textContent = data.params.message;
    if (manner === "itself") choose("1A");
    if (manner === "leaves") say({method: "ui/notifications/request-teardown", params: {}});
  });
  const able = manner === "unable" ? {} : {elicitation: {}};
  // Before anybody asked, and what others may be asked.
  if (manner === "early")
    for (const id of [1, 2, "host-1", "host-2"]) answer({action: "accept", content: {seat: "9Z", window: true}}, id);
  if (manner !== "silent")
    say({id: "init", method: "ui/initialize", params: {protocolVersion: "2026-01-26",
      appInfo: {name: "seats", version: "1"}, appCapabilities: able}});
</script>
"""

Manner = Literal[
    "well", "twice", "early", "itself", "misfit", "extra", "nonsense", "leaves", "unable", "silent", "absent", "mute"
]


class Seat(BaseModel):
    seat: str = Field(pattern="^[0-9][A-Z]$")
    window: bool = False


def build(*, app_elicitation: bool = True) -> MCPServer:
    apps, tasks = Apps(), Tasks("memory://", app_elicitation=app_elicitation)
    for manner in Manner.__args__:  # type: ignore[attr-defined]
        if manner != "absent":
            apps.add_html_resource(f"ui://seats/{manner}", PAGE.replace("MANNER", manner))

    @tasks.tool(support="required")
    async def book(task: TaskContext, manner: Manner = "well") -> dict[str, Any]:
        """Books a seat."""
        asked = await task.elicit("Which seat do you want?", Seat, app=f"ui://seats/{manner}")
        return asked.content.model_dump() if asked.content else {"action": asked.action}

    return MCPServer("seats", extensions=[apps, tasks], middleware=[tasks], lifespan=tasks.lifespan)


if __name__ == "__main__":
    build().run()
