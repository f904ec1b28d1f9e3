"""The demo server's tools. Each shows one thing; none needs the network."""

from __future__ import annotations

import asyncio
import math
import random
from typing import Annotated, Any, Literal, get_args

from mcp.server import CacheHint
from mcp.server.apps import Apps
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from mcp_types.methods import CacheableMethod
from pydantic import BaseModel, Field

from pmcp_lab._version import __version__
from pmcp_lab.demo import chess, dataviz
from pmcp_lab.demo import map as world_map
from pmcp_lab.demo.page import widget_page
from pmcp_lab.demo.skills import demo_skills
from pmcp_lab.demo.workflows import REPORT, add_workflows
from pmcp_lab.server import TaskContext, Tasks

KEEP_MS = 5 * 60_000
"""Milliseconds for which clients may keep what is listed and read: it is the same for all, as long as this runs."""

WAVE_URI = "ui://demo/wave"
SAMPLES = 401
"""Points of the oscillation that `wave` returns."""

DURATION = 4.0
"""Seconds the oscillation covers."""

_READ_ONLY = ToolAnnotations(read_only_hint=True, open_world_hint=False)


class Trained(BaseModel):
    """How a training run ended."""

    epochs: int
    loss: float
    accuracy: float
    history: list[float] = Field(description="Loss after each epoch")


class Publish(BaseModel):
    """The form `publish` asks to be filled in."""

    publish: bool = Field(title="Publish it?", description="Make the model available to others")
    visibility: Literal["team", "company", "public"] = Field(
        default="team", title="Who may use it", description="Can be changed later"
    )


class Published(BaseModel):
    """What came of it."""

    model: str
    published: bool
    visibility: str | None = None
    note: str


class Preset(BaseModel):
    """An oscillation with a name."""

    name: str
    frequency: float
    damping: float


class Presets(BaseModel):
    """What the chart offers as buttons."""

    presets: list[Preset]


def build(store: str = "memory://") -> MCPServer[Any]:
    """A new demo server.

    Args:
        store: Where its tasks are kept, as for `Tasks`.
    """
    tasks = Tasks(store)
    apps = Apps()
    skills = demo_skills(REPORT)
    _add_tools(tasks)
    _add_wave(apps)
    chess.register(apps)
    dataviz.register(apps)
    world_map.register(apps)
    server: MCPServer[Any] = MCPServer(
        "demo",
        title="pmcp_lab demo",
        version=__version__,
        instructions="Shows what a notebook can do with MCP: tasks, questions, failures, a workflow, skills and apps.",
        extensions=[tasks, apps, skills],
        middleware=[tasks, skills],
        cache_hints=dict.fromkeys(get_args(CacheableMethod), CacheHint(ttl_ms=KEEP_MS, scope="public")),
        lifespan=tasks.lifespan,
        log_level="WARNING",
    )

    @server.tool(title="Add", description="Add two whole numbers.", annotations=_READ_ONLY)
    def add(a: int, b: int) -> int:
        return a + b

    add_workflows(server, tasks)
    return server


