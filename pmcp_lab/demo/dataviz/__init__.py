"""Questions in SQL, answered as a table or a chart.

`register(apps)` adds it to a server. `bikes.py` makes the database, `asking.py` runs a query so that it can do no harm,
`charts.py` says how its answer may be drawn and `widget.html` draws it.
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

from .asking import MAX_ROWS, QUERY_TIMEOUT, ask, tables
from .bikes import EXAMPLES, Example, about
from .charts import Answer, ChartKind, Wish, answer, in_words

__all__ = ["URI", "build", "register"]

URI = "ui://demo/dataviz"
"""Where hosts find the charts."""

OPENED = "demo/opened"
"""In a result's `_meta`: the name under which the page keeps what is asked from here on."""

_READ_ONLY = ToolAnnotations(read_only_hint=True, open_world_hint=False)

_FIRST = EXAMPLES[0]

_DESCRIPTION = (
    "Run one SQL query (SQLite, read only) on a year of a small town's bike sharing and show the answer as a table or "
    f"a chart. At most {MAX_ROWS} rows and {QUERY_TIMEOUT:g} seconds. {about()}"
)


class Column(BaseModel):
    """A column of a table."""

    name: str
    type: str


class Table(BaseModel):
    """A table that can be asked."""

    name: str
    rows: int
    columns: list[Column]


class Offer(BaseModel):
    """What there is to ask about, and how one might."""

    tables: list[Table]
    examples: list[Example]


def build() -> MCPServer[Any]:
    """A new server with this app and nothing else."""
    apps = Apps()
    register(apps)
    return MCPServer("dataviz", title="Bike sharing", extensions=[apps], log_level="WARNING")


def register(apps: Apps) -> None:
    """Add the tools `dataviz` and `dataviz_tables`, and the page they are shown on."""
    apps.add_html_resource(
        URI,
        widget_page(__package__),
        name="dataviz",
        title="Bike sharing",
        description="SQL in, tables and charts out.",
        prefers_border=True,
    )

    @apps.tool(
        resource_uri=URI,
        title="Ask the data",
        description=_DESCRIPTION,
        annotations=_READ_ONLY,
    )
    def dataviz(
        sql: Annotated[
            str, Field(min_length=1, max_length=5000, description="One SELECT, WITH or VALUES")
        ] = _FIRST.sql,
        chart: Annotated[ChartKind, Field(description="How to draw it; `auto` goes by the columns")] = "auto",
        x: Annotated[str | None, Field(max_length=100, description="The column along the bottom")] = None,
        y: Annotated[str | None, Field(max_length=100, description="The column of numbers to draw")] = None,
        color: Annotated[
            str | None, Field(max_length=100, description="A column whose values become series of their own")
        ] = None,
    ) -> Annotated[CallToolResult, Answer]:
        try:
            drawn = answer(sql, ask(sql), Wish(chart, x, y, color))
        except ValueError as error:
            raise ToolError(str(error)) from None
        text = TextContent(type="text", text=in_words(drawn))
        return CallToolResult(
            content=[text], structured_content=drawn.model_dump(), _meta={OPENED: secrets.token_hex(8)}
        )

    # A model finds the tables in the description above.
    @apps.tool(
        resource_uri=URI,
        visibility=["app"],
        title="Tables",
        description="The tables with their columns, and questions worth asking.",
        annotations=_READ_ONLY,
    )
    def dataviz_tables() -> Offer:
        found = [
            Table(name=name, rows=rows, columns=[Column(name=column, type=kind) for column, kind in columns])
            for name, rows, columns in tables()
        ]
        return Offer(tables=found, examples=list(EXAMPLES))
