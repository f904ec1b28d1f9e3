"""Opening an app again for a page whose kernel was restarted; the page asks for it (`js/src/app-view/reconnect.ts`)."""

from __future__ import annotations

import json

from IPython.display import Javascript

from pmcp_lab.client import Server, servers
from pmcp_lab.errors import AppError
from pmcp_lab.host import STANDARD, bundle, open_app, profile_of
from pmcp_lab.notebook.app_view import AppView


def asking(server: str) -> Javascript:
    """The code that asks the person whether they want it: the page's own may be gone with the kernel it came from.

    Raises:
        AppError: As below.
    """
    _server(server)
    return Javascript(bundle("consent")["module"])  # type: ignore[no-untyped-call]


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
