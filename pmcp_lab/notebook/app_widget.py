"""An app of a server as a widget: what every app in a notebook is. Which cell it is of, and what is saved of it, is the
business of `app_view`."""

from __future__ import annotations

import traitlets as t

from pmcp_lab.host import KERNEL, HostedApp, built
from pmcp_lab.notebook.live import LiveWidget


class AppWidget(HostedApp, LiveWidget):
    """The traits of `js/MESSAGES.md`; see `HostedApp`."""

    _esm = built("app-view.js")
    _css = built("app-view.css")

    _resource = t.Dict().tag(sync=True)
    _call = t.Dict().tag(sync=True)
    _host = t.Dict().tag(sync=True)
    _prelude = t.Unicode().tag(sync=True)
    _storage = t.Dict().tag(sync=True)
    _bridge = t.Dict(KERNEL).tag(sync=True)
    _cards: t.List[str] = t.List().tag(sync=True)
    _closed = t.Bool(False).tag(sync=True)
    _seq = t.Int(0).tag(sync=True)
    _whole = t.Int(0).tag(sync=True, to_json=lambda _, view: view._seq)  # noqa: SLF001 - its own

    def discard(self) -> None:
        LiveWidget.close(self)

    def close(self) -> None:
        """Tell the app that it ends, and show that it did."""
        self.end()

    def saved(self) -> str:
        return ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.server.name}.{self.name}>"
