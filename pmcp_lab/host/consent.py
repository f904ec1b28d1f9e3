"""What an app asks for beyond what every app gets, and what of it a person has allowed.

An app is opened without it, and says so; the person allows it at the page, or the notebook in code
(`Server.allow_apps`). What was allowed by a click holds for this app of this server, until the kernel ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pmcp_lab.client import Client
from pmcp_lab.protocol.ui import PERMISSIONS, Csp, ResourceUi

KINDS = ("connect", "load", "embed", "permissions")

_allowed: dict[tuple[object, str], set[tuple[str, str]]] = {}
"""By target and resource: what for, and the origin or the name of the permission."""


def allow(client: Client, uri: str, wanted: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    """Take a click for what it was shown for.

    Args:
        wanted: What the app is missing (`wanted`).
        shown: The same, as it stood before the person who clicked.
    """
    both = {(kind, name) for kind in KINDS for name in wanted.get(kind, ()) if name in (shown.get(kind) or ())}
    _allowed.setdefault((client.target, uri), set()).update(both)


def granted(client: Client, uri: str, ui: ResourceUi) -> tuple[Csp, tuple[str, ...]]:
    """What the app declares, less what nobody allowed."""
    clicked = _allowed.get((client.target, uri), set())
    grants = client.app_grants

    def origins(kind: str, declared: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(origin for origin in declared if (kind, origin) in clicked or grants.covers(origin))

    connect, load, embed = (
        origins(kind, declared)
        for kind, declared in (("connect", ui.csp.connect), ("load", ui.csp.resources), ("embed", ui.csp.frames))
    )
    # A base gives addresses another meaning, and reaches nothing that may not be reached without it.
    base = tuple(origin for origin in ui.csp.base if origin in {*connect, *load, *embed})
    csp = replace(ui.csp, connect=connect, resources=load, frames=embed, base=base)
    permissions = (name for name in ui.permissions if ("permissions", name) in clicked or name in grants.permissions)
    return csp, tuple(permissions)


def wanted(ui: ResourceUi, csp: Csp, permissions: tuple[str, ...]) -> dict[str, Any]:
    """What is missing between the two, as the page shows it: origins by what they are for, permissions, and
    declared domains that are none and will never be allowed."""
    missing = {
        "connect": [origin for origin in ui.csp.connect if origin not in csp.connect],
        "load": [origin for origin in ui.csp.resources if origin not in csp.resources],
        "embed": [origin for origin in ui.csp.frames if origin not in csp.frames],
        "permissions": [name for name in ui.permissions if name not in permissions],
    }
    return {name: values for name, values in missing.items() if values} | (
        {"refused": list(ui.csp.dropped)} if ui.csp.dropped else {}
    )


def permissions_policy(permissions: Iterable[str]) -> str:
    """For the `allow` attribute of the frames."""
    return "; ".join(PERMISSIONS[name] for name in permissions)
