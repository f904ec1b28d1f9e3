"""Tasks on an `mcp` server, for both generations of the protocol: `MCPServer(extensions=[tasks], middleware=[tasks])`.

`Tasks` is the one door. What a task may do is in `pmcp_lab.tasks`, who runs it in `pmcp_lab.execution`, what
it looks like in JSON in `pmcp_lab.protocol`. `Skills`, put on a server likewise, is in a room of its own, `skills`.
"""

from pmcp_lab.server.callers import Anonymous
from pmcp_lab.server.code_mode import CodeLimits, CodeMode
from pmcp_lab.server.extension import Tasks
from pmcp_lab.server.policy import Support
from pmcp_lab.server.skills import Skill, Skills
from pmcp_lab.server.stats import Counts, Stats
from pmcp_lab.server.tool import current_task
from pmcp_lab.tasks import Answer, Limits, TaskContext

__all__ = [
    "Anonymous",
    "Answer",
    "CodeLimits",
    "CodeMode",
    "Counts",
    "Limits",
    "Skill",
    "Skills",
    "Stats",
    "Support",
    "TaskContext",
    "Tasks",
    "current_task",
]
