"""Who runs a task's work. The store is the truth; an executor only answers "run this task somewhere".

`DocketExecutor` is in `pmcp_lab.execution.docket`, for it needs an extra; `open_executor` gives one line without it.
"""

from pmcp_lab.execution.by_name import open_executor
from pmcp_lab.execution.executor import Executor, Runner, TaskKey
from pmcp_lab.execution.heartbeat import Heartbeat
from pmcp_lab.execution.local import AsyncioExecutor, idle
from pmcp_lab.execution.queued import QueueExecutor, key_of
from pmcp_lab.execution.recovery import Recover, Recovery

__all__ = [
    "AsyncioExecutor",
    "Executor",
    "Heartbeat",
    "QueueExecutor",
    "Recover",
    "Recovery",
    "Runner",
    "TaskKey",
    "idle",
    "key_of",
    "open_executor",
]
