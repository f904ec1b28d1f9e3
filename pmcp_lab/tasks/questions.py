"""What a task can ask of its client, as MCP puts it, and what the client's answers mean.

Who carries them is not decided here: a stored task shows them in its record, a plain call sends them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from pmcp_lab.errors import INVALID_PARAMS, LabError
from pmcp_lab.protocol.loose import as_mapping
from pmcp_lab.protocol.ui import UI_EXTENSION, question_app
from pmcp_lab.tasks.json_value import compact_json

# The pieces of the SDK used in this layer are imported only when a question is asked.
if TYPE_CHECKING:
    from mcp_types import ClientCapabilities, CreateMessageResult, SamplingMessage

M = TypeVar("M", bound=BaseModel)

Action = Literal["accept", "decline", "cancel"]

FORM, URL, SAMPLING, APP = "elicitation", "elicitation.url", "sampling", "elicitation.app"
"""Kinds of questions, by the capability a client declares for them. `APP` is a form that an app of the server asks."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[M]):
    """What came of a question. `content` is there when a form was accepted (MCP "Elicitation")."""

    action: Action
    content: M | None = None

    @property
    def accepted(self) -> bool:
        return self.action == "accept"


def form(message: str, schema: type[BaseModel], app: str | None = None) -> dict[str, Any]:
    """Form mode of `elicitation/create`.

    Args:
        app: The `ui://` resource that asks it where a client lets it.

    Raises:
        TypeError: A field of the schema is not one that a form can have.
        ValueError: `app` is no address of an app.
    """
    from mcp.server.elicitation import render_elicitation_schema

    params = {"mode": "form", "message": message, "requestedSchema": render_elicitation_schema(schema)}
    if app is not None:
        params["_meta"] = {"ui": {"resourceUri": app}}
        if question_app(params) is None:
            raise ValueError(f"app is the address of a resource, ui://…, not {app!r}")
    return {"method": "elicitation/create", "params": params}


def link(message: str, url: str) -> dict[str, Any]:
    """URL mode of `elicitation/create`."""
    params = {"mode": "url", "message": message, "url": url, "elicitationId": str(uuid4())}
    return {"method": "elicitation/create", "params": params}


def sampling(messages: str | Sequence[SamplingMessage | Mapping[str, Any]], **params: Any) -> dict[str, Any]:
    """`sampling/createMessage`; parameters that are None are left out."""
    if isinstance(messages, str):
        said: list[Any] = [{"role": "user", "content": {"type": "text", "text": messages}}]
    else:
        said = [
            message.model_dump(by_alias=True, mode="json", exclude_none=True)
            if isinstance(message, BaseModel)
            else dict(message)
            for message in messages
        ]
    given = {name: value for name, value in params.items() if value is not None}
    return {"method": "sampling/createMessage", "params": {"messages": said, **given}}


def answered(message: str, response: Any, schema: type[M] | None) -> Answer[M]:
    """The answer to an elicitation; `schema` is None for one that has no content.

    Raises:
        LabError: It is not one.
    """
    action = response.get("action") if isinstance(response, Mapping) else None
    if action not in ("accept", "decline", "cancel"):
        raise LabError(f"the client's answer to {message!r} has no valid action")
    if action != "accept" or schema is None:
        return Answer(action)
    try:
        return Answer("accept", schema.model_validate(response.get("content") or {}))
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, problem["loc"])) for problem in error.errors()}))
        raise LabError(f"the client's answer to {message!r} does not fit its form ({fields})") from None


def sampled(response: Any) -> CreateMessageResult:
    """The message of the client's model.

    Raises:
        LabError: It is not one.
    """
    from mcp_types import CreateMessageResult

    try:
        return CreateMessageResult.model_validate(response, by_name=False)
    except ValidationError:
        raise LabError("the client's answer to sampling/createMessage is not a message of a model") from None


def answerable(capabilities: ClientCapabilities | None) -> list[str]:
    """The kinds of questions a client with these capabilities answers."""
    if capabilities is None:
        return []
    kinds = []
    asked = capabilities.elicitation
    if asked is not None:
        # An empty object means forms (MCP 2025-11-25 "Elicitation", capabilities).
        if asked.form is not None or asked.url is None:
            kinds.append(FORM)
            if "elicitation" in as_mapping((capabilities.extensions or {}).get(UI_EXTENSION)):
                kinds.append(APP)
        if asked.url is not None:
            kinds.append(URL)
    if capabilities.sampling is not None:
        kinds.append(SAMPLING)
    return kinds


def kind_of(request: Mapping[str, Any]) -> str:
    """The kind of a question.

    Raises:
        LabError: It is of none (-32602).
    """
    match request.get("method"):
        case "elicitation/create":
            return URL if (request.get("params") or {}).get("mode") == "url" else FORM
        case "sampling/createMessage":
            return SAMPLING
        case other:
            raise LabError(
                f"a task asks with elicitation/create or sampling/createMessage, not with {other!r}",
                code=INVALID_PARAMS,
            )


def askable(request: Mapping[str, Any], kinds: Collection[str]) -> Mapping[str, Any]:
    """A question as a client is asked that answers these kinds: it hears of an app only where it shows it.

    Raises:
        LabError: It answers none of this kind.
    """
    kind = kind_of(request)
    if kind not in kinds:
        raise LabError(f"the client can't be asked: it did not declare {kind}, or its connection can't carry questions")
    params = request.get("params") or {}
    if APP in kinds or question_app(params) is None:
        return request
    ui = {name: value for name, value in params["_meta"]["ui"].items() if name != "resourceUri"}
    meta = {**{name: value for name, value in params["_meta"].items() if name != "ui"}, **({"ui": ui} if ui else {})}
    without = {name: value for name, value in params.items() if name != "_meta"}
    return {**request, "params": {**without, **({"_meta": meta} if meta else {})}}


def key_of(request: Mapping[str, Any], number: int) -> str:
    """A key that is the same when a task that is run again asks the same again."""
    params = {name: value for name, value in request["params"].items() if name != "elicitationId"}
    return f"q{number}-{hashlib.sha256(compact_json([request['method'], params])).hexdigest()[:12]}"
