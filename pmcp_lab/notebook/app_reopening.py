"""Opening an app again for a page whose kernel was restarted; the page asks for it (`js/src/app-view/reconnect.ts`)."""

from __future__ import annotations

import json

from pmcp_lab.client import Server, servers
from pmcp_lab.errors import AppError
from pmcp_lab.host import STANDARD, open_app, profile_of
from pmcp_lab.notebook.app_view import AppView


def reopen(request: str) -> str:
    """Open the app of a tool and return the id of the widget's model.

    Args:
        request: JSON: `server` (its name), `tool`, `arguments` or null, and `host` (which is played). It comes out of
            a notebook's file, which may be anybody's: it connects to nothing.

    Raises:
        AppError: There is no such server here; says what to do.
    """
    given = json.loads(request)
    host = profile_of(str(given.get("host", STANDARD.name)))
    view = open_app(AppView, _server(str(given["server"])), str(given["tool"]), given["arguments"], host)
    return str(view.model_id)


def _server(name: str) -> Server:
    if (found := servers().get(name)) is None:
        raise AppError(f"{name!r} is not connected in this kernel: run the cell that connects it, then try again.")
    return found
