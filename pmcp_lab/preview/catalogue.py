"""What a page offers of a server: its tools with their forms, and the resources that are apps."""

from __future__ import annotations

from typing import Any

from pmcp_lab.client import Server, badges
from pmcp_lab.host import Profile, fields


def catalogue(server: Server, profile: Profile) -> dict[str, Any]:
    """The tools with their forms, and the resources that are apps, as a page shows them."""
    tools = []
    shown: dict[str, str] = {}
    for tool in server.tools.values():
        ui = profile.tool_ui(tool.raw.get("_meta"))
        if ui.resource_uri:
            shown.setdefault(ui.resource_uri, tool.title)
        tags = [badge for badge in badges(tool) if badge not in ("app", "for apps only")]
        tools.append(
            {
                "name": tool.name,
                "title": tool.title,
                "description": tool.description,
                "app": ui.resource_uri,
                "appOnly": "model" not in ui.visibility,
                "badges": tags,
                "fields": fields(tool.input_schema),
            }
        )
    resources = [
        {"uri": item.uri, "name": item.title, "description": item.description}
        for item in server.resources.values()
        if item.uri.startswith("ui://") and not item.template
    ]
    listed = {item["uri"] for item in resources}
    resources += [
        {"uri": uri, "name": title, "description": "Not listed by the server; a tool names it."}
        for uri, title in shown.items()
        if uri not in listed
    ]
    return {"tools": tools, "resources": resources}
