"""Who runs a task's work. The store is the truth; an executor only answers "run this task somewhere"."""

from pmcp_lab.execution.executor import Executor, Runner, TaskKey
from pmcp_lab.execution.local import AsyncioExecutor

__all__ = ["AsyncioExecutor", "Executor", "Runner", "TaskKey"]
