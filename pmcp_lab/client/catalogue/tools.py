"""The tools a server lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Protocol

from pmcp_lab.client import views
from pmcp_lab.client.catalogue.listing import Listing, first_line
from pmcp_lab.client.catalogue.results import ToolResult
from pmcp_lab.client.catalogue.signatures import documentation_of, signature_of, writable
from pmcp_lab.errors import InvalidArguments, InvalidResult, LabError, UnknownTool, nearest
from pmcp_lab.protocol.ui import ToolUi, tool_ui
from pmcp_lab.protocol.validation import Comparison, UnusableSchema

_RESULT_SECONDS: Final = 0.25
"""For a result: it is compared where all that the server sends is read."""
_PROBLEMS: Final = 5
"""Of a result that fits nowhere, as many are told."""


class ToolUser(Protocol):
    """What tools are called through: a `Server`."""

    def call(self, tool: str, arguments: Mapping[str, Any] | None = None, /) -> ToolResult: ...

    def task(self, tool: str, arguments: Mapping[str, Any] | None = None, /) -> Any: ...

    def map(self, tool: str, rows: Any, arguments: Mapping[str, Any] | None, /, **options: Any) -> Any: ...


@dataclass(frozen=True)
class Tool:
    """One tool as its server describes it. It is called as a function: `tool(epochs=3)`.

    `inspect.signature`, `help`, `?` and Tab say what its input schema says.

    Attributes:
        server: The server's name.
        raw: The whole description.
    """

    server: str
    raw: Mapping[str, Any]
    _user: ToolUser | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, value in (
            ("__name__", self.name),
            ("__qualname__", f"{self.server}.{self.name}"),
            ("__doc__", documentation_of(self.description or self.title, self.arguments)),
        ):
            # `help` and `?` take what is the object's own before what is its class's.
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name != "__signature__":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return signature_of(self.arguments, self.required, ToolResult)

    def __call__(self, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> ToolResult:
        """Call it and wait for the result, as `Server.call` does. Every name is an argument of the tool.

        Args:
            arguments: Those whose names can't be written in a call.
        """
        return self._through().call(self.name, self._given(arguments, named))

    def task(self, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        """Start it as a task and return the `Task`; see `Server.task`. Every name is an argument of the tool."""
        return self._through().task(self.name, self._given(arguments, named))

    def map(self, rows: Any, arguments: Mapping[str, Any] | None = None, /, **options: Any) -> Any:
        """Start it once per row and return the `TaskSet`; see `Server.map` for rows, arguments and options."""
        return self._through().map(self.name, rows, arguments, **options)

    def _given(self, arguments: Mapping[str, Any] | None, named: Mapping[str, Any]) -> dict[str, Any]:
        if arguments is not None and not isinstance(arguments, Mapping):
            raise InvalidArguments(f"{self.server}.{self.name} takes its arguments by name: {self.signature}")
        return {**(arguments or {}), **named}

    def _through(self) -> ToolUser:
        if self._user is None:
            raise LabError(f"{self!r} was not listed by a connected server: it can't be called")
        return self._user

    @property
    def name(self) -> str:
        return str(self.raw["name"])

    @property
    def key(self) -> str:
        return self.name

    @property
    def title(self) -> str:
        annotations = self.raw.get("annotations") or {}
        return str(self.raw.get("title") or annotations.get("title") or self.name)

    @property
    def description(self) -> str:
        return str(self.raw.get("description") or "")

    @property
    def input_schema(self) -> dict[str, Any]:
        schema = self.raw.get("inputSchema")
        return dict(schema) if isinstance(schema, Mapping) else {"type": "object"}

    @property
    def required(self) -> list[str]:
        """The arguments that can't be left out."""
        listed = self.input_schema.get("required")
        return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []

    @property
    def output_schema(self) -> dict[str, Any]:
        """What its structured results look like; empty where the tool does not say."""
        schema = self.raw.get("outputSchema")
        return dict(schema) if isinstance(schema, Mapping) else {}

    @property
    def task_support(self) -> str | None:
        """ "forbidden", "optional", "required", or None where the server does not say (every modern one)."""
        execution = self.raw.get("execution") or {}
        support = execution.get("taskSupport") if isinstance(execution, Mapping) else None
        return str(support) if support is not None else None

    @cached_property
    def ui(self) -> ToolUi:
        return tool_ui(self.raw.get("_meta"))

    @property
    def arguments(self) -> dict[str, dict[str, Any]]:
        """The input schema's properties, by name."""
        properties = self.input_schema.get("properties") or {}
        return {str(k): v if isinstance(v, dict) else {} for k, v in properties.items()}

    @cached_property
    def _comparison(self) -> Comparison | None:
        try:
            return Comparison(self.input_schema)
        except UnusableSchema:
            return None

    def problems(self, arguments: Mapping[str, Any]) -> list[str]:
        """Where arguments don't fit the input schema, each with the path and what the schema wants there."""
        if not arguments and not self.input_schema.get("required"):
            return []  # nothing to compare; the first import of jsonschema takes a while
        try:
            errors = self._comparison.errors(dict(arguments)) if self._comparison else []
        except UnusableSchema:
            return []  # it is the server's to enforce
        problems = [_problem(error) for error in errors]
        known = self.arguments
        # Few servers say additionalProperties: false, and those that don't drop a misspelt argument in silence.
        open_ended = "additionalProperties" in self.input_schema or "patternProperties" in self.input_schema
        if known and not open_ended:
            unknown = [name for name in arguments if name not in known]
            problems += [f"{name}: not an argument of this tool.{nearest(name, known)}" for name in unknown]
        return list(dict.fromkeys(problems))

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Compare arguments with the input schema.

        Raises:
            InvalidArguments: Names each offending path and what the schema wants there.
        """
        if problems := self.problems(arguments):
            lines = "\n".join(f"  {problem}" for problem in problems)
            raise InvalidArguments(f"{self.server}.{self.name} can't take these arguments:\n{lines}\n{self.signature}")

    @cached_property
    def _promised(self) -> Comparison | None:
        try:
            return Comparison(self.output_schema, formats=False)
        except UnusableSchema:
            return None

    def check_result(self, result: Mapping[str, Any]) -> None:
        """Compare a `CallToolResult` with the output schema, as a client SHOULD (spec, "Tools", "Output Schema").

        A schema that can't be used, or a result that takes too long to compare, is taken as it is.

        Raises:
            InvalidResult: Names each offending path and what the schema wants there; it has the result.
        """
        if result.get("isError") or not self.output_schema:
            return
        if "structuredContent" not in result:
            raise InvalidResult(
                f"{self.server}.{self.name} has an output schema, but sent no structured content; "
                "what it sent is in the error's .result",
                dict(result),
            )
        try:
            errors = (
                self._promised.errors(result["structuredContent"], seconds=_RESULT_SECONDS) if self._promised else []
            )
        except UnusableSchema:
            return
        if errors:
            lines = "\n".join(f"  {_problem(error)}" for error in errors[:_PROBLEMS])
            more = f"\n  and {len(errors) - _PROBLEMS} more" if len(errors) > _PROBLEMS else ""
            raise InvalidResult(
                f"{self.server}.{self.name} sent a result that does not fit its own output schema "
                f"(the error's .result has it):\n{lines}{more}",
                dict(result),
            )

    @property
    def signature(self) -> str:
        """`name(a: integer, b: string = "x")`, from the input schema."""
        required = self.required
        parts = []
        for name, schema in self.arguments.items():
            text = f"{name}: {type_of(schema)}"
            if "default" in schema:
                text += f" = {json.dumps(schema['default'])}"
            elif name not in required:
                text += " = …"
            parts.append(text)
        return f"{self.name}({', '.join(parts)})"

    def row(self) -> dict[str, Any]:
        return {
            "tool": self.name,
            "title": self.title,
            "description": self.description,
            "arguments": ", ".join(self.arguments),
            "required": ", ".join(self.required),
            "task": self.task_support,
            "app": self.ui.resource_uri,
        }

    def cells(self) -> tuple[str, str, str]:
        return self.signature, first_line(self.description), ", ".join(badges(self))

    def form(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        """A form of the arguments with a button that runs the tool. Returns the widget.

        Args:
            values: What to fill in beforehand; keyword arguments are added.
        """
        return views.required().form(self, {**(values or {}), **named})

    def __repr__(self) -> str:
        return f"<Tool {self.server}.{self.signature}>"


def type_of(schema: Mapping[str, Any]) -> str:
    """A schema's type in a word or two."""
    if isinstance(schema.get("enum"), list):
        return " | ".join(json.dumps(value) for value in schema["enum"][:6])
    if "const" in schema:
        return json.dumps(schema["const"])
    options = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(options, list):
        return " | ".join(type_of(option) for option in options if isinstance(option, Mapping))
    kind = schema.get("type", "any")
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        return f"array of {type_of(schema['items'])}"
    return " | ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def _problem(error: Any) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    message = error.message if len(error.message) < 200 else error.message[:200] + "…"
    schema_path = "/".join(map(str, error.absolute_schema_path))
    return f"{where}: {message} (schema: {schema_path})" if where else f"{message} (schema: {schema_path})"


class Tools(Listing[Tool]):
    """The tools of one server, by name; shows itself as a table."""

    noun = "tools"
    heads = ("tool", "what it does", "support")

    def missing(self, name: str) -> UnknownTool:
        return UnknownTool(self._server, name, self._items)

    def __getattr__(self, name: str) -> Tool:
        # What a listing has itself comes first: a tool called "search" is in ["search"] alone.
        tools: dict[str, Tool] = self.__dict__.get("_items", {})
        if name in tools:
            return tools[name]
        raise AttributeError(f"{self.__dict__.get('_server')} has no tool {name!r}.{nearest(name, tools)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self._items if writable(name))]


def badges(tool: Tool) -> list[str]:
    found = []
    if tool.task_support in ("optional", "required"):
        found.append("task" if tool.task_support == "optional" else "task required")
    if tool.ui.resource_uri:
        found.append("app")
    if tool.ui.visibility == {"app"}:
        found.append("for apps only")
    return found
