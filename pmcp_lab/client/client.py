"""The MCP client of one server, on the background loop: its connection, and all who attend it.

`Server` is what a cell holds of it; the rooms above (`host`, `notebook`, `preview`) use this where nothing may block.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from pmcp_lab.client import views
from pmcp_lab.client.catalogue import Tool
from pmcp_lab.client.connection import (
    ClientFeatures,
    Connection,
    ListChanges,
    OnProgress,
    Peer,
    ResourceChanges,
    Roots,
    ServerLog,
)
from pmcp_lab.client.listings import Listings
from pmcp_lab.client.questions import Elicitations, Sampling, SamplingCallback
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.targets import Target
from pmcp_lab.client.tasks import Call, Caller, Follower, Task, TaskList, TaskSets
from pmcp_lab.errors import LabError
from pmcp_lab.protocol.ui import UI_EXTENSION, AppGrants

T = TypeVar("T")


class Holds(Protocol):
    """What a cell holds of a client: a `Server`, a `WorkflowRun`."""

    _client: Client


class Client:
    """One client (MCP "Architecture"): a connection, what the server offers, the calls that are made, what is asked.

    Methods that are coroutines run on the connection's loop; the others from any thread.

    Attributes:
        listings: Its tools, resources, prompts and skills, as they were listed.
        tasks: Every task started here, or attached to.
        sets: Its sweeps.
        list_changes, resource_changes: Who wants to hear that something it offers changed.
        elicitations, sampling: Who answers what it asks.
        app_grants: What its apps have without asking.
        app_elicitation: Whether this end lets them ask its questions (SEP-3118, a draft).
    """

    def __init__(
        self, connection: Connection, on_sampling: SamplingCallback | None = None, *, app_elicitation: bool = False
    ) -> None:
        self.connection = connection
        self.elicitations = Elicitations()
        self.sampling = Sampling(on_sampling)
        self.roots = Roots()
        self.log = ServerLog()
        self.list_changes = ListChanges()
        self.resource_changes = ResourceChanges()
        self.listings = Listings(connection)
        self.app_grants = AppGrants()
        self.app_elicitation = app_elicitation
        self._follower = Follower(connection, self.elicitations, self.sampling)
        self._caller = Caller(connection, self._follower, self.elicitations, self.sampling)
        self.tasks = TaskList(self, connection, self._follower)
        self.sets = TaskSets(self, connection.target)
        self.list_changes.forget = self.listings.forget
        self.resource_changes.outdated = self.listings.forget_contents
        connection.start(
            attendants=(self.list_changes, self.resource_changes, self._follower, self._caller),
            features=ClientFeatures(
                elicitation=self._caller.on_elicitation,
                sampling=self._caller.on_sampling if self.sampling.declared else None,
                roots=self.roots.answer,
                logging=self.log.take,
                app_elicitation=app_elicitation,
            ),
        )

    @property
    def name(self) -> str:
        return self.connection.name

    @property
    def closed(self) -> bool:
        """Whether it was closed, or lost for good."""
        return self.connection.status == "closed"

    @property
    def target(self) -> Target:
        return self.connection.target

    @property
    def renders_questions(self) -> bool:
        """Whether both ends agreed that its apps may ask its questions."""
        if not self.app_elicitation or not self.connection.open:
            return False
        said = self.connection.peer.capabilities
        offered = ((said.extensions or {}) | (said.experimental or {})).get(UI_EXTENSION)
        return isinstance(offered, Mapping) and isinstance(offered.get("elicitation"), Mapping)

    async def ask(self, request: Callable[[Peer], Awaitable[T]], *, again: bool = False) -> T:
        """See `Connection.ask`."""
        return await self.connection.ask(request, again=again)

    def tool(self, name: str) -> Tool:
        """One tool; the list is refreshed once if the name is new.

        Raises:
            UnknownTool: Offers the nearest names.
        """
        known = self.listings.known_tools
        if known is None or name not in known:
            self.connection.wait()
            known = runtime().run(self.listings.tools_with(name))
        return known[name]

    # --- calls ---

    def plan(self, tool: Tool, arguments: Mapping[str, Any], *, as_task: bool | None, queued: bool = False) -> Call:
        """A call that is yet to be made, by `start`. Waits for the first handshake.

        Args:
            as_task: None for a plain call, whose questions somebody must be there to answer.
        """
        call = Call(self, tool.name, arguments, queued=queued)
        call.check_result = tool.check_result
        call.attended = as_task is not None or views.attended()
        peer = self.connection.wait()
        # A modern server decides, if it has tasks. A legacy one is asked for a task where a tool can be one, and for a
        # plain call where it must.
        fitting = ("optional", "required") if as_task else ("required",)
        call.local = not (peer.offers_tasks and (peer.modern or tool.task_support in fitting))
        return call

    async def start(self, call: Call, *, ttl: int | None = None) -> None:
        """Make a planned call; returns when it is answered, by a task or a result.

        Args:
            ttl: Milliseconds to ask for.
        """
        await self._caller.start(call, ttl=ttl)

    def again(self, call: Call) -> Task:
        """Make a call once more, as another task. Waits for the tool's description.

        Raises:
            LabError: What it was called with is not known, or its tool is there no more.
        """
        if call.attached or not call.tool:
            raise LabError(f"{call.where} was started elsewhere: what it was called with is not known here")
        new = self.plan(self.tool(call.tool), call.arguments, as_task=True)
        new.instead_of = call.number
        task = Task(new)
        self.tasks.add(task)
        runtime().start(self.start(new, ttl=call.state.ttl if call.state is not None else None))
        return task

    async def pass_on(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        meta: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        attend: Callable[[Task], object] | None = None,
    ) -> dict[str, Any]:
        """Call a tool on behalf of an app, and return the `CallToolResult` as it came, whole.

        What becomes a task is in `tasks`.

        Args:
            meta: `_meta` of the call, but for what is the connection's to set.
            attend: Given the handle of the call before it is made, to put its questions to a person.

        Raises:
            InputRequired: The tool asks its user something, and there is nobody to answer.
            PeerError, ConnectionClosed: As for every request.
        """
        call = Call(self, tool, arguments)
        call.meta = meta or {}
        call.attended = attend is not None
        task = Task(call)
        if attend is not None:
            attend(task)
        known = self.listings.known_tools
        # A 2025-11-25 server takes some tools only as tasks.
        modern = (await self.connection.live()).modern
        required = known is not None and tool in known and known[tool].task_support == "required"
        return await self._caller.pass_on(
            call, as_task=required and not modern, on_progress=on_progress, became_task=lambda: self.tasks.add(task)
        )

    async def relay(
        self, tool: str, method: str, params: Mapping[str, Any], *, attend: Callable[[Task], object]
    ) -> dict[str, Any]:
        """See `Caller.relay`.

        Args:
            attend: Given the handle of the call, to put its questions to a person.
        """
        call = Call(self, tool, {})
        attend(Task(call))
        return await self._caller.relay(call, method, params)

    def prefer(self, task_ids: list[str]) -> None:
        """These tasks are looked at: they are asked for first, until the next call. On the loop."""
        self._follower.poller.prefer(task_ids)

    # --- what its calls ask for (`tasks.Origin`) ---

    async def cancel(self, call: Call) -> None:
        await self._follower.cancel(call)

    async def answer(self, call: Call, key: str, response: dict[str, Any]) -> None:
        await self._follower.answer(call, key, response)

    async def set_variables(self, call: Call, variables: Mapping[str, Any]) -> None:
        await self._follower.set_variables(call, variables)

    async def refresh(self, call: Call) -> None:
        """Ask for the present state of a call's task, whenever it would be its turn."""
        await self._follower.refresh(call)

    # --- its end ---

    async def close(self) -> None:
        """See `Connection.close`."""
        await self.connection.close()


def client_of(held: Holds) -> Client:
    """The client behind what a cell holds, for the rooms above; a cell has no use for it."""
    return held._client  # noqa: SLF001 - its door
