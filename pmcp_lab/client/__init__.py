"""The kernel's side: connections, a server's tools, task handles, and the watcher that keeps them fresh.

Everything public is synchronous and usable from any cell; the work happens on one background thread
(`runtime`). What a cell shows is not here but in `pmcp_lab.notebook`.
"""

from pmcp_lab.client.auth import sign_out
from pmcp_lab.client.catalogue import Tool, Tools
from pmcp_lab.client.content import Content, Contents
from pmcp_lab.client.directory import attach, connect, connected, servers
from pmcp_lab.client.elicitation import Question
from pmcp_lab.client.history import Change, Moment
from pmcp_lab.client.prompts import Messages, Prompt, Prompts
from pmcp_lab.client.recorder import Recorder, record, replay
from pmcp_lab.client.resources import Resource, Resources
from pmcp_lab.client.result import ToolResult
from pmcp_lab.client.server import Server
from pmcp_lab.client.session import Session, session
from pmcp_lab.client.sign_in import OAuth
from pmcp_lab.client.task import Task
from pmcp_lab.client.task_list import TaskList
from pmcp_lab.client.task_set import TaskSet
from pmcp_lab.client.timeline import Timeline
from pmcp_lab.client.workflow import WorkflowRun

__all__ = [
    "Change",
    "Content",
    "Contents",
    "Messages",
    "Moment",
    "OAuth",
    "Prompt",
    "Prompts",
    "Question",
    "Recorder",
    "Resource",
    "Resources",
    "Server",
    "Session",
    "Task",
    "TaskList",
    "TaskSet",
    "Timeline",
    "Tool",
    "ToolResult",
    "Tools",
    "WorkflowRun",
    "attach",
    "connect",
    "connected",
    "record",
    "replay",
    "servers",
    "session",
    "sign_out",
]
