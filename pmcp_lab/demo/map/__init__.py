"""A map of the world that needs no network. `register(apps)` adds it to a server.

`atlas.py` knows the places, `places.csv` is what it knows, and `widget.html` draws them. The outlines in the widget are
from Natural Earth (public domain, https://www.naturalearthdata.com), 1:50m, as the npm package world-atlas 2.0.2 (ISC)
packs them; `js/outline.mjs` made them smaller. The places were written for this map; how many live there is rounded.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from mcp.server.apps import Apps
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from pmcp_lab.demo.page import widget_page

from .atlas import CATEGORIES, Category, Centre, Found, Nearby, Place, in_words, nearest, place, search

__all__ = ["URI", "build", "register"]

URI = "ui://demo/map"
"""Where hosts find the map."""

OPENED = "demo/opened"
"""In a result's `_meta`: the name under which the map keeps what is searched and chosen from here on."""

_READ_ONLY = ToolAnnotations(read_only_hint=True, open_world_hint=False)


class Details(BaseModel):
    """A place, and what is around it."""

    place: Place
    nearby: list[Nearby] = Field(description="The places nearest to it, the nearest first")


def build() -> MCPServer[Any]:
    """A new server with this app and nothing else."""
    apps = Apps()
    register(apps)
    return MCPServer("map", title="Map", extensions=[apps], log_level="WARNING")


def register(apps: Apps) -> None:
    """Add the tools `map` and `map_place`, and the map they are shown on."""
    apps.add_html_resource(
        URI,
        widget_page(__package__),
        name="map",
        title="Map",
        description="A map of the world with places to look up.",
        prefers_border=True,
    )

    @apps.tool(
        resource_uri=URI,
        name="map",
        title="Map",
        description="Show places on a map of the world: all of them, those whose name, country or description holds "
        "some words, those of a category, or those around a point. Knows some eighty cities.",
        annotations=_READ_ONLY,
    )
    def show(
        query: Annotated[str, Field(max_length=100, description="Words to look for; all places if left out")] = "",
        category: Annotated[
            Category | None, Field(description="; ".join(f"{c}: {w}" for c, w in CATEGORIES.items()))
        ] = None,
        near: Annotated[Centre | None, Field(description="A point to look around, instead of everywhere")] = None,
    ) -> Annotated[CallToolResult, Found]:
        found = search(query, category, near)
        text = TextContent(type="text", text=in_words(found))
        return CallToolResult(
            content=[text], structured_content=found.model_dump(), _meta={OPENED: secrets.token_hex(8)}
        )

    # A model is told the same by the other one.
    @apps.tool(
        resource_uri=URI,
        visibility=["app"],
        title="Place",
        description="A place, and the places nearest to it.",
        annotations=_READ_ONLY,
    )
    def map_place(id: Annotated[str, Field(max_length=60, description="As `map` names it")]) -> Details:  # noqa: A002
        try:
            chosen = place(id)
        except ValueError as error:
            raise ToolError(str(error)) from None
        return Details(place=chosen, nearby=nearest(chosen))
