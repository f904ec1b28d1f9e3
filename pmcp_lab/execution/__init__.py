"""Who runs a task's work. The store is the truth; an executor only answers "run this task somewhere".

`DocketExecutor` is in `pmcp_lab.execution.docket`, for it needs an extra; `open_executor` gives one line without it.
"""

from pmcp_lab.execution.executor import Executor, Runner, TaskKey
from pmcp_lab.execution.local import AsyncioExecutor
from pmcp_lab.execution.opening import open_executor

__all__ = ["AsyncioExecutor", "Executor", "Runner", "TaskKey", "open_executor"]
