"""Where the package keeps what outlives a process. What is kept is in `session` and `token_store`."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def state_folder() -> Path:
    """The user's folder for state that outlives a process."""
    if place := os.environ.get("JUPYTER_DATA_DIR"):
        return Path(place, "pmcp_lab")
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home(), "pmcp_lab")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state", "pmcp_lab")
