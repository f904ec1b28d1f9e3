"""What a server asks of its user (MCP "Elicitation"), and who answers: a callback of the notebook, or a person.

One question looks the same whether it came as a request in the middle of a call or of a legacy task, in an
`input_required` result, or in the state of a modern task. How the answer travels is the follower's business.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from pmcp_lab.client.catalogue import Tool
from pmcp_lab.errors import InputRequired, InvalidArguments, LabError, TaskError
from pmcp_lab.protocol.ui import question_app

GO_ON = "go-on"
"""The key of our own question whether what was begun at a URL is done."""

ACTIONS = ("accept", "decline", "cancel")

InputCallback = Callable[["Question"], Any]
"""Takes a `Question`; returns the answers by field, "accept" (for a URL), "decline", "cancel", or None to leave
the question to the person. May be a coroutine function. Never runs on the background thread."""


@dataclass(frozen=True)
class Question:
    """One thing that is asked.

    Attributes:
        schema: The requested JSON Schema: an object with flat properties.
        url: In URL mode, where the person is sent; the schema is empty then.
        elicitation_id: How a 2025-11-25 server names the question when it says that it is settled.
        app: The `ui://` resource of the server that would ask it in place of a form (SEP-3118, a draft); used only
            where `connect(…, app_elicitation=True)` allows that.
    """

    key: str
    message: str
    schema: Mapping[str, Any] = field(default_factory=dict)
    server: str = ""
    tool: str = ""
    url: str | None = None
    elicitation_id: str | None = None
    app: str | None = None

    def response(self, action: str, content: Mapping[str, Any] | None) -> dict[str, Any]:
        """The `ElicitResult` of an answer.

        Raises:
            TaskError: There is no such action.
            InvalidArguments: `content` does not fit the schema, or the URL is not one to be opened.
        """
        if action not in ACTIONS:
            raise TaskError(f"action must be 'accept', 'decline' or 'cancel', not {action!r}", "")
        if action != "accept":
            return {"action": action}
        if self.url is None:
            Tool(self.server, {"name": self.tool, "inputSchema": dict(self.schema)}).check(content or {})
            return {"action": "accept", "content": dict(content or {})}
        if not openable(self.url):
            raise InvalidArguments(f"{self.server}.{self.tool} sends you to {self.url!r}, which is no web address")
        return {"action": "accept"}


def openable(url: str) -> bool:
    """Whether it is an http(s) address with a host: nothing else is ever opened for a server."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


class Asker(Protocol):
    """On whose behalf something is asked: a call, which shows its questions to a person.

    Attributes:
        attended: Whether a person can answer.
        visiting: The host that a question sent the person to, until that is settled.
        trouble: What is to be said of it, or None.
    """

    attended: bool
    visiting: str | None
    trouble: str | None

    @property
    def key(self) -> str:
        """Unique."""

    @property
    def id(self) -> str | None:
        """Of its task, if it has one."""

    @property
    def server(self) -> str: ...

    @property
    def tool(self) -> str: ...

    def done(self) -> bool: ...

    def add_done_callback(self, function: Callable[[Any], object]) -> None: ...

    def ask(self, question: Question) -> None:
        """Show a question."""

    def answered(self, key: str) -> None:
        """Show it no more."""

    def touch(self) -> None:
        """Tell who looks that something changed."""


def read_question(key: str, params: Mapping[str, Any], *, server: str, tool: str) -> Question:
    """A question from the params of `elicitation/create`.

    Args:
        server, tool: Who asks, by name.
    """
    by_url = params.get("mode") == "url"
    schema, identifier = params.get("requestedSchema"), params.get("elicitationId")
    return Question(
        key,
        str(params.get("message") or ""),
        schema if isinstance(schema, Mapping) and not by_url else {},
        server=server,
        tool=tool,
        url=str(params.get("url") or "") if by_url else None,
        elicitation_id=identifier if isinstance(identifier, str) else None,
        app=None if by_url else question_app(params),
    )


