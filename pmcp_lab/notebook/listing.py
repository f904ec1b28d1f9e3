"""The open connections, and the servers that configuration files name, as tables."""

from __future__ import annotations

import html
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from pmcp_lab.client import Entry, Server, client_of
from pmcp_lab.protocol import address


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    left = "style='text-align:left'"
    head = "".join(f"<th {left}>{title}</th>" for title in heads)
    body = "".join("<tr>" + "".join(f"<td {left}>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class ServerList(dict[str, Server]):
    """Servers by name; shows itself as a table."""

    def __init__(self, servers: Mapping[str, Server]) -> None:
        super().__init__(servers)

    def _rows(self) -> list[tuple[str, str, str, str]]:
        rows = []
        for name, server in self.items():
            live = sum(not task.done() for task in server.tasks)
            client = client_of(server)
            rows.append((name, client.connection.summary, str(client.target), f"{live} live of {len(server.tasks)}"))
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
        return _table(("server", "protocol", "target", "tasks"), self._rows())


class EntryList(dict[str, Entry]):
    """Servers of configuration files by name, each to be connected to by that name; shows itself as a table."""

    HEADS: ClassVar = ("server", "target", "file")

    def _rows(self) -> list[tuple[str, str, str]]:
        return [(name, _target(entry), str(entry.file)) for name, entry in self.items()]

    def __repr__(self) -> str:
        if not self:
            return "no configuration file names a server (looked for .mcp.json, .vscode/mcp.json and the like)"
        return "\n".join("  ".join(row) for row in self._rows())

    def _repr_html_(self) -> str:
        return _table(self.HEADS, self._rows()) if self else f"<p>{html.escape(repr(self))}</p>"


def _target(entry: Entry) -> str:
    """As the file has it, without what an address may carry."""
    url = entry.raw.get("url") or entry.raw.get("serverUrl")
    if url:
        return address.shown(str(url))
    words = [str(entry.raw.get("command", "")), *map(str, entry.raw.get("args") or ())]
    return shlex.join([address.within(word) for word in words])
