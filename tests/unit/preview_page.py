"""A page of the preview without a browser: its stream of events, and what it posts."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pmcp_lab.preview import PreviewServer


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str


def request(
    server: PreviewServer, method: str = "GET", path: str = "/", body: bytes | str | None = None, **headers: str
) -> Answer:
    """One request; `Host` is right unless it is given."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Host": f"127.0.0.1:{server.port}", **named})
    with contextlib.closing(connection), connection.getresponse() as answer:
        return Answer(answer.status, answer.headers, answer.read().decode())


class FakePage:
    """Opens a stream of events as the page does.

    Args:
        after: The last event that it had, as after a broken stream.
    """

    def __init__(self, server: PreviewServer, name: str = "page0001", after: int | None = None) -> None:
        self._server = server
        self.name = name
        self.messages: list[dict[str, Any]] = []
        self.last = 0
        headers = {"Authorization": f"Bearer {server.token}"} | ({} if after is None else {"Last-Event-ID": str(after)})
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self._connection.request("GET", f"/events?page={name}", headers=headers)
        self._answer = self._connection.getresponse()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError, http.client.HTTPException):
            for line in self._answer:
                if line.startswith(b"id: "):
                    self.last = int(line[4:])
                elif line.startswith(b"data: "):
                    self.messages.append(json.loads(line[6:]))

    def send(self, **message: Any) -> None:
        body = json.dumps({"page": self.name, "messages": [message]})
        answer = request(self._server, "POST", "/send", body, Authorization=f"Bearer {self._server.token}")
        assert answer.status == 200

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["kind"] == kind]

    def wait(self, kind: str, fits: Callable[[dict[str, Any]], object] = bool, timeout: float = 40) -> dict[str, Any]:
        """The first message of a kind that fits."""
        deadline = time.monotonic() + timeout
        while not (found := [message for message in self.of(kind) if fits(message)]):
            assert time.monotonic() < deadline, f"no such {kind} among {self.messages}"
            time.sleep(0.01)
        return found[0]

    def close(self) -> None:
        if self._connection.sock is not None:
            with contextlib.suppress(OSError):
                self._connection.sock.shutdown(2)
        self._connection.close()
        self._answer.close()
