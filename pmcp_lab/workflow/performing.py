"""What the server does for a step: it reads resources, calls a tool, again at once where it may; or takes it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import Any

import anyio
from mcp.shared.exceptions import MCPError

from pmcp_lab.protocol.backoff import doubled
from pmcp_lab.protocol.task import to_timestamp
from pmcp_lab.protocol.workflow_wire import Attempt, text_of
from pmcp_lab.workflow.calling import Caller
from pmcp_lab.workflow.plan import Run, TakeBack, failed, unreadable
from pmcp_lab.workflow.progress import Progress


async def perform(
    move: Run, progress: Progress, caller: Caller, now: Callable[[], datetime]
) -> tuple[Mapping[str, Any], list[tuple[str, str]], list[Attempt]]:
    """Do a step; its result, what it read, and the attempts that failed before the last."""
    step, read, failures = move.step, list[tuple[str, str]](), list[Attempt]()
    raw: Mapping[str, Any] = {}
    for attempt in range(step.retries + 1):
        if attempt:
            ended = to_timestamp(now())
            started = failures[-1].ended if failures else None
            failures.append(Attempt(started=started, ended=ended, outcome="failed", by="server"))
            await anyio.sleep(doubled(attempt - 1, step.backoff))
        read.clear()
        try:
            with nullcontext() if step.timeout is None else anyio.fail_after(step.timeout):
                raw = await _once(move, progress, caller, read)
        except TimeoutError:
            raw = failed(f"it took longer than {step.timeout:g} s")
        except MCPError as error:
            # The same each time.
            raw = failed(error.message)
            break
        if raw.get("isError") is not True:
            break
    return raw, read, failures


async def take_back(move: TakeBack, caller: Caller) -> str | None:
    """Take a step back; why that failed, if it did."""
    step = move.step
    try:
        with nullcontext() if step.timeout is None else anyio.fail_after(step.timeout):
            raw = await caller.call(move.tool, move.arguments)
    except TimeoutError:
        return f"it took longer than {step.timeout:g} s"
    except MCPError as error:
        return error.message
    return (text_of(raw) or "its tool failed without a word") if raw.get("isError") is True else None


async def _once(move: Run, progress: Progress, caller: Caller, read: list[tuple[str, str]]) -> Mapping[str, Any]:
    step, blocks = move.step, list[dict[str, Any]]()
    for uri in move.resources:
        try:
            contents = await caller.read(uri)
        except MCPError as error:
            return unreadable(uri, error.message)
        for each in contents:
            # Of a list of contents behind one URI each has one of its own; the step knows the one it asked for.
            blocks.append({"type": "resource", "resource": {**each, "uri": uri}})
            read.append((uri, str(each.get("text", f"[{each.get('mimeType', 'binary')}]"))))
    if step.tool is not None:
        return await caller.call(step.tool, move.arguments)
    before = progress.results.get(step.name)
    earlier = [] if before is None or before.is_error else list(before.raw.get("content") or ())
    read.clear()
    return {"content": [*earlier, *blocks], "isError": False}
