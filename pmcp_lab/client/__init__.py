"""The kernel's side: connections, a server's tools, task handles, and the watcher that keeps them fresh.

Everything public is synchronous and usable from any cell; the work happens on one background thread
(`runtime`). What a cell shows is not here but in `pmcp_lab.notebook`.
"""

from pmcp_lab.client.catalogue import Tool, Tools
from pmcp_lab.client.directory import connect, server, servers
from pmcp_lab.client.elicitation import Question
from pmcp_lab.client.result import ToolResult
from pmcp_lab.client.server import Server
from pmcp_lab.client.task import Moment, Task

__all__ = ["Moment", "Question", "Server", "Task", "Tool", "ToolResult", "Tools", "connect", "server", "servers"]
