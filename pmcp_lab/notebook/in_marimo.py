"""What is different in a marimo notebook. Its cells show objects by `_display_`, and need no magics.

Its kernel hears nothing while a cell runs, neither clicks nor answers: what a cell waits for can't ask.
"""

from __future__ import annotations

import sys


def in_marimo() -> bool:
    """Whether this process runs a marimo notebook, as a page or as a script."""
    return "marimo" in sys.modules and "ipykernel" not in sys.modules


def on_page() -> bool:
    """Whether the cell that runs is shown on a page."""
    return in_marimo() and bool(sys.modules["marimo"].running_in_notebook())
