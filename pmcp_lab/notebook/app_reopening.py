"""Opening an app again for a page whose kernel was restarted; the page asks for it (`js/src/app-view/reconnect.ts`)."""

from __future__ import annotations

import json

from pmcp_lab.client import Server, connect, servers
from pmcp_lab.errors import AppError, TargetError
from pmcp_lab.host import open_app
from pmcp_lab.notebook.app_view import AppView


def reopen(request: str) -> str:
    """Open the app of a tool and return the id of the widget's model.

    Args:
        request: JSON: `server` (its name), `tool`, and `arguments` or null.

    Raises:
        AppError: There is no such server here; says what to do.
    """
    given = json.loads(request)
    view = open_app(AppView, _server(str(given["server"])), str(given["tool"]), given["arguments"])
    return str(view.model_id)


def _server(name: str) -> Server:
    """The connection of that name, or a new one if the name alone says to what."""
    if name in (known := servers()):
        return known[name]
    try:
        return connect(name)
    except TargetError:
        raise AppError(
            f"{name!r} is not connected in this kernel: run the cell that connects it, then try again."
        ) from None