def _add_tools(tasks: Tasks) -> None:
    @tasks.tool(
        support="optional",
        ttl="1h",
        poll_interval="250ms",
        title="Train a model",
        description="Pretend to train a model: the loss falls, the accuracy rises, epoch by epoch.",
    )
    async def train(
        task: TaskContext,
        epochs: Annotated[int, Field(ge=1, le=10_000, description="Passes over the data")] = 10,
        lr: Annotated[float, Field(gt=0, le=10, description="Learning rate; above 1 it gets noisy")] = 0.1,
        seconds: Annotated[float, Field(ge=0, le=3600, description="How long the whole run takes")] = 5.0,
    ) -> Trained:
        noise = random.Random(f"{epochs} {lr}")  # noqa: S311 - the same run twice looks the same
        history: list[float] = []
        loss, accuracy = 2.3, 0.1
        await task.update(message="loading data", progress=0.0, variables={"epoch": 0, "lr": lr})
        for epoch in range(1, epochs + 1):
            await asyncio.sleep(seconds / epochs)
            speed = 3.5 * min(1.0, lr / 0.1) ** 0.5 / epochs
            jitter = noise.gauss(0, 0.01 + 0.05 * max(0.0, lr - 0.5))
            loss = max(0.02, 0.05 + (loss - 0.05) * math.exp(-speed) + jitter)
            accuracy = min(0.999, max(0.1, 1 - loss / 2.6))
            history.append(round(loss, 4))
            await task.update(
                message=f"epoch {epoch} of {epochs}: loss {loss:.3f}",
                progress=epoch / epochs,
                variables={"epoch": epoch, "loss": round(loss, 4), "accuracy": round(accuracy, 4)},
            )
        return Trained(epochs=epochs, loss=round(loss, 4), accuracy=round(accuracy, 4), history=history)

    @tasks.tool(
        support="optional",
        ttl="1h",
        poll_interval="250ms",
        title="Publish a model",
        description="Ask a person whether a model may be published, and to whom.",
    )
    async def publish(
        task: TaskContext, model: Annotated[str, Field(description="Name of the model")] = "model-1"
    ) -> Published:
        await task.update(message=f"checking {model}", progress=0.3)
        await asyncio.sleep(0.3)
        answer = await task.elicit(f"Publish {model}?", Publish)
        if answer.content is None:
            said = "declined to answer" if answer.action == "decline" else "closed the question"
            return Published(model=model, published=False, note=f"{model} stays private: the person {said}.")
        await task.update(message="answered", progress=0.9, variables=answer.content.model_dump())
        if not answer.content.publish:
            return Published(model=model, published=False, note=f"{model} stays private: the answer was no.")
        visibility = answer.content.visibility
        return Published(
            model=model,
            published=True,
            visibility=visibility,
            note=f"{model} is published for: {visibility}.",
        )

    @tasks.tool(
        support="optional",
        ttl="1h",
        poll_interval="250ms",
        title="Fail",
        description="Work for a while, then fail, to show what a failure looks like.",
    )
    async def flaky(
        task: TaskContext,
        after: Annotated[float, Field(ge=0, le=3600, description="Seconds until it fails")] = 1.0,
    ) -> str:
        await task.update(message="this will not end well", progress=0.1)
        await asyncio.sleep(after)
        raise ToolError(f"the data source went away after {after:g} s (this tool always fails; nothing to fix)")


def oscillation(frequency: float, damping: float) -> dict[str, Any]:
    """Samples of a damped oscillation starting at 1.

    Args:
        frequency: Hz.
        damping: Decay rate, 1/s.
    """
    t = [DURATION * n / (SAMPLES - 1) for n in range(SAMPLES)]
    y = [math.exp(-damping * x) * math.cos(2 * math.pi * frequency * x) for x in t]
    return {
        "t": [round(x, 4) for x in t],
        "y": [round(x, 4) for x in y],
        "frequency": frequency,
        "damping": damping,
    }


def _add_wave(apps: Apps) -> None:
    apps.add_html_resource(
        WAVE_URI,
        widget_page("pmcp_lab.demo", "wave.html"),
        name="wave",
        title="Damped oscillation",
        description="A chart with two sliders; each move calls the server.",
        prefers_border=True,
    )

    # No output schema: the text is for hosts without apps, the samples are for the chart.
    @apps.tool(
        resource_uri=WAVE_URI,
        title="Wave",
        description="Show a damped oscillation as an interactive chart.",
        annotations=_READ_ONLY,
    )
    def wave(
        frequency: Annotated[float, Field(ge=0.1, le=10, description="Oscillations per second (Hz)")] = 2.0,
        damping: Annotated[float, Field(ge=0, le=5, description="Decay per second")] = 0.3,
    ) -> CallToolResult:
        return _wave_result(frequency, damping)

    # Only for the chart: hosts must not show this one to a model.
    @apps.tool(
        resource_uri=WAVE_URI,
        visibility=["app"],
        title="Wave presets",
        description="Oscillations worth a look.",
        annotations=_READ_ONLY,
    )
    def wave_presets() -> Presets:
        return Presets(
            presets=[
                Preset(name="Tuning fork", frequency=8.0, damping=0.1),
                Preset(name="Pendulum", frequency=0.5, damping=0.15),
                Preset(name="Plucked string", frequency=4.0, damping=1.0),
                Preset(name="Shock absorber", frequency=1.2, damping=3.0),
            ]
        )


def _wave_result(frequency: float, damping: float) -> CallToolResult:
    left = math.exp(-damping * DURATION)
    line = (
        f"A {frequency:g} Hz oscillation with damping {damping:g}/s: "
        f"after {DURATION:g} s the amplitude is {left:.2f} of the first."
    )
    return CallToolResult(
        content=[TextContent(type="text", text=line)], structured_content=oscillation(frequency, damping)
    )
