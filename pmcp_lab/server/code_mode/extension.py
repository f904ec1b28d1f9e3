"""`CodeMode`: what puts it on a server. One tool, which takes a program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args

from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import Tool, ToolAnnotations
from pydantic import BaseModel, Field

from pmcp_lab.errors import LabError, MissingExtra
from pmcp_lab.protocol.workflow_wire import read_result
from pmcp_lab.server.callers import ACTING_FOR
from pmcp_lab.server.code_mode.functions import ToolFunction, functions_of
from pmcp_lab.server.code_mode.limits import CodeLimits
from pmcp_lab.server.extension import Tasks
from pmcp_lab.server.tool import CURRENT_TASK
from pmcp_lab.tasks import LOCAL, Owner, TaskContext
from pmcp_lab.tasks.stored_context import StoredContext

if TYPE_CHECKING:
    from pmcp_lab.server.code_mode.program import CallTool

Approve = Literal["writes", "always", "never"]
"""Which programs a person has to agree to before they run.

* "writes": those that call a tool which is not annotated with `readOnlyHint`.
* "always": all.
* "never": none, where whoever hands one in may do all of it anyway.
"""

_DESCRIPTION = """\
Run a Python program that calls tools of this server, in a sandbox without files, network or imports of its own.

Tools are functions that take their arguments by name and give their value; a tool that fails raises an exception. \
Either call them plainly, or await every call: then `asyncio.gather` runs calls side by side. The value of the last \
expression is the result. The program can call:

