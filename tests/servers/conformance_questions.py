"""The tools and the prompt of the conformance suite that ask in their result (multi round-trip requests)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mcp.server.mcpserver import Context
from mcp_types import CreateMessageRequest, ElicitRequest, InputRequiredResult, ListRootsRequest

Asking = Callable[[Context], Awaitable[str | InputRequiredResult]]

TOOLS: list[Asking] = []


def asks(tool: Asking) -> Asking:
    TOOLS.append(tool)
    return tool


def _form(message: str, **properties: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


def _sample(text: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": {"type": "text", "text": text}}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": 100}}


ROOTS: dict[str, Any] = {"method": "roots/list"}
KINDS = {
    "elicitation/create": ElicitRequest,
    "sampling/createMessage": CreateMessageRequest,
    "roots/list": ListRootsRequest,
}


def _ask(state: str | None = None, **requests: dict[str, Any]) -> InputRequiredResult:
    typed = {key: KINDS[raw["method"]].model_validate(raw) for key, raw in requests.items()}
    return InputRequiredResult(input_requests=typed, request_state=state)  # type: ignore[arg-type]


def _given(ctx: Context, key: str) -> Any:
    return (ctx.input_responses or {}).get(key)


def _content(ctx: Context, key: str, field: str) -> Any:
    return (getattr(_given(ctx, key), "content", None) or {}).get(field)


@asks
async def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Asks for a name."""
    name = _content(ctx, "user_name", "name")
    return f"Hello, {name}!" if name else _ask(user_name=_form("What is your name?", name="string"))


@asks
async def test_streaming_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Asks in its result and never on its stream."""
    name = _content(ctx, "user_name", "name")
    return f"Hello, {name}!" if name else _ask(user_name=_form("What is your name?", name="string"))


@asks
async def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
    """Asks the client's model."""
    given = _given(ctx, "capital_question")
    return str(given.content.text) if given else _ask(capital_question=_sample("What is the capital of France?"))


@asks
async def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
    """Asks for the client's roots."""
    given = _given(ctx, "client_roots")
    return f"roots: {[str(root.uri) for root in given.roots]}" if given else _ask(client_roots=ROOTS)


@asks
async def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
    """Asks, with a state that must come back."""
    if ctx.request_state == "first" and _given(ctx, "confirm"):
        return "state-ok"
    return _ask("first", confirm=_form("Please confirm", ok="boolean"))


@asks
async def test_input_required_result_tampered_state(ctx: Context) -> str | InputRequiredResult:
    """Asks, with a state that nobody may change."""
    if ctx.request_state == "sealed" and _given(ctx, "confirm"):
        return "untouched"
    return _ask("sealed", confirm=_form("Please confirm", ok="boolean"))


@asks
async def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
    """Asks three things at once."""
    keys = ("user_name", "greeting", "client_roots")
    if all(_given(ctx, key) for key in keys):
        return "all there"
    return _ask(
        "three",
        user_name=_form("What is your name?", name="string"),
        greeting=_sample("Generate a greeting"),
        client_roots=ROOTS,
    )


@asks
async def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
    """Asks twice, one after the other."""
    if ctx.request_state == "two" and _given(ctx, "step2"):
        return "both known"
    if ctx.request_state == "one" and _given(ctx, "step1"):
        return _ask("two", step2=_form("Step 2: What is your favorite color?", color="string"))
    return _ask("one", step1=_form("Step 1: What is your name?", name="string"))


@asks
async def test_input_required_result_capabilities(ctx: Context) -> str | InputRequiredResult:
    """Asks only what the client can answer."""
    declared = ctx.request_context.session.client_capabilities
    wanted = {}
    if declared is not None and declared.elicitation is not None:
        wanted["form"] = _form("A value", value="string")
    if declared is not None and declared.sampling is not None:
        wanted["sample"] = _sample("Anything")
    return "answered" if ctx.input_responses or not wanted else _ask("some", **wanted)


async def test_input_required_result_prompt(ctx: Context) -> Any:
    """Asks before it is made."""
    context = _content(ctx, "user_context", "context")
    if context:
        return f"With {context}"
    return _ask(user_context=_form("What context should the prompt use?", context="string"))
