"""The server behind the bad wire of `shaken.py`, which counts what it is asked to do, and the app that it has."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

from mcp.server.apps import Apps
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.workflow import SequentialWorkflow, Workflows, from_step, prompt_arg

ASKED = 4
"""What an app asks of its server."""

SHIP = (
    SequentialWorkflow("ship", "Ship it")
    .argument("seed", "Which", type="integer")
    .step("begin", "count", {"seed": prompt_arg("seed"), "n": 0}, bind="begun")
    .step("save", "save", {"seed": prompt_arg("seed")}, execution="client", bind="saved")
    .step("approve", execution="manual", question="Ship it?", answer={"name": "string"}, bind="approved")
    .step("end", "save", {"seed": from_step("begun", "seed"), "text": from_step("approved", "name")})
)


class Name(BaseModel):
    name: str


class Shaken:
    """A server that counts what it is asked to do."""

    def __init__(self, page: str) -> None:
        self.done: Counter[tuple[object, ...]] = Counter()
        tasks, apps = Tasks("memory://"), Apps()
        apps.add_html_resource("ui://shaken/page", page)

        @apps.tool(resource_uri="ui://shaken/page")
        async def show(seed: int) -> str:
            await asyncio.sleep(0.5)
            return f"shown {seed}"

        @tasks.tool(support="optional", poll_interval="50ms")
        async def job(seed: int, task: TaskContext) -> dict[str, Any]:
            self.done["job", seed] += 1
            chance = random.Random(seed)
            await self._move(task, chance, "before")
            if seed % 3:
                answer = await task.elicit(f"Who is {seed}?", Name)
                self.done["answer", seed, answer.action] += 1
            await self._move(task, chance, "after")
            if seed % 5 == 0:
                raise ToolError(f"{seed} broke")
            return {"seed": seed}

        @tasks.tool(support="optional", poll_interval="50ms")
        async def vote(seed: int, ask: bool, task: TaskContext) -> str:
            self.done["vote", seed] += 1
            await asyncio.sleep(random.Random(seed).uniform(0.02, 0.8))
            if ask:
                answer = await task.elicit("Who votes?", Name)
                self.done["voted", seed, answer.action] += 1
            elif self.done["vote", seed] == 1:
                raise ToolError("no vote at the first attempt")
            return f"{seed} voted"

        self.server: MCPServer[Any] = MCPServer(
            "shaken", extensions=[tasks, apps], middleware=[tasks], log_level="CRITICAL"
        )

        @self.server.tool()
        def count(seed: int, n: int) -> dict[str, int]:
            """Counted."""
            self.done["count", seed, n] += 1
            return {"seed": seed, "n": n}

        @self.server.tool()
        def save(seed: int, text: str) -> dict[str, Any]:
            """Saved."""
            self.done["save", seed] += 1
            return {"text": text}

        Workflows([SHIP], tasks).attach(self.server)

    async def _move(self, task: TaskContext, chance: random.Random, when: str) -> None:
        for step in range(chance.randint(1, 4)):
            await asyncio.sleep(chance.uniform(0.02, 0.4))
            await task.update(message=f"{when} {step}", progress=step / 10, variables={"step": step})


APP = """<script>
(async () => {
  const told = [];
  let result = null;
  addEventListener("message", ({data}) => {
    if (data.method === "notifications/tools/list_changed") told.push(1);
    if (data.method === "ui/notifications/tool-result") result = data.params.content[0].text;
    if (data.method) send();
  });
  const got = [];
  const send = () => rpc("ui/update-model-context", {structuredContent: {got, result, told: told.length}});
  while (document.querySelector("#state").textContent !== "started") await new Promise((next) => setTimeout(next, 20));
  const seed = Number(new URLSearchParams(location.search).get("seed"));
  const given = await new Promise((next) => {
    const look = () => {
      const input = log.find(({method}) => method === "ui/notifications/tool-input");
      input ? next(input.params.arguments) : setTimeout(look, 20);
    };
    look();
  });
  for (let n = 0; n < ASKED; n += 1) {
    const {structuredContent} = await rpc("tools/call", {name: "count", arguments: {seed: given.seed, n}});
    got.push(structuredContent.n);
    await send();
    await new Promise((next) => setTimeout(next, 150));
  }
})();
</script>""".replace("ASKED", str(ASKED))
