"""Completions that a server asks of its host (MCP "Sampling"): a callback of the notebook makes them, or nobody.

The capability is declared in the handshake, so the callback has to be there when the connection is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mcp_types as types
from pydantic import ValidationError

from pmcp_lab.client.questions.elicitation import off_loop

SamplingCallback = Callable[[list[dict[str, Any]], dict[str, Any]], Any]
"""`callback(messages, params)`: the messages and the whole params of `sampling/createMessage`, as they came. Returns
the assistant's text, or a `CreateMessageResult` as a mapping. May be a coroutine function."""

SAMPLING_REFUSED = "Sampling not supported"
"""How the SDK words the refusal for a client that did not declare sampling."""

SAMPLING_HOW = "connect with lab.connect(…, on_sampling=callback), where callback(messages, params) returns the text."


class Sampling:
    """Who makes the completions that one server asks for.

    Attributes:
        callback: None where nobody does.
    """

    def __init__(self, callback: SamplingCallback | None = None) -> None:
        self.callback = callback
        self.declared = callback is not None
        """Whether the server was told that there is somebody, which is said in the handshake or never."""

    async def sample(self, params: Mapping[str, Any]) -> dict[str, Any] | types.ErrorData:
        """See the function."""
        return await sample(self.callback, params)


async def sample(callback: SamplingCallback | None, params: Mapping[str, Any]) -> dict[str, Any] | types.ErrorData:
    """The answer to `sampling/createMessage`, or the JSON-RPC error that refuses it."""
    if callback is None:
        return types.ErrorData(code=types.INVALID_REQUEST, message="this host has no model to sample from")
    if any(params.get(name) for name in ("tools", "toolChoice")):
        # A client that does not declare `sampling.tools` must refuse them, so that nobody waits for a tool to be used.
        return types.ErrorData(code=types.INVALID_PARAMS, message="this host makes completions without tools")
    try:
        said = await off_loop(callback, list(params.get("messages") or ()), dict(params))
        result = {"content": {"type": "text", "text": said}} if isinstance(said, str) else dict(said)
        whole = {"role": "assistant", "model": "unknown", **result}
        checked = types.CreateMessageResult.model_validate(whole, by_name=False)
    except ValidationError as error:
        return _failed(f"what the on_sampling callback returned is no CreateMessageResult: {error.errors()[0]['msg']}")
    except Exception as error:  # the callback is the notebook's own code
        return _failed(f"the on_sampling callback failed: {type(error).__name__}: {error}")
    return checked.model_dump(by_alias=True, mode="json", exclude_none=True)


def _failed(why: str) -> types.ErrorData:
    return types.ErrorData(code=types.INTERNAL_ERROR, message=why)
