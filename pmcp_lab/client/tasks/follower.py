"""The calls of one connection that became tasks: watched, asked, answered and ended in either generation."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterator, Mapping
from contextlib import nullcontext, suppress
from typing import Any

import mcp_types as types

from pmcp_lab.client.connection import Attendant, Connection, Hears, Peer, Stream
from pmcp_lab.client.questions import SAMPLING_HOW, Elicitations, Sampling, read_question
from pmcp_lab.client.tasks.call import Call
from pmcp_lab.client.tasks.poller import DEFAULT, IN_FLIGHT, Listed, Poller, interval
from pmcp_lab.errors import ConnectionClosed, InputRequired, LabError, PeerError, ServerBusy
from pmcp_lab.protocol import TaskState, TaskStatus


class Follower(Attendant):
    """Keeps calls true to what the server says of their tasks. Lives on the connection's loop, as all its methods do.

    Args:
        elicitations, sampling: Who answers what tasks ask.
    """

    def __init__(self, connection: Connection, elicitations: Elicitations, sampling: Sampling) -> None:
        self._connection = connection
        self._elicitations = elicitations
        self._sampling = sampling
        self.poller = Poller(self)
        self._peer: Peer | None = None
        self._tasks: dict[str, Call] = {}
        self._doubted: set[str] = set()
        """Tasks that the server was not asked for since the connection was lost."""
        self._results = asyncio.Semaphore(IN_FLIGHT)
        self._following: dict[str, Call] = {}
        """The calls that have not ended, by their progress tokens."""
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, set[str]] = {}

    # --- the connection's life ---

    async def run(self, peer: Peer) -> None:
        """Watch over one connection until cancelled; the tasks outlive it."""
        self._peer = peer
        self._results = asyncio.Semaphore(IN_FLIGHT)
        await self.poller.run()

    def interrupted(self, trouble: str) -> None:
        """The tasks wait for the connection."""
        self._give_up_waiting()
        self._doubted.update(self._tasks)
        for call in list(self):
            if call.id is not None:
                call.trouble = trouble
                call.touch()

    def _give_up_waiting(self) -> None:
        for fetch in self._fetching.values():
            fetch.cancel()
        self._fetching.clear()  # they may take a while to end, and must not keep others from beginning
        self._asked.clear()  # what is still open is asked again, with the state

    def ended(self, why: str, trouble: str) -> None:
        """End what was followed over it."""
        for call in list(self):
            call.trouble = trouble
            call.fail(ConnectionClosed(f"{why}\nTask {call.id or call.tool} was {call.status} when last seen."))
        self._following.clear()
        self._give_up_waiting()

    # --- what its calls ask for (`call.Origin`) ---

    async def cancel(self, call: Call) -> None:
        if call.id is None:
            call.cancelled()
            return
        task_id = call.id
        try:
            await self._connection.ask(lambda peer: peer.cancel_task(task_id), again=True)
        except PeerError:
            state = await self._connection.ask(lambda peer: peer.get_task(task_id), again=True)
            self._take(call, state)
            if not state.status.terminal:
                raise
        self.poller.ask(task_id)

    async def answer(self, call: Call, key: str, response: dict[str, Any]) -> None:
        await self._elicitations.answer(call, key, response)

    async def set_variables(self, call: Call, variables: Mapping[str, Any]) -> None:
        task_id = call.id
        assert task_id is not None
        # Setting them twice does no more than once.
        state = await self._connection.ask(lambda peer: peer.set_variables(task_id, dict(variables)), again=True)
        call.observe(state)

    # --- what is followed ---

    def __iter__(self) -> Iterator[Call]:
        """The calls that have not ended."""
        return iter(self._following.values())

    def by_id(self, task_id: str) -> Call | None:
        """The call whose task has this id, until it ends."""
        return self._tasks.get(task_id)

    def by_token(self, token: str) -> Call | None:
        """The call whose progress has this token, until it ends."""
        return self._following.get(token)

    def follow(self, call: Call) -> None:
        """A call is made, whatever becomes of it."""
        if call.token not in self._following:
            self._following[call.token] = call
            call.add_done_callback(self.leave)

    def leave(self, call: Call) -> None:
        """It ended, or nothing became of it that is to be followed."""
        self._following.pop(call.token, None)
        if call.id is not None and self._tasks.get(call.id) is call:
            del self._tasks[call.id]
            self.poller.forget(call.id)
            self._asked.pop(call.id, None)
            self._doubted.discard(call.id)

    def adopt(self, call: Call, state: TaskState) -> None:
        """Follow a task that the server has, until it ends."""
        self.follow(call)
        self._tasks[state.task_id] = call
        self._take(call, state)
        if call.done():
            self.leave(call)  # by now, or before the server had named it
        else:
            self.poller.watch(state.task_id, interval(state.poll_interval))

    async def refresh(self, call: Call) -> None:
        """Ask for the present state of a task, whenever it would be its turn."""
        if call.id is None or call.done():
            return
        task_id = call.id
        self._take(call, await self._connection.ask(lambda peer: peer.get_task(task_id), again=True))

    def _take(self, call: Call, state: TaskState) -> None:
        """Let a call know the state of its task, and do what the state asks for."""
        self._doubted.discard(state.task_id)
        call.observe(state)
        if self._modern:
            for key, request in () if state.status.terminal else state.input_requests.items():
                self._ask(call, state.task_id, key, request)
            if call.questions:
                self._elicitations.withdraw(call, keep=state.input_requests)
        elif not call.done() and (state.status.terminal or state.status is TaskStatus.INPUT_REQUIRED):
            self._fetch(call, state.task_id)  # a legacy server asks its question, or gives its result, while this waits

    # --- what the state of a modern task asks ---

    def _ask(self, call: Call, task_id: str, key: str, request: dict[str, Any]) -> None:
        """Put what is asked, once: it stays in the state until the server took the answer."""
        asked = self._asked.setdefault(task_id, set())
        if key in asked:
            return
        asked.add(key)
        self._keep(f"ask {task_id} {key}", self._put(call, task_id, key, request))

    async def _put(self, call: Call, task_id: str, key: str, request: dict[str, Any]) -> None:
        async def deliver(response: dict[str, Any]) -> None:
            await self._connection.ask(lambda peer: peer.answer(task_id, {key: response}), again=True)
            self.poller.ask(task_id)

        params = request.get("params") or {}
        try:
            match request.get("method"):
                case "elicitation/create":
                    question = read_question(key, params, server=call.server, tool=call.tool)
                    await self._elicitations.ask(call, question, deliver)
                case "sampling/createMessage" if self._sampling.callback is not None:
                    said = await self._sampling.sample(params)
                    if isinstance(said, types.ErrorData):
                        raise LabError(said.message)
                    await deliver(said)
                case "sampling/createMessage":
                    raise LabError(f"the task asks for a completion; {SAMPLING_HOW}")
                case method:
                    raise LabError(f"the task asks for {method}, which this host does not offer")
        except InputRequired as error:
            call.fail(error)
            with suppress(LabError):  # it may have ended by itself; nobody waits for it any more
                await self._connection.ask(lambda peer: peer.cancel_task(task_id), again=True)
        except LabError as error:
            call.trouble = error.message
            call.touch()

    # --- asked for by the poller (`poller.Asking`) ---

    @property
    def _modern(self) -> bool:
        return self._peer is not None and self._peer.modern

    @property
    def lists(self) -> bool:
        return self._peer is not None and self._peer.lists_tasks

    @property
    def listens(self) -> bool:
        return self._modern

    async def get(self, task_id: str) -> float | None:
        call = self._tasks.get(task_id)
        if call is None or call.done() or self._peer is None:
            return None
        try:
            state = await self._peer.get_task(task_id)
        except ConnectionClosed:
            return DEFAULT  # a lost connection says so itself
        except ServerBusy as busy:
            self._trouble(call, busy)
            raise
        except LabError as error:
            if _unknown(error):
                self._lost(call, task_id, error)
                return None
            self._trouble(call, error)
            return DEFAULT * 5
        self._take(call, state)
        if state.status.terminal and self._modern and not call.done():
            # completed without a result, failed without an error: nothing more will come
            call.fail_with(None)
        return _until_next(state)

    async def list(self, cursor: str | None) -> Listed:
        assert self._peer is not None
        states, following = await self._peer.list_tasks(cursor)
        for state in states:
            call = self._tasks.get(state.task_id)
            if call is not None and not call.done():
                self._take(call, state)
        return Listed({state.task_id: _until_next(state) for state in states}, following)

    async def listen(self, task_ids: Collection[str]) -> Stream:
        assert self._peer is not None
        return await self._peer.listen(task_ids)

    def _trouble(self, call: Call, error: LabError) -> None:
        call.trouble = error.message
        call.touch()

    def _lost(self, call: Call, task_id: str, error: LabError) -> None:
        """The server does not know the task."""
        if task_id not in self._doubted:
            call.trouble = "the server does not know this task any more"
            call.fail_with({"message": error.message})
            return
        call.trouble = f"{self._connection.brief_loss} It is back, but does not know this task any more."
        call.fail(
            ConnectionClosed(
                f"{self._connection.loss}\nIt is back, but does not know task {task_id} of {call.tool} any more, "
                f"which was {call.status} when last seen. Start it again if it is still wanted."
            )
        )

    # --- legacy results ---

    def _fetch(self, call: Call, task_id: str) -> None:
        if task_id not in self._fetching:
            self._keep(task_id, self._fetch_result(call, task_id))

    def _keep(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        """Run it until the connection is lost."""
        fetch = self._fetching[key] = asyncio.create_task(work)

        def done(_: object) -> None:
            if self._fetching.get(key) is fetch:
                del self._fetching[key]

        fetch.add_done_callback(done)

    async def _fetch_result(self, call: Call, task_id: str) -> None:
        """Legacy `tasks/result`: blocks until the end."""
        raw: dict[str, Any] = {}
        failure: dict[str, Any] | None = None
        ended = call.reported is not None and call.reported.terminal
        try:
            # Of a thousand that end together each is one request; those that wait for an answer wait by themselves.
            async with self._results if ended else nullcontext():
                raw = await self._connection.peer.task_result(task_id)
        except (ConnectionClosed, ServerBusy) as error:
            if self._connection.status == "open":
                self._trouble(call, error)
                self.poller.watch(task_id, DEFAULT)  # asks for the task, and so comes back here
            return
        except PeerError as error:
            failure = {"message": error.message, "code": error.code, "data": error.data}
        except LabError as error:
            call.fail(error)
            return
        if not call.done() and call.reported is not None and not call.reported.terminal:
            try:
                call.observe(await self._connection.peer.get_task(task_id))
            except LabError:
                call.trouble = "the final state could not be read"
            if call.done():
                return
        else:
            call.trouble = None
        if failure is not None and not ended and call.reported is not TaskStatus.CANCELLED:
            # It was not over when it was asked: whoever is refused then hears nothing of how it ends.
            call.trouble = failure["message"]
            call.touch()
            if call.reported is not None and call.reported.terminal:
                self.poller.ask(task_id)
        elif call.reported is TaskStatus.CANCELLED:
            call.cancelled()
        elif call.reported is TaskStatus.FAILED and "content" in raw and not raw.get("isError"):
            call.fail_with_body(raw)
        elif "content" in raw:
            call.finish(raw)
        elif failure is None and call.reported is TaskStatus.COMPLETED:
            call.finish({"content": [], **raw})
        else:
            call.fail_with(failure)

    # --- what the server sends by itself ---

    def hears(self) -> Hears:
        return {TaskState: self._on_task, types.ElicitCompleteNotification: self._on_elicitation_complete}

    def _on_task(self, state: TaskState) -> None:
        call = self._tasks.get(state.task_id)
        if call is None or not self._connection.open:
            return
        self._take(call, state)
        if state.task_id in self._tasks:
            self.poller.heard(state.task_id, _until_next(state))
            if state.status.terminal and self._modern:
                self.poller.ask(state.task_id)  # told without its result

    def _on_elicitation_complete(self, message: types.ElicitCompleteNotification) -> None:
        self._elicitations.completed(message.params.elicitation_id)


def _until_next(state: TaskState) -> float | None:
    return None if state.status.terminal else interval(state.poll_interval)


def _unknown(error: LabError) -> bool:
    """Whether a server does not know a task; some say so in the text alone."""
    return isinstance(error, PeerError) and (error.code == -32602 or "not found" in error.message.lower())
