"""A Firefox that also answers what Playwright says and Firefox does not know yet.

Playwright drives a Firefox as Mozilla builds it over WebDriver BiDi, but asks each for `emulation.setMediaFeaturesOverride`,
which Firefox ESR 153 has not. Started as `bidi_relay.py FIREFOX ARGUMENT …`, this starts the Firefox and stands between
the two, with that one command taken for done: what it would override stays as it is. It can go when the oldest Firefox
that is tested knows it.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketClientConnection, WebSocketHandler, websocket_connect

LISTENING = "WebDriver BiDi listening on "
TAKEN_FOR_DONE = {"emulation.setMediaFeaturesOverride"}
LONGEST = 1 << 30  # bytes: a screenshot is one message


class Relay(WebSocketHandler):
    def initialize(self, firefox: str) -> None:
        self.address = firefox
        self.settings["websocket_max_message_size"] = LONGEST

    async def open(self, path: str) -> None:
        self.firefox: WebSocketClientConnection = await websocket_connect(
            self.address + path, on_message_callback=self.answer, max_message_size=LONGEST
        )

    async def on_message(self, message: str | bytes) -> None:
        command = json.loads(message)
        if command["method"] in TAKEN_FOR_DONE:
            await self.write_message({"type": "success", "id": command["id"], "result": {}})
        else:
            await self.firefox.write_message(message)

    def answer(self, message: str | bytes | None) -> None:
        if message is None:
            self.close()
        else:
            self.write_message(message)

    def on_close(self) -> None:
        self.firefox.close()


async def main() -> int:
    firefox = await asyncio.create_subprocess_exec(*sys.argv[1:], stderr=asyncio.subprocess.PIPE)
    assert firefox.stderr is not None
    async for line in firefox.stderr:
        if found := re.match(LISTENING + r"(ws://\S+)", line.decode()):
            sockets = bind_sockets(0, "127.0.0.1")
            HTTPServer(Application([("(/.*)", Relay, {"firefox": found[1]})])).add_sockets(sockets)
            line = f"{LISTENING}ws://127.0.0.1:{sockets[0].getsockname()[1]}\n".encode()
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
    return await firefox.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
