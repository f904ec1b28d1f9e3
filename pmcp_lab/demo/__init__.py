"""The bundled demo server: a quick tool, a long one, one that asks, one that fails, a workflow, and an app.

`build()` makes the server; `pmcp-lab demo` runs it. `wave.html` is the app.
"""

from pmcp_lab.demo.server import build

__all__ = ["build"]
