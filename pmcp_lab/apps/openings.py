"""With which call each app of a server is opened to be looked at: one that was made, one that was recorded, or a
made-up one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pmcp_lab.apps.made_up import made_up
from pmcp_lab.apps.served import Call, Raw, Served, named_uris
from pmcp_lab.protocol.validation import UnusableSchema


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One app, and the call that it is opened with.

    Args:
        tool: None for one that no tool names.
        arguments: None where it is not known what a call would be made with.
        result: None where none is known.
        made_up: Whether the result is nobody's.
    """

    uri: str
    tool: str | None = None
    arguments: Raw | None = None
    result: Raw | None = None
    made_up: bool = False


def openings(served: Served, recorded: Iterable[Call] = ()) -> list[Opening]:
    """What to open of a server: each app with the first call that went well of each of its tools, or a made-up one."""
    known: dict[str, Call] = {}
    for call in (*served.calls, *recorded):
        if not call.result.get("isError"):
            known.setdefault(call.tool, call)
    found: list[Opening] = []
    for uri, page in served.pages.items():
        if page.content is None:
            continue
        tools = [tool for tool in served.tools if uri in named_uris(tool).values()]
        real = [known[name] for tool in tools if (name := str(tool.get("name"))) in known]
        found += [Opening(uri=uri, tool=call.tool, arguments=call.arguments, result=call.result) for call in real]
        if not real:
            found.append(_made_up(uri, tools[0]) if tools else Opening(uri=uri))
    return found


def _made_up(uri: str, tool: Raw) -> Opening:
    name, told = str(tool.get("name")), tool.get("outputSchema")
    try:
        arguments = _fitting(tool.get("inputSchema") or {"type": "object"})
    except UnusableSchema:
        return Opening(uri=uri, tool=name)
    try:
        structured = _fitting(told) if isinstance(told, Mapping) else None
    except UnusableSchema:
        structured = None
    if structured is None:
        return Opening(uri=uri, tool=name, arguments=arguments)
    result = {"content": [{"type": "text", "text": "A made-up result."}], "structuredContent": structured}
    return Opening(uri=uri, tool=name, arguments=arguments, result=result, made_up=True)


def _fitting(schema: Any) -> dict[str, Any]:
    value = made_up(schema)
    if not isinstance(value, dict):
        raise UnusableSchema("it is not for an object")
    return value