"""


class ProgramResult(BaseModel):
    """What comes of a program."""

    result: Any = Field(description="The value of its last expression.")
    printed: str = Field(description="What it printed.")
    calls: int = Field(description="How many calls of tools it made.")


class CodeMode:
    """Lets clients of an MCP server hand in programs that call its tools, each as one durable task.

    ```python
    tasks = Tasks("sqlite:///tasks.db")
    server = MCPServer("lab", extensions=[tasks], middleware=[tasks], lifespan=tasks.lifespan)
    ...
    code = CodeMode(tasks, ["forecast", "book"])
    code.attach(server)
    ```

    A program is looked at before anything of it runs: it may name these tools, with arguments that they have, and
    nothing else. It runs in `pydantic-monty`'s sandbox, a process of its own (extra `code`). Where it waits for a call
    it is written into its task, so that a server which is killed in the middle goes on there: no call whose outcome was
    written is made again. A call that nobody saw the end of is made again if its tool is annotated with `readOnlyHint`
    or `idempotentHint`; about any other a person is asked what became of it.

    Tools are called by requests that the server makes of itself, in the name of the task's owner and without a
    client's credentials. They can't ask anything there, and what runs only as a task can't be called.

    Args:
        tasks: What makes their tasks.
        tools: Names of the tools that programs may call.
        name: Of the tool that takes programs.
        approve: Which programs a person has to agree to; see `Approve`.
        options: As for `Tasks.tool`: support, ttl, concurrency, title, description and so on.

    Raises:
        MissingExtra: The sandbox is not installed.
        ValueError: An argument can't be used.
    """

    def __init__(
        self,
        tasks: Tasks,
        tools: Iterable[str],
        *,
        name: str = "run_code",
        approve: Approve = "writes",
        limits: CodeLimits | None = None,
        **options: Any,
    ) -> None:
        if find_spec("pydantic_monty") is None:
            raise MissingExtra("code mode", "code")
        if approve not in get_args(Approve):
            raise ValueError(f"approve is one of {', '.join(get_args(Approve))}, not {approve!r}")
        if isinstance(tools, str):
            raise ValueError(f"tools are names: [{tools!r}]")
        self._tasks = tasks
        self._names = tuple(dict.fromkeys(tools))
        self._name = name
        self._approve = approve
        self._limits = limits or CodeLimits()
        self._options = options
        self._server: MCPServer[Any] | None = None

    def attach(self, server: MCPServer[Any]) -> MCPServer[Any]:
        """Add the tool that takes programs to this server, whose tools have been declared.

        Raises:
            LabError: It is attached already, or programs can't call one of the tools.
        """
        if self._server is not None:
            raise LabError("this code mode is on a server already; make another one for another server")
        self._tasks.attach(server)
        # A plain function, whether or not an event loop runs in this thread.
        with ThreadPoolExecutor(1) as thread:
            listed = thread.submit(asyncio.run, server.list_tools()).result()
        functions = self._functions(listed)
        described = "\n".join(f"{one.signature}: {one.summary} ({one.effect})" for one in functions.values())
        options = {
            "name": self._name,
            "title": "Run a program",
            "description": _DESCRIPTION + described,
            "annotations": _hints(functions.values()),
            **self._options,
        }

        @self._tasks.tool(on_lost="retry", **options)
        async def run_code(code: str, task: TaskContext) -> ProgramResult:
            return await self._run(code, task)

        self._server = server
        return server

    def _functions(self, listed: Iterable[Tool]) -> dict[str, ToolFunction]:
        """What programs may call, as the server has it now.

        Raises:
            LabError: There is no such tool, or programs can't call it.
        """
        tools = {tool.name: tool for tool in listed}
        for name in self._names:
            if name not in tools:
                raise LabError(f"code mode is to offer tool {name!r}, which this server does not have")
            if name == self._name or self._tasks.support_of(name) == "required":
                raise LabError(f"programs can't call tool {name!r}: it runs only as a task")
        return functions_of(tools[name] for name in self._names)

    # --- one program ---

    async def _run(self, source: str, task: TaskContext) -> ProgramResult:
        from pmcp_lab.server.code_mode.asking import ask_approval
        from pmcp_lab.server.code_mode.checking import check
        from pmcp_lab.server.code_mode.program import Program

        assert self._server is not None
        checked = check(source, self._functions(await self._server.list_tools()), self._limits.source)
        writes = any(not function.reads for function in checked.functions.values())
        if self._approve == "always" or (self._approve == "writes" and writes):
            await ask_approval(task, checked)
        owner = task.owner if isinstance(task, StoredContext) else LOCAL
        async with _calls(self._tasks, self._server, owner) as call_tool:
            try:
                program = Program(checked, task, call_tool, self._limits)
                ended: ProgramResult | LabError = ProgramResult(
                    result=await program.run(), printed=program.printed, calls=program.made
                )
            except LabError as error:
                # The client's task group would make a group of it.
                ended = error
        if isinstance(ended, LabError):
            raise ended
        return ended


@asynccontextmanager
async def _calls(tasks: Tasks, server: MCPServer[Any], owner: Owner) -> AsyncIterator[CallTool]:
    """What calls the server's tools, as requests of its own that pass through all of it."""
    from mcp import Client

    from pmcp_lab.server.code_mode.program import ToolFailed

    acting, task = ACTING_FOR.set(owner), CURRENT_TASK.set(None)
    try:
        async with AsyncExitStack() as stack:
            stack.enter_context(tasks.kept_open())
            client = await stack.enter_async_context(Client(server))

            async def call(tool: str, arguments: Mapping[str, Any]) -> Any:
                try:
                    result = await client.call_tool(tool, dict(arguments))
                except MCPError as error:
                    raise ToolFailed(error.message) from error
                found = read_result(result.model_dump(by_alias=True, mode="json", exclude_none=True))
                if found.is_error:
                    raise ToolFailed(found.text or "it failed without a word")
                return found.value

            yield call
    finally:
        ACTING_FOR.reset(acting)
        CURRENT_TASK.reset(task)


def _hints(functions: Iterable[ToolFunction]) -> ToolAnnotations:
    """Of the tool that takes programs: what they can do, all of them together."""
    found = tuple(functions)
    return ToolAnnotations(
        read_only_hint=all(one.reads for one in found), destructive_hint=any(one.destroys for one in found)
    )
