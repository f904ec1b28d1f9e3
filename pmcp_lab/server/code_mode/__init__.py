"""Code mode: a client hands in a small program that calls tools of the server, and it runs as one durable task.

`CodeMode` is the door. `functions` says how programs see tools, `checking` what is wrong with a program before anything
runs, `sandbox` runs it in a process of its own, `ledger` is what is kept of it and shown, `program` leads it from call
to call. The sandbox is `pydantic-monty`; nothing here is given to the `exec` of this interpreter.
"""

from pmcp_lab.server.code_mode.extension import Approve, CodeMode
from pmcp_lab.server.code_mode.limits import CodeLimits

__all__ = ["Approve", "CodeLimits", "CodeMode"]
