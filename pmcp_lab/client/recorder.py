"""`record` and `replay`: what tools were called with and answered, kept as fixtures, and a server made of them.

The file itself and what answers from it are in `pmcp_lab.apps`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from pmcp_lab.client.client import Client, client_of
from pmcp_lab.client.connection import Peer
from pmcp_lab.client.directory import connect
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.server import Server
from pmcp_lab.client.targets import Command, Target, Url
from pmcp_lab.client.tasks import Call, Ending, on_call
from pmcp_lab.errors import InvalidArguments, LabError, PeerError, TaskFailed, ToolError

if TYPE_CHECKING:
    from pmcp_lab.apps import RecordedCall, Recording

_SECRET_VARIABLE = re.compile(r"key|token|secret|password|credential|auth", re.IGNORECASE)


class Recorder:
    """Keeps every call that is made while it runs, by cells, forms, tasks and apps. Made by `record`.

    ```python
    with lab.record("fixtures.json"):
        demo.call("add", a=1, b=2)
    ```

    Calls that the server never answered are left out, and so is what is secret: the connection's own headers, tokens
    and variables, what is named like a secret, and what looks like one.
    """

    def __init__(self, path: str | os.PathLike[str] | None, server: Server | None) -> None:
        self._path = path
        self._only = None if server is None else client_of(server)
        self._calls: list[tuple[Client, RecordedCall]] = []
        self._stop: Callable[[], None] | None = on_call(self._note)

    @property
    def calls(self) -> list[RecordedCall]:
        """What was kept so far, oldest first."""
        return [call for _, call in self._calls]

    def stop(self) -> None:
        """Keep no more. Stopping twice is fine."""
        if self._stop is not None:
            runtime().run(_turn())
            self._stop()
            self._stop = None

    def recording(self, server: Server | None = None) -> Recording:
        """The calls of one server, with its tools and widgets as they are now.

        Args:
            server: Which one, when calls of several were kept.

        Raises:
            InvalidArguments: There were several, or none.
            LabError: The server can't be asked for its tools or widgets any more.
        """
        from pmcp_lab.apps.recording import Recording, secret_values, without_secrets

        chosen = self._only or self._one() if server is None else client_of(server)
        tools = [dict(tool.raw) for tool in runtime().run(chosen.listings.tools()).values()]
        resources = runtime().run(_widgets(chosen, tools))
        known = chosen.connection.peer.server_info
        # A connection that was made anew is still one to the same server.
        calls = [call for each, call in self._calls if each.target == chosen.target]
        whole = Recording(
            server={"name": chosen.name, **known}, tools=tools, resources=resources, calls=calls
        ).to_dict()
        secrets = sorted({*secrets_of(chosen.target), *secret_values(whole["calls"])}, key=len, reverse=True)
        return Recording.from_dict(without_secrets(whole, secrets))

    def save(self, path: str | os.PathLike[str] | None = None, *, server: Server | None = None) -> Path:
        """Write them to a file, which `replay` reads; an older one is replaced.

        Raises:
            InvalidArguments: See `recording`; also when neither this nor `record` was given a path.
            AppError: The file can't be written.
        """
        where = path if path is not None else self._path
        if where is None:
            raise InvalidArguments("where to? Give save(…) or record(…) a path")
        return self.recording(server).save(where)

    def _one(self) -> Client:
        called = list({client.target: client for client, _ in self._calls}.values())
        if len(called) == 1:
            return called[0]
        if not called:
            raise InvalidArguments("nothing was called while it was recorded")
        names = ", ".join(repr(client.name) for client in called)
        raise InvalidArguments(f"calls of {names} were recorded; save each to a file of its own: save(…, server=…)")

    def _note(self, call: Call, ending: Ending, ms: float) -> None:
        from pmcp_lab.apps import RecordedCall

        client = call.origin
        if not isinstance(client, Client) or self._only not in (None, client):
            return
        ending = ending.result if isinstance(ending, ToolError) else ending
        answer: dict[str, Any]
        if isinstance(ending, Mapping):
            answer = {"result": dict(ending)}
        elif isinstance(ending, PeerError | TaskFailed):
            answer = {"error": _error(client.name, ending)}
        else:
            return
        self._calls.append((client, RecordedCall(tool=call.tool, arguments=dict(call.arguments), ms=ms, **answer)))

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._path is not None and error is None:
            self.save()

    def __repr__(self) -> str:
        state = "recording" if self._stop is not None else "stopped"
        return f"<Recorder: {len(self._calls)} calls, {state}>"


def record(path: str | os.PathLike[str] | None = None, *, server: Server | None = None) -> Recorder:
    """Keep every call of a tool from now on: until `stop()`, or for a `with` block, at whose end the file is written.

    Args:
        path: Where `save()` and the `with` block write to.
        server: The only server whose calls count; without it all do, and each needs a file of its own.
    """
    return Recorder(path, server)


def replay(path: str | os.PathLike[str], *, name: str | None = None, speed: float = 1.0) -> Server:
    """A server in this process that answers as a recorded one did: by the arguments, with its errors and its delays.

    Args:
        path: What `record` or `pmcp-lab record` wrote.
        name: What to call the connection; by default `<recorded name>-replay`.
        speed: How many times as fast as recorded; 0 answers at once.

    Raises:
        AppError: The file can't be read.
    """
    from pmcp_lab.apps import Recording, replay_server

    if not speed >= 0:
        raise InvalidArguments(f"speed is how many times as fast, at least 0, not {speed!r}")
    recording = Recording.load(path)
    return connect(replay_server(recording, speed=speed), name=name or f"{recording.server['name']}-replay")


def secrets_of(target: Target) -> list[str]:
    """The texts of a target that no file may hold, longest first."""
    from pmcp_lab.apps.recording import SHORTEST_SECRET

    found: list[str] = []
    match target:
        case Url(url=url, headers=headers):
            parts = urlsplit(url)
            found += [value for _, value in headers]
            found += [value for _, value in parse_qsl(parts.query)]
            found += [parts.password or ""]
        case Command(env=env):
            found += [value for name, value in env if _SECRET_VARIABLE.search(name)]
    words = [word for value in found for word in (value, *value.split())]
    return sorted({word for word in words if len(word) >= SHORTEST_SECRET}, key=len, reverse=True)


async def _turn() -> None:
    """Runs when the background thread is done with what it was at: a call's end is heard a moment after its result."""


async def _widgets(client: Client, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The contents of every `ui://` resource that is listed or that a tool names."""
    from pmcp_lab.protocol.ui import tool_ui

    listed = {item["uri"]: item for item in await client.ask(lambda peer: peer.list_resources(), again=True)}
    named = [tool_ui(tool.get("_meta")).resource_uri for tool in tools]
    uris = [uri for uri in dict.fromkeys([*listed, *named]) if uri is not None and uri.startswith("ui://")]
    found = []
    for uri in uris:
        try:
            read = await client.ask(partial(_read, uri), again=True)
        except PeerError:
            continue  # what can't be read can't be shown either
        about = {key: value for key, value in listed.get(uri, {}).items() if key != "size"}
        found += [{**about, **item} for item in read.get("contents") or () if isinstance(item, dict)]
    return found


def _read(uri: str, peer: Peer) -> Awaitable[dict[str, Any]]:
    return peer.read_resource(uri)


def _error(server: str, error: LabError) -> dict[str, Any]:
    """The JSON-RPC error as the server sent it."""
    said = error.message.removeprefix(f"Server {server!r} answered: ").removesuffix(f" ({error.code})")
    return {"code": error.code, "message": said, **({} if error.data is None else {"data": error.data})}