class _Open:
    """A question that waits for a person."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.response: asyncio.Future[dict[str, Any] | None] = loop.create_future()
        self.delivered: asyncio.Future[None] = loop.create_future()


class Elicitations:
    """The questions of one connection. Lives on the connection's loop, as all its methods do."""

    def __init__(self) -> None:
        self.callback: InputCallback | None = None
        self._open: dict[tuple[str, str], _Open] = {}
        self._visited: dict[str, Asker] = {}

    async def ask(self, asker: Asker, question: Question, deliver: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """Get an answer and deliver it. Returns without one when the question is withdrawn or the asker ends.

        Args:
            deliver: Brings the `ElicitResult` to the server; what it raises goes to who answered, who may try again.

        Raises:
            InputRequired: Nobody can answer.
        """
        trouble = await self._answered_by_callback(question, deliver)
        if trouble is None:
            return
        if not asker.attended:
            where = f"{question.server}.{question.tool} asks: {question.message!r}\n"
            how = f"start it with task({question.tool!r}, …) and answer with .answer({{…}}), or set server.on_input(…)."
            why = f"{trouble}\n" if trouble else ""
            raise InputRequired(f"{where}{why}A plain call can't answer; {how}", asker.id or "")
        if trouble:
            asker.trouble = trouble
        if asker.done():
            return
        key = (asker.key, question.key)
        asker.add_done_callback(lambda ended: self.withdraw(ended, keep=()))
        asker.ask(question)
        try:
            while True:
                # Each try has futures of its own: who answered wrongly has got the error already.
                waiting = self._open[key] = _Open()
                response = await waiting.response
                if response is None:
                    return
                try:
                    await deliver(response)
                except LabError as error:
                    waiting.delivered.set_exception(error)
                    continue
                except asyncio.CancelledError:
                    waiting.delivered.set_exception(
                        TaskError("the connection was lost meanwhile; it is asked again", "")
                    )
                    raise
                if question.url is not None and response["action"] == "accept":
                    self._visit(asker, question)
                waiting.delivered.set_result(None)
                return
        finally:
            del self._open[key]
            asker.answered(question.key)

    async def _answered_by_callback(
        self, question: Question, deliver: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> str | None:
        """None when the callback did it; otherwise why not, which is empty where that is nobody's fault."""
        if self.callback is None:
            return ""
        try:
            said = await off_loop(self.callback, question)
            if said is None:
                return ""
            action, content = (said, None) if isinstance(said, str) else ("accept", said)
            await deliver(await asyncio.to_thread(question.response, action, content))
        except Exception as error:  # the callback is the notebook's own code
            return f"the on_input callback did not answer: {type(error).__name__}: {error}"
        return None

    async def answer(self, asker: Asker, key: str, response: dict[str, Any]) -> None:
        """Give a person's answer; returns when the server has it."""
        waiting = self._open.get((asker.key, key))
        if waiting is None or waiting.response.done():
            raise TaskError("the question is answered already, or was withdrawn", asker.id or "")
        waiting.response.set_result(response)
        await waiting.delivered

    def withdraw(self, asker: Asker, keep: Collection[str]) -> None:
        """Close the open questions of an asker whose keys are not in `keep`: somebody else answered, or it ended."""
        for (owner, key), waiting in list(self._open.items()):
            if owner == asker.key and key not in keep and not waiting.response.done():
                waiting.response.set_result(None)

    def _visit(self, asker: Asker, question: Question) -> None:
        asker.visiting = urlsplit(question.url or "").hostname
        if question.elicitation_id is not None:
            self._visited[question.elicitation_id] = asker

    def completed(self, elicitation_id: str) -> None:
        """The server says that what began at a URL is done; an id that nobody knows is ignored, as the spec wants."""
        asker = self._visited.pop(elicitation_id, None)
        if asker is None:
            return
        asker.visiting = None
        asker.touch()
        waiting = self._open.get((asker.key, GO_ON))
        if waiting is not None and not waiting.response.done() and asker not in self._visited.values():
            waiting.response.set_result({"action": "accept", "content": {}})

    async def settle(self, asker: Asker, required: Iterable[Mapping[str, Any]]) -> bool:
        """Send the person to the URLs that a call was refused over (-32042, 2025-11-25).

        Returns:
            Whether the call may be repeated: all were accepted, and the server or the person says that it is done.

        Raises:
            InputRequired: Nobody can answer.
        """
        said: list[str] = []

        async def note(response: dict[str, Any]) -> None:
            said.append(response["action"])

        for number, params in enumerate(required):
            await self.ask(asker, _at_url(number, params, asker), note)
            if said != ["accept"] * (number + 1):
                return False
        if asker in self._visited.values():
            message = f"Go on when you are done at {asker.visiting}."
            await self.ask(asker, Question(GO_ON, message, {}, asker.server, asker.tool), note)
            self._visited = {key: each for key, each in self._visited.items() if each is not asker}
            asker.visiting = None
        return set(said) == {"accept"}


def _at_url(number: int, params: Mapping[str, Any], asker: Asker) -> Question:
    return read_question(f"url-{number}", {**params, "mode": "url"}, server=asker.server, tool=asker.tool)


async def off_loop(callback: Callable[..., Any], *args: Any) -> Any:
    """Run a callback of the notebook in a thread, where it may block; a coroutine gets a loop of its own there."""

    def run() -> Any:
        said = callback(*args)
        return asyncio.run(_finish(said)) if inspect.isawaitable(said) else said

    return await asyncio.to_thread(run)


async def _finish(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
