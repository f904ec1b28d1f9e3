"""A server with workflows, and a client that follows them by the wire alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolRequest, CallToolRequestParams, ElicitResult

from pmcp_lab.protocol import workflow_wire
from pmcp_lab.protocol.workflow_wire import Action, WorkflowState
from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL, TaskRecord
from pmcp_lab.workflow import SequentialWorkflow, Workflows, from_step, prompt_arg, template
from tests.unit.jsonrpc import Body, TaskRequest, TasksClient

MODES = ["legacy", "2026-07-28"]


class Flow:
    """`tools` are plain functions; `resources` functions by URI."""

    def __init__(
        self,
        workflows: SequentialWorkflow | Iterable[SequentialWorkflow],
        *tools: Callable[..., Any],
        store: Any = "memory://",
        resources: dict[str, Callable[..., Any]] | None = None,
        middleware: Iterable[Any] = (),
        tasks: Tasks | None = None,
    ) -> None:
        self.tasks = tasks or Tasks(store, lease=0.5)
        self.server: MCPServer[Any] = MCPServer(
            "flow", extensions=[self.tasks], middleware=[self.tasks, *middleware], log_level="CRITICAL"
        )
        for tool in tools:
            self.server.tool()(tool)
        for uri, read in (resources or {}).items():
            self.server.resource(uri)(read)
        listed = [workflows] if isinstance(workflows, SequentialWorkflow) else list(workflows)
        self.workflows = Workflows(listed, self.tasks)
        self.workflows.attach(self.server)
        self.name = listed[0].name

    async def record(self, state: WorkflowState) -> TaskRecord:
        return await self.tasks.store.get(LOCAL, state.task_id)

    @asynccontextmanager
    async def visitor(self, mode: str = "2026-07-28", **options: Any) -> AsyncIterator[Visitor]:
        async with Client(self.server, mode=mode, extensions=[TasksClient()], **options) as client:
            yield Visitor(client, self.name)


class Visitor:
    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.texts: list[str] = []
        self.progress: list[tuple[float, float | None, str | None]] = []
        """What its notifications of progress said."""

    async def get(
        self, arguments: dict[str, str] | None = None, *, task: str | None = None, action: Action | None = None
    ) -> WorkflowState:
        """The prompt: begins a workflow, or resumes one."""
        meta: Any = {} if task is None else workflow_wire.continuation_meta(task)
        if task is not None and action is not None:
            meta = workflow_wire.action_meta(task, action)
        meta["progress_token"] = "p"
        result = await self.client.get_prompt(self.name, arguments or {}, meta=meta)
        self.texts = [message.content.text for message in result.messages]
        state = workflow_wire.read_prompt(plain(result))
        assert state is not None
        return state

    async def call(
        self, tool: str, arguments: dict[str, Any] | None = None, *, task: str, step: str | None = None
    ) -> WorkflowState:
        """A continuation by a tool call."""
        meta: Any = workflow_wire.continuation_meta(task, step)
        result = await self.client.call_tool(tool, arguments or {}, meta=meta, progress_callback=self._tell)
        state = workflow_wire.read_call(plain(result))
        assert state is not None
        return state

    async def _tell(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append((progress, total, message))

    async def read(self, uri: str, *, task: str) -> WorkflowState:
        result = await self.client.read_resource(uri, meta=workflow_wire.continuation_meta(task))  # type: ignore[arg-type]
        state = workflow_wire.read_call(plain(result))
        assert state is not None
        return state

    async def raw_call(self, tool: str, arguments: dict[str, Any], **params: Any) -> None:
        """A `tools/call` with whatever its parameters can be, as a task for example."""
        request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments, **params))
        await self.client.session.send_request(request, Body)

    async def about(self, method: str, task: str, **params: Any) -> dict[str, Any]:
        request = TaskRequest(method=method, params={"taskId": task, **params})
        return plain(await self.client.session.send_request(request, Body))  # type: ignore[arg-type]

    async def task(self, task: str) -> dict[str, Any]:
        return await self.about("tasks/get", task)


async def over(visitor: Visitor, task: str) -> WorkflowState:
    """The workflow once it has ended."""
    with anyio.fail_after(10):
        while True:
            raw = await visitor.task(task)
            state = workflow_wire.read_task(task, raw["status"], raw["_meta"])
            if state is not None and state.status in ("completed", "failed", "cancelled"):
                return state
            await anyio.sleep(0.005)


async def accepts(context: Any, params: Any) -> ElicitResult:
    """Says yes to every question."""
    return ElicitResult(action="accept", content={"ok": True})


def plain(result: Any) -> dict[str, Any]:
    return result.model_dump(by_alias=True, mode="json", exclude_none=True)


def statuses(state: WorkflowState) -> list[str]:
    return [step.status.value for step in state.steps]


class Shop:
    """Tools that count their calls, and do what a test tells them."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.broken: dict[str, int] = {}
        """How often a tool fails yet."""

    def _do(self, name: str) -> None:
        self.ran.append(name)
        if self.broken.get(name, 0) > 0:
            self.broken[name] -= 1
            raise ToolError(f"{name} is broken")

    def build(self, version: str) -> dict[str, Any]:
        self._do("build")
        return {"file": {"path": f"{version}.zip"}, "size": 3}

    def upload(self, file: str, bucket: str) -> str:
        """Put a file into a bucket."""
        self._do("upload")
        return f"{bucket}/{file}"

    def announce(self, text: str) -> None:
        self._do("announce")

    @property
    def tools(self) -> tuple[Any, ...]:
        return self.build, self.upload, self.announce


def release(**upload: Any) -> SequentialWorkflow:
    """Builds, uploads, announces; `upload` is more about the second step."""
    upload.setdefault("arguments", {"file": from_step("artifact", "file.path"), "bucket": "b"})
    return (
        SequentialWorkflow("release", "Build a version and publish it")
        .argument("version", "What to release")
        .step("build", "build", {"version": prompt_arg("version")}, bind="artifact")
        .step("upload", "upload", **upload)
        .step("announce", "announce", {"text": template("{version} is out")})
    )


async def until(visitor: Visitor, task: str, kind: str) -> workflow_wire.WorkflowState:
    """Once the task pauses for this reason."""
    with anyio.fail_after(5):
        while True:
            raw = await visitor.task(task)
            state = workflow_wire.read_task(task, raw["status"], raw["_meta"])
            if state is not None and (state.status == kind or (state.pause and state.pause.kind == kind)):
                return state
            await anyio.sleep(0.005)
