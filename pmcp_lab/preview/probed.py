"""Apps with a probe in their document, which tells of more than a host wants to know, many on one page."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Mapping
from typing import Any

from pmcp_lab.client import Server, client_of
from pmcp_lab.errors import AppError
from pmcp_lab.host import PROFILES, built, read_app
from pmcp_lab.preview.page import Page, PageModel, PreviewApp


class _ProbedModel(PageModel):
    def __init__(self, **state: Any) -> None:
        probe = built("probe.js").read_text(encoding="utf-8")
        super().__init__(**state | {"_prelude": f"{state['_prelude']};{probe}"})


class ProbedApp(PreviewApp, _ProbedModel):
    """An app whose document says what it does that no host lets it do."""

    def answered(self, result: Mapping[str, Any]) -> None:
        """Have a result stand for that of the call that it was opened with."""
        known: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        known.set_result(dict(result))
        self.follow(known)

    @property
    def started(self) -> bool:
        return any(event["event"] == "initialized" for event in list(self.events))

    @property
    def waits(self) -> bool:
        """Whether its server has still to answer something."""
        return any("ms" not in call for call in list(self.calls))

    @property
    def problems(self) -> tuple[dict[str, Any], ...]:
        """What went wrong, as it was told, each with its `kind`."""
        found = []
        for event in list(self.events):
            told = event["payload"] if isinstance(event["payload"], dict) else {}
            match event["event"]:
                case "app-error":
                    found.append({"kind": "error", **told})
                case "csp-violation":
                    found.append({**told, "kind": "blocked"})
        return tuple(found)


class ProbedPages:
    """What `web` serves: pages without a will of their own, of which the first is used."""

    bundle = "opening"

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self._apps: dict[int, ProbedApp] = {}

    def page(self, name: str) -> Page:
        """The page of that id."""
        return self.pages.setdefault(name, Page())

    def received(self, _page: Page, message: dict[str, Any]) -> None:
        """What a page says: its apps' messages, and nothing else."""
        app, content = self._apps.get(message.get("model", 0)), message.get("content")
        if message.get("kind") == "custom" and app is not None and isinstance(content, dict):
            app.received(content)

    async def open(
        self,
        server: Server,
        uri: str,
        tool: str | None,
        arguments: Mapping[str, Any] | None,
        result: Mapping[str, Any] | None,
    ) -> ProbedApp:
        """Open an app on the first page, in the first host that takes it.

        Raises:
            AppError: It can't be read, or is none for any host.
        """
        for profile in PROFILES.values():
            with contextlib.suppress(AppError):
                resource = await read_app(client_of(server), uri, profile)
                break
        else:
            raise AppError(f"no host shows {uri}")
        client = client_of(server)
        named = None if tool is None else (await client.listings.tools_with(tool))[tool]
        page = next(iter(self.pages.values()))
        given = None if arguments is None else dict(arguments)
        app = ProbedApp(page, server, named, given, profile)
        self._apps[app.number] = app
        if result is not None:
            app.answered(result)
        app.show(resource)
        return app

    def take_away(self, app: ProbedApp) -> None:
        app.end()
        app.discard()
        del self._apps[app.number]

    async def close(self) -> None:
        for page in self.pages.values():
            page.close()
