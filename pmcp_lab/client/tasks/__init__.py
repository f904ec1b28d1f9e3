"""Calls of tools and the tasks they become. `caller` makes them, `follower` keeps them true to what the server says,
`poller` decides when to ask; `task`, `task_list` and `task_set` are what a cell holds."""

from pmcp_lab.client.tasks.call import Call, Origin, now_ms
from pmcp_lab.client.tasks.caller import Caller, Ending, on_call
from pmcp_lab.client.tasks.follower import Follower
from pmcp_lab.client.tasks.history import Change, Moment
from pmcp_lab.client.tasks.map_arguments import read_rows
from pmcp_lab.client.tasks.remembered import Session, session
from pmcp_lab.client.tasks.task import Task, call_of, wait_for
from pmcp_lab.client.tasks.task_list import TaskList, on_task
from pmcp_lab.client.tasks.task_set import TaskSet
from pmcp_lab.client.tasks.timeline import Timeline

__all__ = [
    "Call",
    "Caller",
    "Change",
    "Ending",
    "Follower",
    "Moment",
    "Origin",
    "Session",
    "Task",
    "TaskList",
    "TaskSet",
    "Timeline",
    "call_of",
    "now_ms",
    "on_call",
    "on_task",
    "read_rows",
    "session",
    "wait_for",
]
