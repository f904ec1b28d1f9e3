"""What this client says of the folders a server may work on (MCP "Roots")."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import mcp_types as types
from mcp.client import ClientRequestContext


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
