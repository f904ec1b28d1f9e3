"""Calls of tools and the tasks they become. `caller` makes them, `follower` keeps them true to what the server says,
`poller` decides when to ask; `task`, `task_list`, `task_set` and `task_sets` are what a cell holds; `remembered` and
`kept_set` are what outlives the kernel.

The life of one, in the order in which it is read: `Server.task` has `Client.plan` make a `Call`, which `Caller.start`
sends; `Follower.adopt` takes the task that the server answers with, and whatever the server says of it from then on
comes to `Follower._take`, because it told so (`Connection._tell_of`) or was asked (`Poller`); `Call.observe` takes it
in, and tells who subscribed. A view does, and reads `Call.snapshot`.
"""

from pmcp_lab.client.tasks.call import Call, Origin, now_ms
from pmcp_lab.client.tasks.caller import Caller, Ending, on_call
from pmcp_lab.client.tasks.failures import FailureGroup, Failures, Kind, Kinds, reason_of
from pmcp_lab.client.tasks.follower import Follower
from pmcp_lab.client.tasks.history import Change, Moment
from pmcp_lab.client.tasks.map_arguments import check_rows, check_words, read_rows
from pmcp_lab.client.tasks.remembered import Session, session
from pmcp_lab.client.tasks.report import Report
from pmcp_lab.client.tasks.selection import TaskSelection, answered, select_in, selected, started_again
from pmcp_lab.client.tasks.snapshot import Snapshot
from pmcp_lab.client.tasks.statuses import in_words
from pmcp_lab.client.tasks.table_columns import NAME, DataColumn, TableColumns, fields_of, flat, labels
from pmcp_lab.client.tasks.task import Task, call_of, wait_for
from pmcp_lab.client.tasks.task_list import TaskList, on_task
from pmcp_lab.client.tasks.task_rows import TaskRows, cancelled
from pmcp_lab.client.tasks.task_set import TaskSet
from pmcp_lab.client.tasks.task_sets import TaskSets
from pmcp_lab.client.tasks.timeline import Timeline

__all__ = [
    "NAME",
    "Call",
    "Caller",
    "Change",
    "DataColumn",
    "Ending",
    "FailureGroup",
    "Failures",
    "Follower",
    "Kind",
    "Kinds",
    "Moment",
    "Origin",
    "Report",
    "Session",
    "Snapshot",
    "TableColumns",
    "Task",
    "TaskList",
    "TaskRows",
    "TaskSelection",
    "TaskSet",
    "TaskSets",
    "Timeline",
    "answered",
    "call_of",
    "cancelled",
    "check_rows",
    "check_words",
    "fields_of",
    "flat",
    "in_words",
    "labels",
    "now_ms",
    "on_call",
    "on_task",
    "read_rows",
    "reason_of",
    "select_in",
    "selected",
    "session",
    "started_again",
    "wait_for",
]
