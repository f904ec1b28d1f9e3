"""From a name to an executor."""

from __future__ import annotations

from typing import Final

from pmcp_lab.errors import LabError, MissingExtra
from pmcp_lab.execution.executor import Executor
from pmcp_lab.execution.local import AsyncioExecutor

EXECUTORS: Final = ("asyncio", "docket")


def open_executor(name: str, store_url: str) -> Executor:
    """The executor of that name.

    Args:
        name: "asyncio" (in this process) or "docket" (in `pmcp-lab worker` processes).
        store_url: Where the records are; Docket uses the same Redis.

    Raises:
        MissingExtra: What it needs is not installed.
        LabError: There is no such executor, or it can't work with that store.
    """
    if name == "asyncio":
        return AsyncioExecutor()
    if name != "docket":
        raise LabError(f"there is no executor {name!r}; use one of {', '.join(EXECUTORS)}")
    if not store_url:
        raise LabError(
            "executor='docket' takes its Redis from the store's URL, and the store is an object: "
            "use executor=DocketExecutor('redis://…')"
        )
    try:
        from pmcp_lab.execution.docket import DocketExecutor
    except ModuleNotFoundError as error:
        if error.name not in ("docket", "redis"):
            raise
        raise MissingExtra("executor='docket'", "docket") from None
    return DocketExecutor(store_url)
