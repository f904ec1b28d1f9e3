"""What apps keep: their widget state and their imitation of `localStorage`, until the kernel ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

STORED_BYTES = 2 * 1024 * 1024
"""How much an app may keep, as JSON; its imitation of `localStorage` ends at half of it."""

_stored: dict[tuple[object, str], dict[str, Any]] = {}
"""By target and resource."""


def stored(target: object, uri: str) -> dict[str, Any]:
    """What the app kept when it was last shown here."""
    return _stored.get((target, uri), {})


def store(target: object, uri: str, before: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any] | None:
    """Keep what an app wants to keep, for its next view.

    Args:
        before: What it has kept so far.
        said: `state`, `local`, or both.

    Returns:
        All that it keeps now; None where it is too much, and nothing has changed.
    """
    known: dict[str, Any] = {"state": said["state"]} if "state" in said else {}
    local = said.get("local")
    # Anything else would fail in the app's next document, and in every one after it.
    if isinstance(local, dict) and all(isinstance(value, str) for value in local.values()):
        known["local"] = local
    kept = {**before, **known}
    if len(json.dumps(kept)) > STORED_BYTES:
        return None
    _stored[target, uri] = kept
    return kept
