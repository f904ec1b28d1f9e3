"""A front end without a browser: the far end of the widgets' comms."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import comm.base_comm
from ipywidgets import Widget


class Comm(comm.base_comm.BaseComm):
    """Keeps what the kernel sends."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        super().__init__(*args, **kwargs)

    def publish_msg(self, msg_type: str, data: Any = None, **_: Any) -> None:
        self.sent.append({"type": msg_type, "data": data, "thread": threading.current_thread().name})


class FrontEnd:
    """Talks to one widget as its view would."""

    def __init__(self, widget: Widget) -> None:
        self.comm: Comm = widget.comm

    @property
    def opened(self) -> dict[str, Any]:
        """The state the model was opened with."""
        return self.comm.sent[0]["data"]["state"]  # type: ignore[no-any-return]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The custom messages so far."""
        sent = [each["data"] for each in self.comm.sent]
        return [data["content"] for data in sent if data and data.get("method") == "custom"]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["kind"] == kind]

    def updates(self, trait: str) -> list[Any]:
        sent = [each["data"] for each in self.comm.sent]
        states = [data["state"] for data in sent if data and data.get("method") == "update"]
        return [state[trait] for state in states if trait in state]

    def send(self, **content: Any) -> None:
        data = {"method": "custom", "content": content}
        self.comm.handle_msg({"content": {"data": data}, "buffers": []})

    def set(self, **traits: Any) -> None:
        """Change traits, as a view does."""
        data = {"method": "update", "state": traits, "buffer_paths": []}
        self.comm.handle_msg({"content": {"data": data}, "buffers": []})

    def wait(self, kind: str, count: int = 1, timeout: float = 10) -> list[dict[str, Any]]:
        until(lambda: len(self.of(kind)) >= count, timeout)
        return self.of(kind)


def until(condition: Callable[[], object], timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)
