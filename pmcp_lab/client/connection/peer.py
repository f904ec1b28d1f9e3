"""What is asked of a connected server, in whichever generation it speaks: calls, tasks, answers, resources."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import anyio
import mcp_types as types
from mcp.client import Client, ClientRequestContext
from mcp.shared.dispatcher import ProgressFnT
from pydantic import ConfigDict, TypeAdapter

from pmcp_lab.client.connection.accepted import ON_ACCEPTED, awaited
from pmcp_lab.client.connection.freshness import Listed, all_pages
from pmcp_lab.client.connection.refusals import REFUSALS, ROUNDS, refusal
from pmcp_lab.client.connection.streams import LISTEN, Stream, Streams
from pmcp_lab.client.connection.transports import CREATED, ON_TASK
from pmcp_lab.errors import (
    METHOD_NOT_FOUND,
    InputRequired,
    LabError,
    NotOffered,
    PeerError,
)
from pmcp_lab.protocol import TaskState, decode_result, decode_task, legacy, modern
from pmcp_lab.protocol.meta import SET_VARIABLES, TASKS_EXTENSION, VARIABLES_EXTENSION

OnProgress = Callable[[float, float | None, str | None], None]
"""Told how far a request is: progress, total, message."""
STATE_ONLY_PAUSE = 0.25
"""Seconds before a call is repeated that asked nothing and only wants to be called again."""

RAW: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])

ANSWER_TIMEOUT = 30.0
"""Seconds for an answer that should come at once."""

PING = types.Request[dict[str, Any], str](method="ping", params={})


class _TaskParams(types.RequestParams):
    model_config = ConfigDict(extra="allow")

    task_id: str


class _TaskRequest(types.Request[_TaskParams, str]):
    name_param: ClassVar[str | None] = "taskId"

    method: str
    params: _TaskParams


def _reporting(on_progress: OnProgress) -> ProgressFnT:
    async def report(progress: float, total: float | None, message: str | None) -> None:
        on_progress(progress, total, message)

    return report


class Peer:
    """The operations of one live connection. Every method runs on the connection's loop.

    Raises (all methods):
        PeerError: The server answered with a JSON-RPC error.
        ServerBusy: It wants to be left alone for a while.
        ConnectionClosed: The connection ended before the answer came.
    """

    def __init__(self, client: Client, name: str, streams: Streams) -> None:
        self._client = client
        self._name = name
        self._log_level: types.LoggingLevel | None = None
        self._streams = streams

    @property
    def version(self) -> str:
        return self._client.protocol_version

    @property
    def modern(self) -> bool:
        return self.version >= modern.VERSION

    @property
    def capabilities(self) -> types.ServerCapabilities:
        return self._client.server_capabilities

    @property
    def server_info(self) -> dict[str, Any]:
        """What the server says it is (`Implementation`); empty for one that does not say."""
        info = self._client.server_info
        return {} if info is None else info.model_dump(by_alias=True, mode="json", exclude_none=True)

    @property
    def instructions(self) -> str:
        """What it says on how it is to be used."""
        return self._client.instructions or ""

    @property
    def offers_tasks(self) -> bool:
        """Whether a `tools/call` may become a task here."""
        if self.modern:
            return TASKS_EXTENSION in (self.capabilities.extensions or {})
        if self._legacy_capability("requests.tools.call") is not None:
            return True
        return "tasks" in (self.capabilities.experimental or {})

    @property
    def offers_variables(self) -> bool:
        """Whether clients may write task variables here."""
        return VARIABLES_EXTENSION in (self.capabilities.extensions or {}) | (self.capabilities.experimental or {})

    @property
    def lists_tasks(self) -> bool:
        """Whether there is a `tasks/list`."""
        return not self.modern and self._legacy_capability("list") is not None

    def _legacy_capability(self, path: str) -> Any:
        raw: Any = self.capabilities.model_dump(by_alias=True, exclude_none=True).get("tasks")
        for part in path.split("."):
            raw = raw.get(part) if isinstance(raw, Mapping) else None
        return raw

    # --- listing and reading ---

    async def list_tools(self) -> Listed:
        return await self._pages("list_tools", "tools", self.capabilities.tools)

    async def list_resources(self) -> Listed:
        return await self._pages_if_known("list_resources", "resources", self.capabilities.resources)

    async def list_resource_templates(self) -> Listed:
        return await self._pages_if_known("list_resource_templates", "resource_templates", self.capabilities.resources)

    async def list_prompts(self) -> Listed:
        return await self._pages_if_known("list_prompts", "prompts", self.capabilities.prompts)

    async def _pages_if_known(self, verb: str, field: str, declared: Any) -> Listed:
        """A whole list; an empty one where the server does not know the request, whatever it declared."""
        try:
            return await self._pages(verb, field, declared)
        except PeerError as error:
            if error.code != METHOD_NOT_FOUND:
                raise
            return Listed()

    async def _pages(self, verb: str, field: str, declared: Any) -> Listed:
        if declared is None:
            return Listed()
        ask = getattr(self._client, verb)
        return await all_pages(
            lambda cursor: self._guard(ask(cursor=cursor)), field, hinted=self.modern, told=bool(declared.list_changed)
        )

    async def read_resource(self, uri: str) -> dict[str, Any]:
        """A resource's contents. What the server asks first is answered by the connection's callbacks."""
        first = await self.request("resources/read", {"uri": uri})
        if first.get("resultType") != "input_required":
            return first
        more = await self._inputs(first)
        # What depends on answers must not be kept.
        return await self._in_rounds("resources/read", {"uri": uri}, f"Resource {uri!r}", None, more) | {"ttlMs": 0}

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, str],
        *,
        meta: dict[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        on_task: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """A prompt's messages. What the server asks first is answered by the connection's callbacks.

        Args:
            on_task: Called with the id of the task that the prompt leads, if the server names it with its progress.
        """
        params: dict[str, Any] = {"name": name, "arguments": arguments} | ({"_meta": meta} if meta else {})
        named = ON_TASK.set(on_task)
        try:
            return await self._in_rounds("prompts/get", params, f"Prompt {name!r}", on_progress)
        finally:
            ON_TASK.reset(named)

    async def _in_rounds(
        self,
        method: str,
        params: dict[str, Any],
        what: str,
        on_progress: OnProgress | None,
        more: Mapping[str, Any] = MappingProxyType({}),
        on_awaited: Callable[[str], object] | None = None,
    ) -> dict[str, Any]:
        """A request that is made again with the answers, as long as the server asks for some (2026-07-28).

        Raises:
            InputRequired: Nobody here can answer, or it asks without end.
        """
        for _ in range(ROUNDS):
            ask = partial(self.request, method, {**params, **more}, on_progress=on_progress, on_awaited=on_awaited)
            try:
                raw = await ask()
            except PeerError as error:
                if error.code != types.HEADER_MISMATCH or not self.modern:
                    raise
                # A schema says which arguments are headers too; it was not listed, or is a new one (SEP-2243).
                await self.list_tools()
                raw = await ask()
            if raw.get("resultType") != "input_required":
                return raw
            more = await self._inputs(raw)
        raise InputRequired(f"{what} of server {self._name!r} asked {ROUNDS} times; it was given up.", "")

    async def set_log_level(self, level: types.LoggingLevel) -> None:
        """Ask for log messages of `level` and above: once on a legacy connection, with every call on a modern one."""
        if self.modern:
            self._log_level = level
        elif self.capabilities.logging is None:
            raise NotOffered(f"Server {self._name!r} takes no log level; what it sends by itself is in .log")
        else:
            await self.optional(
                "logging/setLevel",
                {"level": level},
                otherwise=f"Server {self._name!r} declares logging, but takes no level; what it sends is in .log",
            )

    async def tell_roots_changed(self) -> None:
        """Legacy only: a modern server asks for the roots whenever it wants them."""
        if not self.modern:
            await self._guard(self._client.session.send_notification(types.RootsListChangedNotification()))

    async def ping(self, timeout: float) -> None:
        """Find out whether the server answers: an idle HTTP connection does not tell that it went away.

        Args:
            timeout: Seconds.

        Raises:
            TimeoutError: It does not.
        """
        try:
            await self._guard(self._client.session.send_request(PING, RAW, request_read_timeout_seconds=timeout))
        except PeerError as error:  # also an answer; 2026-07-28 has no ping
            if error.code == types.REQUEST_TIMEOUT:
                raise TimeoutError from None

    async def request(
        self,
        method: str,
        params: dict[str, Any],
        *,
        on_progress: OnProgress | None = None,
        on_awaited: Callable[[str], object] | None = None,
    ) -> dict[str, Any]:
        """Any request, answered with the raw result."""
        request = types.Request[dict[str, Any], str](method=method, params=params)
        reporting = _reporting(on_progress) if on_progress is not None else None
        raw: dict[str, Any] = await self._guard(
            self._client.session.send_request(request, RAW, progress_callback=reporting), on_awaited
        )
        return raw

    async def optional(self, method: str, params: dict[str, Any], *, otherwise: str) -> dict[str, Any]:
        """A request that a server may not know, whatever it declared.

        Args:
            otherwise: What to say then.

        Raises:
            NotOffered: It does not know it.
        """
        try:
            return await self.request(method, params)
        except PeerError as error:
            if error.code != METHOD_NOT_FOUND:
                raise
            raise NotOffered(otherwise) from None

    # --- calling ---

    async def call_tool(
        self,
        tool: str,
        arguments: dict[str, Any],
        *,
        task: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        on_awaited: Callable[[str], object] | None = None,
    ) -> dict[str, Any] | TaskState:
        """Call a tool; the answer is its `CallToolResult` as it came, or the task that the server made of it.

        Args:
            task: Legacy only: the `task` parameter (`{"ttl": ms}` or empty) that asks for a task.
            on_awaited: Called with what is waited for, when the answer is to come on the server's own stream.

        Raises:
            InputRequired: The tool asks its user something (multi round-trip), and nobody here can answer.
        """
        if self._log_level is not None:
            meta = {types.LOG_LEVEL_META_KEY: self._log_level, **(meta or {})}
        params: dict[str, Any] = {"name": tool, "arguments": arguments}
        params |= ({} if task is None else {"task": task}) | ({"_meta": meta} if meta else {})
        raw = await self._in_rounds("tools/call", params, f"Tool {tool!r}", on_progress, on_awaited=on_awaited)
        created = (raw.get("_meta") or {}).get(CREATED, raw if raw.get("resultType") == modern.RESULT_TYPE else None)
        return raw if created is None else decode_task(created)

    async def _inputs(self, raw: dict[str, Any]) -> dict[str, Any]:
        """What a call is repeated with after an `input_required` result (2026-07-28, multi round-trip)."""
        asked = types.InputRequiredResult.model_validate(raw, by_name=False)
        responses: dict[str, Any] = {}
        for key, request in (asked.input_requests or {}).items():
            context = ClientRequestContext(session=self._client.session, request_id=key)
            said = await self._client.session.dispatch_input_request(context, request)
            if isinstance(said, types.ErrorData):
                raise InputRequired(said.message, "", code=said.code)
            responses[key] = said.model_dump(by_alias=True, mode="json", exclude_none=True)
        if not responses:
            await anyio.sleep(STATE_ONLY_PAUSE)
        again: dict[str, Any] = {"inputResponses": responses} if responses else {}
        return again if asked.request_state is None else {**again, "requestState": asked.request_state}

    # --- tasks ---

    async def get_task(self, task_id: str) -> TaskState:
        return decode_task(await self._task_request(legacy.GET, task_id, timeout=ANSWER_TIMEOUT))

    async def list_tasks(self, cursor: str | None) -> tuple[list[TaskState], str | None]:
        """Legacy only: one page of tasks, and where the next one starts."""
        request = types.Request[dict[str, Any], str](method=legacy.LIST, params={"cursor": cursor} if cursor else {})
        raw: dict[str, Any] = await self._guard(
            self._client.session.send_request(request, RAW, request_read_timeout_seconds=ANSWER_TIMEOUT)
        )
        states = []
        for task in raw.get("tasks") or ():
            with suppress(LabError):  # one that can't be read is asked for by itself
                states.append(decode_task(task))
        following = raw.get("nextCursor")
        return states, following if isinstance(following, str) and following else None

    async def listen(self, task_ids: Collection[str]) -> Stream:
        """Modern only: have the server tell of these tasks."""
        stream = await self._listen({"taskIds": list(task_ids)})
        if not isinstance(stream.acknowledged.result().get("taskIds"), list):
            stream.close()
            raise PeerError("the server does not tell of tasks on its streams", code=METHOD_NOT_FOUND)
        return stream

    async def listen_to_resources(self, uris: Collection[str]) -> Stream:
        """Modern only: have the server tell of changes of these resources, and of its list."""
        return await self._listen({"resourceSubscriptions": sorted(uris), "resourcesListChanged": True})

    async def listen_to_lists(self) -> Stream | None:
        """Have the server tell when its lists change; None where it does so unasked, or never does."""
        declared = self.capabilities
        lists = {"tools": declared.tools, "resources": declared.resources, "prompts": declared.prompts}
        wanted = {f"{name}ListChanged": True for name, each in lists.items() if each is not None and each.list_changed}
        return await self._listen(wanted) if wanted and self.modern else None

    async def _listen(self, notifications: dict[str, Any]) -> Stream:
        return await self._streams.open(lambda: self.request(LISTEN, {"notifications": notifications}))

    async def task_result(self, task_id: str) -> dict[str, Any]:
        """Legacy only: waits until the task ends and returns its result; questions arrive while it waits."""
        return decode_result(await self._task_request(legacy.RESULT, task_id))

    async def set_variables(self, task_id: str, variables: dict[str, Any]) -> TaskState:
        """Write variables of a task (extension `run.pmcp/task-variables`).

        Raises:
            NotOffered: The server has no such extension.
        """
        if not self.offers_variables:
            raise NotOffered(
                f"Server {self._name!r} lets nobody but its own tools write task variables "
                f"(it does not offer {VARIABLES_EXTENSION})."
            )
        return decode_task(await self._task_request(SET_VARIABLES, task_id, variables=variables))

    async def cancel_task(self, task_id: str, **more: Any) -> None:
        """Args: more: `result`, with which PMCP's servers and ours end a workflow as completed."""
        await self._task_request(legacy.CANCEL, task_id, **more)

    async def answer(self, task_id: str, responses: dict[str, dict[str, Any]]) -> None:
        """Modern only: answer open questions by key."""
        await self._task_request(modern.UPDATE, task_id, inputResponses=responses)

    async def _task_request(
        self, method: str, task_id: str, *, timeout: float | None = None, **more: Any
    ) -> dict[str, Any]:
        request = _TaskRequest(method=method, params=_TaskParams(task_id=task_id, **more))
        raw: dict[str, Any] = await self._guard(
            self._client.session.send_request(request, RAW, request_read_timeout_seconds=timeout)
        )
        return raw

    async def _guard(self, awaitable: Any, on_awaited: Callable[[str], object] | None = None) -> Any:
        accepted: list[str] = []

        def on_accepted(method: str) -> None:
            accepted.append(awaited(self._name, method))
            if on_awaited is not None:
                on_awaited(accepted[-1])

        ON_ACCEPTED.set(on_accepted)
        try:
            return await awaitable
        except REFUSALS as error:
            raise refusal(error, self._name, accepted[-1] if accepted else None) from None
