"""What this host offers a server that asks for it (roots), and keeps of what the server tells (its log)."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mcp_types as types
from mcp.client import ClientRequestContext

KEPT = 10_000
"""Log messages kept of one server; the oldest are dropped."""
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


class Roots:
    """The folders and files a server is told it may work on."""

    def __init__(self) -> None:
        self._uris: tuple[str, ...] = ()

    @property
    def uris(self) -> list[str]:
        return list(self._uris)

    def assign(self, roots: Iterable[str | os.PathLike[str]]) -> None:
        """Replace them; a path becomes a `file://` URI."""
        self._uris = tuple(_as_uri(root) for root in roots)

    async def answer(self, context: ClientRequestContext) -> types.ListRootsResult:  # noqa: ARG002 - named by the SDK
        """Answer `roots/list`."""
        names = ((uri, Path(urlsplit(uri).path).name or uri) for uri in self._uris)
        return types.ListRootsResult.model_validate({"roots": [{"uri": uri, "name": name} for uri, name in names]})


def _as_uri(root: str | os.PathLike[str]) -> str:
    if isinstance(root, str) and root.startswith("file://"):
        return root
    return Path(root).expanduser().resolve().as_uri()


class ServerLog:
    """The log messages (`notifications/message`) of one server."""

    def __init__(self) -> None:
        self._entries: deque[tuple[int, str, str | None, Any]] = deque(maxlen=KEPT)

    async def take(self, params: types.LoggingMessageNotificationParams) -> None:
        self._entries.append((time.time_ns() // 1_000_000, str(params.level), params.logger, params.data))

    @property
    def df(self) -> Any:
        """The messages as a pandas DataFrame, oldest first: time, level, logger, data."""
        import pandas as pd

        frame = pd.DataFrame(list(self._entries), columns=["time", "level", "logger", "data"])
        frame["time"] = pd.to_datetime(frame["time"], unit="ms", utc=True)
        return frame
