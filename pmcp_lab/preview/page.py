"""One open page: what is sent to it, kept until it has it, and the models of the apps that it shows."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any

from pmcp_lab.client import Server, Tool, runtime
from pmcp_lab.host import KERNEL, BridgeMode, HostedApp, LiveModel, Profile

KEPT = 2_000
"""Messages kept for a page whose stream broke."""
BEAT = 10.0
"""Seconds between signs of life on an idle stream: writing is how a page that went away is noticed."""


class Page:
    """A page of a browser, by the id that it gave itself. Lives on the background loop."""

    def __init__(self) -> None:
        self.app: PreviewApp | None = None
        self.bridge: BridgeMode = "kernel"
        """Who asks the server what an app of this page wants to know."""
        self.streams = 0
        """How many streams lead to it: one, or none for a moment."""
        self._sent: deque[tuple[int, str]] = deque(maxlen=KEPT)
        self._numbers = itertools.count(1)
        self._more = asyncio.Event()
        self._over = False
        self._models = itertools.count(1)

    def next_model(self) -> int:
        return next(self._models)

    def send(self, message: dict[str, Any]) -> None:
        """Have a message sent, from any thread."""
        if runtime().here:
            self._send(message)
        else:
            runtime().call_soon(self._send, message)

    def _send(self, message: dict[str, Any]) -> None:
        self._sent.append((next(self._numbers), json.dumps(message)))
        self._more.set()
        self._more = asyncio.Event()

    async def stream(self, last: int) -> AsyncIterator[str]:
        """Server-sent events after the `last` one that the page had, until the page goes."""
        self.streams += 1
        try:
            yield ": pmcp-lab preview\n\n"
            while True:
                more = self._more
                for number, text in [each for each in self._sent if each[0] > last]:
                    last = number
                    yield f"id: {number}\ndata: {text}\n\n"
                if self._over:
                    return
                try:
                    await asyncio.wait_for(more.wait(), BEAT)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self.streams -= 1

    def close(self) -> None:
        if self.app is not None:
            self.app.end()
            self.app = None
        self._over = True
        self._more.set()


class PageModel(LiveModel):
    """A model whose views are in one page; `js/src/shared/page-model.ts` is the other end."""

    page: Page
    number: int

    def __init__(self, **state: Any) -> None:
        super().__init__()
        state = {"_storage": {}, "_resource": {}, "_bridge": KERNEL, "_closed": False, "_seq": 0, **state}
        vars(self).update(state)
        self.page.send({"kind": "model", "model": self.number, "state": state})

    def post(self, content: dict[str, Any]) -> None:
        self.page.send({"kind": "custom", "model": self.number, "content": content})

    def hand_over(self, **traits: Any) -> None:
        vars(self).update(traits)
        self.page.send({"kind": "traits", "model": self.number, "traits": traits})

    def hand_over_again(self, names: Iterable[str]) -> None:
        traits = {"_whole": self._seq, **{name: getattr(self, name) for name in names}}
        self.page.send({"kind": "traits", "model": self.number, "traits": traits})


class PreviewApp(HostedApp, PageModel):
    """An app on a page."""

    def __init__(
        self, page: Page, server: Server, tool: Tool | None, arguments: dict[str, Any] | None, profile: Profile
    ) -> None:
        self.page = page
        self.profile = profile
        self.number = page.next_model()
        super().__init__(server, tool, arguments)

    @property
    def uri(self) -> str:
        """The resource it is."""
        return self._source.uri

    @property
    def closed(self) -> bool:
        return bool(self._closed)

    def discard(self) -> None:
        self.page.send({"kind": "gone", "model": self.number})
