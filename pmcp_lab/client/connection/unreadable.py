"""Lines that the SDK can't read as messages, and that are answers all the same: nobody waits for one in vain."""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types
from pydantic import ValidationError


def given(error: ValidationError) -> str | dict[str, Any]:
    """The line that could not be read, or the object in it that is no message."""
    errors = error.errors(include_url=False, include_context=False)
    for each in errors:
        if isinstance(each["input"], dict) and "jsonrpc" in each["input"]:
            return each["input"]
    text = errors[0]["input"]
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)


def read_anyway(line: str | dict[str, Any]) -> types.JSONRPCMessage | None:
    """What a line says that is JSON to Python, with half characters (lone surrogates) replaced.

    Returns:
        The message; the refusal of a request whose answer can't be read even so; None for what answers nothing.
    """
    try:
        raw = json.loads(line) if isinstance(line, str) else line
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict) or raw.get("jsonrpc") != "2.0":
        return None
    try:
        return types.jsonrpc_message_adapter.validate_python(_whole(raw), by_name=False)
    except (ValidationError, RecursionError):
        number = raw.get("id")
        if "method" in raw or isinstance(number, bool) or not isinstance(number, int | str):
            return None
        refused = types.ErrorData(code=types.INTERNAL_ERROR, message="an answer that is no message of JSON-RPC")
        return types.JSONRPCError(jsonrpc="2.0", id=number, error=refused)


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole(name): _whole(each) for name, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value
