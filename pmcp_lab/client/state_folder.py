"""Where the package keeps what outlives a process. What is kept is in `tasks.remembered` and `oauth.token_store`."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_state_path


def state_folder() -> Path:
    """The user's folder for state that outlives a process: Jupyter's, where it names one, else the system's."""
    if place := os.environ.get("JUPYTER_DATA_DIR"):
        return Path(place, "pmcp_lab")
    return user_state_path("pmcp_lab", appauthor=False)
