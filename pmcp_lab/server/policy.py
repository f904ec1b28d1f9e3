"""What a tool's author decides about its tasks."""

from __future__ import annotations

import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pmcp_lab.errors import VariableError
from pmcp_lab.protocol.durations import Duration, milliseconds

Support = Literal["forbidden", "optional", "required"]
"""Whether a tool can, or must, run as a task (`execution.taskSupport`, MCP 2025-11-25)."""

OnLost = Literal["fail", "retry"]
"""What becomes of a task whose process ended: "retry" is for tools that may run twice."""

ClientVariables = Literal["all", "none"] | Collection[str] | Callable[[str], bool]
"""Which variables clients may write: all, none, these names, or those the function is true for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a tool's tasks are made and run.

    Args:
        support: Whether it can, or must, run as a task.
        ttl: How long its tasks are kept unless the client asks otherwise: seconds, text such as "1h", or a
            `timedelta`; None is the store's.
        poll_interval: What clients are asked to leave between polls, likewise; None is the store's.
        on_lost: What becomes of a task whose process ended before it did.
        concurrency: How many of its tasks run at a time in one process; None is without limit of its own.
        client_variables: Which variables clients may write; None is any but those the server wrote.
        client_result: Whether the client may finish a task, by `tasks/cancel` with a result (PMCP).
        immediate_response: What a 2025-11-25 client may tell its model while a task runs.

    Raises:
        TypeError, ValueError: An argument can't be used.
    """

    support: Support = "optional"
    ttl: Duration | None = None
    poll_interval: Duration | None = None
    on_lost: OnLost = "fail"
    concurrency: int | None = None
    client_variables: ClientVariables | None = None
    client_result: bool = False
    immediate_response: str | None = None
    ttl_ms: int | None = field(init=False, default=None)
    poll_interval_ms: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        for name, value, kind in (("support", self.support, Support), ("on_lost", self.on_lost, OnLost)):
            if value not in typing.get_args(kind):
                raise ValueError(f"{name} is one of {', '.join(typing.get_args(kind))}, not {value!r}")
        object.__setattr__(self, "ttl_ms", milliseconds(self.ttl, "ttl"))
        object.__setattr__(self, "poll_interval_ms", milliseconds(self.poll_interval, "poll_interval"))
        limit: Any = self.concurrency
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ValueError(f"concurrency is a number of at least 1, not {limit!r}")
        writable = self.client_variables
        if isinstance(writable, str) and writable not in ("all", "none"):
            raise ValueError(f'client_variables is "all", "none", names or a function, not {writable!r}')
        if not (writable is None or callable(writable) or isinstance(writable, str)):
            if not isinstance(writable, Iterable):
                raise TypeError(f'client_variables is "all", "none", names or a function, not {writable!r}')
            object.__setattr__(self, "client_variables", frozenset(writable))

    def check_client_writes(self, variables: Mapping[str, Any]) -> bool:
        """Whether the client may write these names whoever wrote them before; false leaves that to the store.

        Raises:
            VariableError: It may not write one of them.
        """
        writable = self.client_variables
        if writable is None:
            return False
        for name in variables:
            if writable == "all":
                continue
            allowed = writable(name) if callable(writable) else writable != "none" and name in writable
            if not allowed:
                raise VariableError(f"task variable {name!r} can't be written by the client")
        return True
