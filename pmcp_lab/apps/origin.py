"""Where the installed package came from (PEP 610), as a requirement of a new project: an index may not have it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from pmcp_lab._version import __version__

PACKAGE = "pmcp_lab"


def installed_from() -> Mapping[str, Any] | None:
    """What the installer noted of it; None where an index, or nobody, is named."""
    try:
        noted = distribution(PACKAGE).read_text("direct_url.json")
        found = json.loads(noted) if noted else None
    except (PackageNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def requirement(origin: Mapping[str, Any] | None, *extras: str) -> str:
    """A requirement (PEP 508) that installs the same package again.

    Args:
        origin: What `installed_from` says.
        extras: That the project needs of it.
    """
    name = PACKAGE + (f"[{','.join(extras)}]" if extras else "")
    url = origin.get("url") if origin is not None else None
    if origin is None or not isinstance(url, str):
        return f"{name}>={__version__}"
    version = origin.get("vcs_info")
    if isinstance(version, Mapping):
        url = f"{version.get('vcs', 'git')}+{url}@{version.get('commit_id', '')}".rstrip("@")
    if isinstance(folder := origin.get("subdirectory"), str):
        url += f"#subdirectory={folder}"
    return f"{name} @ {url}"
