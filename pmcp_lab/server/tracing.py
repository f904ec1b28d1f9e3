"""OpenTelemetry spans of runs, beside those the SDK makes of requests. Nothing happens unless a tracer is installed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry.context import Context
from opentelemetry.propagate import extract, inject
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    ProxyTracerProvider,
    Span,
    SpanKind,
    get_current_span,
    get_tracer,
    get_tracer_provider,
)

_tracer = get_tracer("pmcp_lab")


def trace_context() -> dict[str, str]:
    """`traceparent` (and `tracestate`) of the current span, to be kept with the job; empty without one."""
    carrier: dict[str, str] = {}
    if get_current_span().get_span_context().is_valid:
        inject(carrier)
        # Baggage is the caller's data, and what is kept here is kept in the clear.
        carrier.pop("baggage", None)
    return carrier


def run_span(tool: str, task_id: str, attempt: int, kept: Mapping[str, Any]) -> AbstractContextManager[Span]:
    """One run of a task: a trace of its own, linked to the request that made the task.

    Args:
        kept: The job's context, with what `trace_context` gave.
    """
    if isinstance(get_tracer_provider(), ProxyTracerProvider):
        # Nothing is installed that would hear of it.
        return nullcontext(INVALID_SPAN)
    links = []
    if "traceparent" in kept:
        origin = get_current_span(extract(kept, context=Context())).get_span_context()
        if origin.is_valid:
            links.append(Link(origin))
    return _tracer.start_as_current_span(
        f"task {tool}",
        context=Context(),
        kind=SpanKind.CONSUMER,
        attributes={
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "mcp.task.id": task_id,
            "mcp.task.attempt": attempt,
        },
        links=links,
        # A tool's own words may hold arguments and results.
        record_exception=False,
        set_status_on_exception=False,
    )
