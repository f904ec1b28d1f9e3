"""A durable task: its record, the limits it keeps to, who owns it, the store and the context a tool sees.

Nothing here speaks MCP: `protocol` knows the wire, `server` connects the two. Where records live is in
`tasks.backends`; `open_store` turns a URL into a store.
"""

from pmcp_lab.tasks.context import TaskContext
from pmcp_lab.tasks.leases import Leases
from pmcp_lab.tasks.limits import Limits
from pmcp_lab.tasks.owner import LOCAL, Owner, resolve_owner
from pmcp_lab.tasks.pmcp_import import Imported, import_pmcp
from pmcp_lab.tasks.questions import Answer
from pmcp_lab.tasks.reaper import reap
from pmcp_lab.tasks.record import NO_RESULT, WAITING, Job, Lease, TaskRecord
from pmcp_lab.tasks.store import TaskStore
from pmcp_lab.tasks.store_url import open_store
from pmcp_lab.tasks.variables import Variables

__all__ = [
    "LOCAL",
    "NO_RESULT",
    "WAITING",
    "Answer",
    "Imported",
    "Job",
    "Lease",
    "Leases",
    "Limits",
    "Owner",
    "TaskContext",
    "TaskRecord",
    "TaskStore",
    "Variables",
    "import_pmcp",
    "open_store",
    "reap",
    "resolve_owner",
]
