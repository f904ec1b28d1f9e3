"""A bare page with a kernel behind it: widgets of this process, whose comms the page reads and writes over HTTP."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import comm
import comm.base_comm
import pytest


class Kernel:
    """Every comm that is opened while it is installed."""

    def __init__(self) -> None:
        self.url = ""
        self._messages: list[dict[str, Any]] = []
        self._comms: dict[str, comm.base_comm.BaseComm] = {}
        self._changed = threading.Condition()
        self._over = False
        self._waiting: list[str] | None = None

    def make(self, *args: Any, **kwargs: Any) -> comm.base_comm.BaseComm:
        kernel = self

        class Comm(comm.base_comm.BaseComm):
            def publish_msg(self, msg_type: str, data: Any = None, **_: Any) -> None:
                with kernel._changed:
                    kernel._comms[self.comm_id] = self
                    kernel._messages.append({"type": msg_type, "id": self.comm_id, "data": data})
                    kernel._changed.notify_all()

        return Comm(*args, **kwargs)

    def after(self, count: int) -> str:
        """What came after the first messages, as soon as there is any."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or len(self._messages) > count, 20)
            return json.dumps(self._messages[count:], default=str)

    @contextlib.contextmanager
    def running_a_cell(self) -> Iterator[None]:
        """What the page sends waits until the cell is over, as where a front end has no subshells."""
        with self._changed:
            self._waiting = []
        yield
        with self._changed:
            bodies, self._waiting = self._waiting, None
        for body in bodies:
            self.take(body)

    def take(self, body: str) -> None:
        with self._changed:
            if self._waiting is not None:
                self._waiting.append(body)
                return
        sent = json.loads(body)
        self._comms[sent["id"]].handle_msg({"content": {"data": sent["data"]}, "buffers": []})

    def end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()


@contextlib.contextmanager
def running_kernel() -> Iterator[Kernel]:
    kernel = Kernel()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer(kernel.after(int(parse_qs(urlsplit(self.path).query)["after"][0])))

        def do_POST(self) -> None:
            kernel.take(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._answer("")

        def _answer(self, text: str) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", str(len(body)))
            with contextlib.suppress(ConnectionError):  # the page went away meanwhile
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            if not isinstance(sys.exc_info()[1], ConnectionError):  # the page went away
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    kernel.url = f"http://127.0.0.1:{server.server_port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comm, "create_comm", kernel.make)
        yield kernel
    kernel.end()
    server.shutdown()
    server.server_close()
