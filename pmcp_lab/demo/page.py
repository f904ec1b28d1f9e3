"""The page of an app of the demo server, as hosts get it."""

from __future__ import annotations

from importlib.resources import files

from pmcp_lab.apps.document import error_page, with_bridge
from pmcp_lab.errors import LabError


def widget_page(package: str, file: str = "widget.html") -> str:
    """A widget's document with the bridge; where the front end was never built, a page that says so.

    The server is of use without its apps, so that this must not keep it from starting.

    Args:
        package: Whose file it is.
    """
    html = files(package).joinpath(file).read_text(encoding="utf-8")
    try:
        return with_bridge(html)
    except LabError as error:
        return error_page(package.rpartition(".")[2], error.message, then="Start the server again when that is done.")
