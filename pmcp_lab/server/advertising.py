"""What a server says of its tasks where the SDK has no place for it: results of the handshake, of discovery, of
`tools/list`.
"""

from __future__ import annotations

from collections.abc import Mapping

from mcp.server.context import HandlerResult

from pmcp_lab.protocol import legacy
from pmcp_lab.protocol.meta import VARIABLES_EXTENSION
from pmcp_lab.protocol.ui import UI_EXTENSION
from pmcp_lab.server.loop_state import Tool


def advertise_legacy(result: HandlerResult, *, lists: bool) -> HandlerResult:
    """`capabilities.tasks` in the result of a 2025-11-25 handshake.

    Args:
        lists: Whether this client can list its tasks.
    """
    if not isinstance(result, dict) or result.get("protocolVersion") != legacy.VERSION:
        return result
    capabilities = dict(result.get("capabilities") or {})
    offered = {name: value for name, value in legacy.CAPABILITY.items() if lists or name != "list"}
    capabilities["tasks"] = offered
    # A handshake result has no room for extensions.
    experimental = {VARIABLES_EXTENSION: {}, legacy.PMCP_CAPABILITY: offered}
    capabilities["experimental"] = {**(capabilities.get("experimental") or {}), **experimental}
    return {**result, "capabilities": capabilities}


def advertise_variables(result: HandlerResult) -> HandlerResult:
    """The extension for writing variables, beside the one that the SDK advertises."""
    if not isinstance(result, dict) or "capabilities" not in result:
        return result
    capabilities = dict(result["capabilities"] or {})
    capabilities["extensions"] = {**(capabilities.get("extensions") or {}), VARIABLES_EXTENSION: {}}
    return {**result, "capabilities": capabilities}


def advertise_app_elicitation(result: HandlerResult) -> HandlerResult:
    """That apps may ask what this server asks (SEP-3118, a draft), where its generation has a place for it."""
    if not isinstance(result, dict) or "capabilities" not in result:
        return result
    capabilities = dict(result["capabilities"] or {})
    # A handshake result has no room for extensions.
    place = "experimental" if "protocolVersion" in result else "extensions"
    known = dict(capabilities.get(place) or {})
    known[UI_EXTENSION] = {**(known.get(UI_EXTENSION) or {}), "elicitation": {}}
    return {**result, "capabilities": {**capabilities, place: known}}


def mark_tools(result: HandlerResult, tools: Mapping[str, Tool]) -> HandlerResult:
    """`execution.taskSupport` of each tool that can be a task, in a 2025-11-25 `tools/list`."""
    if not isinstance(result, dict):
        return result
    marked = []
    for raw in result.get("tools") or []:
        tool = tools.get(raw.get("name"))
        if tool is not None and tool.policy.support != "forbidden":
            raw = {**raw, "execution": {**(raw.get("execution") or {}), "taskSupport": tool.policy.support}}
        marked.append(raw)
    return {**result, "tools": marked}
