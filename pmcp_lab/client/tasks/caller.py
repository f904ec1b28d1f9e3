"""Makes the calls of one connection: each in the same way, whoever wants it, a cell, a task, an app or a workflow.

A call waits while the connection is made again, and is sent again only where that does no harm. What the server asks
within it is asked on its behalf. One that becomes a task is followed. Recorders are told of its end (`on_call`).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import mcp_types as types
from mcp.client import ClientRequestContext

from pmcp_lab.client.connection import ROUNDS, Attendant, Connection, Hears, OnProgress, Overheard, Peer
from pmcp_lab.client.questions import SAMPLING_HOW, SAMPLING_REFUSED, Elicitations, Sampling, read_question
from pmcp_lab.client.runtime import seen
from pmcp_lab.client.tasks.call import Call
from pmcp_lab.client.tasks.follower import Follower
from pmcp_lab.errors import METHOD_NOT_FOUND, InputRequired, InvalidResult, LabError, PeerError, ToolError
from pmcp_lab.protocol import TaskState, TaskStatus
from pmcp_lab.protocol.meta import RELATED_TASK

T = TypeVar("T")

calling: ContextVar[Call | None] = ContextVar("calling", default=None)
"""Whose request this is, for what is asked within it (`input_required` results, 2026-07-28)."""

Ending = Mapping[str, Any] | BaseException
"""The raw `CallToolResult`, or what a call ended with instead."""
Listener = Callable[[Call, Ending, float], object]
"""Gets a call, what it ended with, and the milliseconds it took."""

_listeners: list[Listener] = []


def on_call(listener: Listener) -> Callable[[], None]:
    """Call `listener(call, ending, ms)` at the end of every call that is made from now on; returns how to stop that."""
    _listeners.append(listener)

    def stop() -> None:
        if listener in _listeners:
            _listeners.remove(listener)

    return stop


def _begun(call: Call) -> Callable[[Ending], None]:
    """A call is made now; returns how to say that it ended."""
    began = time.perf_counter()

    def ended(ending: Ending) -> None:
        for listener in tuple(_listeners):
            listener(call, ending, (time.perf_counter() - began) * 1000)

    return ended


class Caller(Attendant):
    """Makes calls. Lives on the connection's loop, as all its methods do.

    Args:
        elicitations, sampling: Who answers what is asked within a call.
    """

    def __init__(
        self, connection: Connection, follower: Follower, elicitations: Elicitations, sampling: Sampling
    ) -> None:
        self._connection = connection
        self._follower = follower
        self._elicitations = elicitations
        self._sampling = sampling
        self._numbers = itertools.count(1)

    async def start(self, call: Call, *, ttl: int | None) -> None:
        """Make a call for its handle; returns when it is answered, by a task or a result.

        Args:
            ttl: Milliseconds to ask for (legacy; a modern server decides alone).
        """
        if call.done():
            return  # cancelled before it was its turn on the loop
        call.making = asyncio.current_task()
        ended = _begun(call)
        call.add_done_callback(lambda call: ended(_ending(call)))
        try:
            await self._start(call, ttl)
        except Exception as error:  # the SDK's, about a result that is none
            call.fail(PeerError(f"{call.server}.{call.tool} sent a result that can't be used: {error}"))

    async def _start(self, call: Call, ttl: int | None) -> None:
        self._follower.follow(call)
        if self._connection.stderr is not None:
            call.overheard = Overheard(lambda: self._connection.stderr)
        call.touch()
        calling.set(call)
        try:
            answer = await self._for_handle(call, ttl)
        except LabError as error:
            if SAMPLING_REFUSED in error.message:
                error = InputRequired(f"{call.server}.{call.tool} asks for a completion; {SAMPLING_HOW}", "")
            call.fail(error)
            return
        except asyncio.CancelledError:
            call.cancelled()
            raise
        if not isinstance(answer, TaskState):
            call.local = True
            try:
                call.check_result(answer)
            except InvalidResult as error:
                call.fail(error)
            else:
                call.finish(answer)
            return
        call.local = False
        self._follower.adopt(call, answer)

    async def _for_handle(self, call: Call, ttl: int | None) -> dict[str, Any] | TaskState:
        def request(peer: Peer) -> Awaitable[dict[str, Any] | TaskState]:
            legacy_task = not call.local and not peer.modern
            return peer.call_tool(
                call.tool,
                call.arguments,
                task=({} if ttl is None else {"ttl": ttl}) if legacy_task else None,
                # After a legacy task is created, only a token of our own still finds its way to us.
                meta={**call.meta, "progressToken": call.token} if legacy_task else dict(call.meta) or None,
                on_progress=None if legacy_task else call.observe_progress,
                on_awaited=call.await_answer,
            )

        return await self._settled(call, lambda: self._connection.ask(request))

    async def pass_on(
        self,
        call: Call,
        *,
        as_task: bool,
        on_progress: OnProgress | None = None,
        became_task: Callable[[], object],
    ) -> dict[str, Any]:
        """Make a call for an app: the `CallToolResult` as it came, whole.

        Args:
            as_task: Whether a 2025-11-25 server is asked for a task.
            became_task: Called when it is a task, before that is waited for.

        Raises:
            InputRequired: The tool asks its user something, and there is nobody to answer.
            PeerError, ConnectionClosed: As for every request.
        """
        ended = _begun(call)
        try:
            raw = await self._passed_on(call, as_task, on_progress, became_task)
        except LabError as error:
            ended(error)
            raise
        ended(raw)
        return raw

    async def _passed_on(
        self, call: Call, as_task: bool, on_progress: OnProgress | None, became_task: Callable[[], object]
    ) -> dict[str, Any]:
        def request(peer: Peer) -> Awaitable[dict[str, Any] | TaskState]:
            return peer.call_tool(
                call.tool,
                call.arguments,
                task={} if as_task else None,
                meta=dict(call.meta) or None,
                on_progress=on_progress,
            )

        def ask() -> Awaitable[dict[str, Any] | TaskState]:
            return self._connection.ask(request)

        with self._asking(call):
            answer = await (self._settled(call, ask) if call.attended else ask())
        if not isinstance(answer, TaskState):
            return answer
        became_task()
        self._follower.adopt(call, answer)
        result = asyncio.wrap_future(call.result)
        result.add_done_callback(seen)
        try:
            # Who gives up waiting must not end the result of a task that others look at.
            return (await asyncio.shield(result)).raw
        except ToolError as error:
            return error.result
        except asyncio.CancelledError:
            asyncio.get_running_loop().create_task(_quietly(self._follower.cancel(call)))
            raise

    async def relay(self, call: Call, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Answer what the server asked a page within a call that the page made itself.

        Args:
            method: "elicitation/create", "sampling/createMessage", or "settle" for the URLs that it was refused over.

        Raises:
            LabError: It is refused.
        """
        with self._asking(call):
            match method:
                case "elicitation/create":
                    said: list[dict[str, Any]] = []

                    async def keep(response: dict[str, Any]) -> None:
                        said.append(response)

                    question = read_question("question", params, server=call.server, tool=call.tool)
                    await self._elicitations.ask(call, question, keep)
                    return said[0] if said else {"action": "cancel"}
                case "sampling/createMessage":
                    answer = await self._sampling.sample(params)
                    if isinstance(answer, types.ErrorData):
                        raise LabError(answer.message, code=answer.code)
                    return answer
                case "settle":
                    required = params.get("elicitations")
                    urls = [each for each in required if isinstance(each, dict)] if isinstance(required, list) else []
                    return {"again": await self._elicitations.settle(call, urls)}
        raise LabError(f"this host does not offer {method}", code=METHOD_NOT_FOUND)

    @contextmanager
    def _asking(self, call: Call) -> Iterator[None]:
        """What the server asks within is asked for this call, and withdrawn at its end unless it became a task."""
        self._follower.follow(call)
        before = calling.set(call)
        try:
            yield
        finally:
            calling.reset(before)
            if call.id is None:
                self._follower.leave(call)
                self._elicitations.withdraw(call, keep=())

    async def _settled(self, call: Call, request: Callable[[], Awaitable[T]]) -> T:
        """Make a request; again when it was refused over a URL where the person has been meanwhile."""
        for left in itertools.count(ROUNDS - 1, -1):
            try:
                return await request()
            except PeerError as error:
                if left <= 0 or not await self._settle(call, error):
                    raise
        raise AssertionError("the loop has no end of its own")

    async def _settle(self, call: Call, refusal: PeerError) -> bool:
        """Whether a call can be repeated that was refused until the person has been at some URL."""
        required = refusal.data.get("elicitations") if isinstance(refusal.data, dict) else None
        if refusal.code != types.URL_ELICITATION_REQUIRED or not isinstance(required, list):
            return False
        return await self._elicitations.settle(call, [each for each in required if isinstance(each, dict)])

    # --- what the server sends, and asks, within calls ---

    def hears(self) -> Hears:
        return {types.ProgressNotification: self._on_progress}

    def _on_progress(self, message: types.ProgressNotification) -> None:
        params = message.params
        call = self._follower.by_token(str(params.progress_token))
        if call is not None:
            call.observe_progress(params.progress, params.total, params.message)

    async def on_elicitation(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        """Answer `elicitation/create`."""
        key = f"question-{next(self._numbers)}"
        answers: list[dict[str, Any]] = []

        async def deliver(response: dict[str, Any]) -> None:
            answers.append(response)

        inside = calling.get()
        raw = params.model_dump(by_alias=True, mode="json", exclude_none=True)
        while (call := inside or self._asked_by(context)) is not None and not call.done():
            question = read_question(key, raw, server=call.server, tool=call.tool)
            try:
                await self._elicitations.ask(call, question, deliver)
            except InputRequired as error:
                if not self._connection.peer.modern:
                    break  # the tool is told that nobody answers, and goes on
                call.fail(error)
                return types.ErrorData(code=error.code, message=error.message)
            if answers:
                return types.ElicitResult(**answers[0])
            # The task it was shown at has ended; where several calls are under way it may have been another's.
        return types.ElicitResult(action="cancel")

    async def on_sampling(
        self,
        context: ClientRequestContext,  # noqa: ARG002 - the SDK calls it by name
        params: types.CreateMessageRequestParams,
    ) -> types.CreateMessageResult | types.ErrorData:
        """Answer `sampling/createMessage`."""
        said = await self._sampling.sample(params.model_dump(by_alias=True, mode="json", exclude_none=True))
        return said if isinstance(said, types.ErrorData) else types.CreateMessageResult.model_validate(said)

    def _asked_by(self, context: ClientRequestContext) -> Call | None:
        """The call a request belongs to: the one it names, the only one that waits for input, or the latest."""
        related = (context.meta or {}).get(RELATED_TASK)
        if isinstance(related, Mapping):
            return self._follower.by_id(str(related.get("taskId")))
        under_way = list(self._follower)
        waiting = [call for call in under_way if call.reported is TaskStatus.INPUT_REQUIRED]
        if len(waiting) == 1:
            return waiting[0]
        unnamed = [call for call in under_way if call.id is None and not call.done()]
        return max(unnamed, key=lambda call: call.number, default=None)


def _ending(call: Call) -> Ending:
    """What a call that is over ended with."""
    outcome = call.outcome
    return outcome.raw if outcome is not None else call.failure or RuntimeError("it has not ended")


async def _quietly(work: Awaitable[object]) -> None:
    """Of a call that nobody waits for any more it matters little whether it could be cancelled."""
    try:
        await work
    except LabError:
        return
