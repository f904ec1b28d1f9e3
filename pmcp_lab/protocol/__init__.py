"""Wire shapes of both generations, the status machine, `_meta` names, UI metadata and the CSP model. No I/O.

Above this room there is one Task, `TaskState`; what it looks like in JSON is known only here:
`legacy` (2025-11-25) and `modern` (2026-07-28 with the tasks extension) write it, `decode_task` reads both.
"""

from pmcp_lab.protocol import legacy, modern
from pmcp_lab.protocol.decoding import decode_result, decode_task
from pmcp_lab.protocol.status import MOVES, TaskStatus
from pmcp_lab.protocol.task import TaskState, from_timestamp, to_timestamp

__all__ = [
    "MOVES",
    "TaskState",
    "TaskStatus",
    "decode_result",
    "decode_task",
    "from_timestamp",
    "legacy",
    "modern",
    "to_timestamp",
]
