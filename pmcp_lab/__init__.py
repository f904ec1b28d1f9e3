"""A Jupyter notebook as a first-class MCP host: tasks that are watched live, apps that run in cells.

`import pmcp_lab` is cheap: nothing of mcp, pandas or IPython is loaded until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pmcp_lab._version import __version__

if TYPE_CHECKING:
    from pmcp_lab.client import (
        ClientCredentials,
        OAuth,
        Server,
        Task,
        TaskSelection,
        TaskSet,
        ToolResult,
        attach,
        connect,
        connected,
        record,
        replay,
        servers,
        session,
        sign_out,
    )

    selected: TaskSelection
    """The tasks that somebody selected last, in whatever table: `lab.selected.df`, `.retry()`, `.cancel()`."""

_LAZY = dict.fromkeys(
    (
        "ClientCredentials",
        "OAuth",
        "Server",
        "Task",
        "TaskSet",
        "ToolResult",
        "attach",
        "connect",
        "connected",
        "record",
        "replay",
        "selected",
        "servers",
        "session",
        "sign_out",
    ),
    "pmcp_lab.client",
)

__all__ = [
    "ClientCredentials",
    "OAuth",
    "Server",
    "Task",
    "TaskSet",
    "ToolResult",
    "__version__",
    "attach",
    "connect",
    "connected",
    "load_ipython_extension",
    "record",
    "replay",
    "selected",
    "servers",
    "session",
    "sign_out",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import sys
    from importlib import import_module
    from importlib.util import find_spec

    # In a notebook with widgets, Jupyter's or marimo's, what is connected to can also show itself, without the magics.
    if sys.modules.keys() & {"ipykernel", "marimo"} and find_spec("anywidget") is not None:
        import_module("pmcp_lab.notebook")
    found = getattr(import_module(_LAZY[name]), name)
    return found() if name == "selected" else found


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext pmcp_lab`: the `%mcp` magics.

    Raises:
        MissingExtra: The notebook's dependencies are not installed.
    """
    from importlib.util import find_spec

    from pmcp_lab.errors import MissingExtra

    if find_spec("anywidget") is None:
        raise MissingExtra("%load_ext pmcp_lab", "notebook")
    from pmcp_lab.notebook import load_ipython_extension

    load_ipython_extension(shell)
