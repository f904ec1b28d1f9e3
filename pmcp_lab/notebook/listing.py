"""The open connections as a table."""

from __future__ import annotations

import html
from collections.abc import Mapping

from pmcp_lab.client import Server


class ServerList(dict[str, Server]):
    """Servers by name; shows itself as a table."""

    def __init__(self, servers: Mapping[str, Server]) -> None:
        super().__init__(servers)

    def _rows(self) -> list[tuple[str, str, str, str]]:
        rows = []
        for name, server in self.items():
            live = sum(not task.done() for task in server.tasks)
            rows.append((name, server.version, str(server.connection.target), f"{live} live of {len(server.tasks)}"))
        return rows

    def __repr__(self) -> str:
        if not self:
            return "no servers connected; try: %mcp connect demo"
        return "\n".join(
            f"{name}  {version}  {target}  tasks: {tasks}" for name, version, target, tasks in self._rows()
        )

    def _repr_html_(self) -> str:
        if not self:
            return "<p>No servers connected. Try <code>%mcp connect demo</code>.</p>"
        left = "style='text-align:left'"
        head = "".join(f"<th {left}>{title}</th>" for title in ("server", "protocol", "target", "tasks"))
        body = "".join(
            "<tr>" + "".join(f"<td {left}>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self._rows()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
