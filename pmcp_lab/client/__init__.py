"""The kernel's side: connections, a server's tools, task handles, and what keeps them fresh.

What a cell uses is synchronous and usable from any cell and thread; the work happens on one background thread
(`runtime`). What a cell shows is not here but in `pmcp_lab.notebook`.

A server is a `Client` (`client.py`), which composes the rooms: `connection/` opens and asks, `tasks/` makes calls and
follows what becomes of them, `questions/` are what a server asks, `catalogue/` what it offers, `skills/` those of it
that are read and verified, `workflows/` what it leads; `targets/` and `oauth/` are how it is reached. `Server` is what
a cell holds of it.
"""

from pmcp_lab.client import views
from pmcp_lab.client.catalogue import (
    Content,
    Contents,
    Item,
    Listing,
    Messages,
    Prompt,
    Prompts,
    Resource,
    Resources,
    Tool,
    ToolResult,
    Tools,
    badges,
    first_line,
    size_text,
    type_of,
    writable,
)
from pmcp_lab.client.client import Client, client_of
from pmcp_lab.client.connection import LEVELS
from pmcp_lab.client.directory import attach, connect, connected, servers
from pmcp_lab.client.oauth import sign_out
from pmcp_lab.client.questions import Question, SamplingCallback, openable, sample
from pmcp_lab.client.recorder import Recorder, record, replay
from pmcp_lab.client.runtime import runtime, seen
from pmcp_lab.client.server import Server
from pmcp_lab.client.skills import SetAside, Skill, SkillChanges, SkillContent, SkillFiles, Skills
from pmcp_lab.client.targets import (
    BUNDLED,
    ClientCredentials,
    Command,
    Entry,
    Local,
    OAuth,
    Url,
    configured,
    read_config,
)
from pmcp_lab.client.tasks import (
    Call,
    Change,
    FailureGroup,
    Failures,
    Kinds,
    Moment,
    Session,
    Snapshot,
    Task,
    TaskList,
    TaskSet,
    Timeline,
    call_of,
    in_words,
    now_ms,
    on_task,
    reason_of,
    session,
)
from pmcp_lab.client.workflows import PausedRuns, WorkflowRun, Workflows, driver_of, status_of

__all__ = [
    "BUNDLED",
    "LEVELS",
    "Call",
    "Change",
    "Client",
    "ClientCredentials",
    "Command",
    "Content",
    "Contents",
    "Entry",
    "FailureGroup",
    "Failures",
    "Item",
    "Kinds",
    "Listing",
    "Local",
    "Messages",
    "Moment",
    "OAuth",
    "PausedRuns",
    "Prompt",
    "Prompts",
    "Question",
    "Recorder",
    "Resource",
    "Resources",
    "SamplingCallback",
    "Server",
    "Session",
    "SetAside",
    "Skill",
    "SkillChanges",
    "SkillContent",
    "SkillFiles",
    "Skills",
    "Snapshot",
    "Task",
    "TaskList",
    "TaskSet",
    "Timeline",
    "Tool",
    "ToolResult",
    "Tools",
    "Url",
    "WorkflowRun",
    "Workflows",
    "attach",
    "badges",
    "call_of",
    "client_of",
    "configured",
    "connect",
    "connected",
    "driver_of",
    "first_line",
    "in_words",
    "now_ms",
    "on_task",
    "openable",
    "read_config",
    "reason_of",
    "record",
    "replay",
    "runtime",
    "sample",
    "seen",
    "servers",
    "session",
    "sign_out",
    "size_text",
    "status_of",
    "type_of",
    "views",
    "writable",
]
