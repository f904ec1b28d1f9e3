"""What a server logs to its client (MCP "Logging")."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

import mcp_types as types

if TYPE_CHECKING:
    import pandas as pd

KEPT = 10_000
"""Log messages kept of one server; the oldest are dropped."""
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


class ServerLog:
    """The log messages (`notifications/message`) of one server."""

    def __init__(self) -> None:
        self._entries: deque[tuple[int, str, str | None, Any]] = deque(maxlen=KEPT)

    async def take(self, params: types.LoggingMessageNotificationParams) -> None:
        self._entries.append((time.time_ns() // 1_000_000, str(params.level), params.logger, params.data))

    @property
    def df(self) -> pd.DataFrame:
        """The messages as a pandas DataFrame, oldest first: time, level, logger, data."""
        import pandas as pd

        frame = pd.DataFrame(list(self._entries), columns=["time", "level", "logger", "data"])
        frame["time"] = pd.to_datetime(frame["time"], unit="ms", utc=True)
        return frame
