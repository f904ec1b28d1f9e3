"""What a step of a workflow is, and an argument: what is done, where its values come from, what happens otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pmcp_lab.protocol.durations import Duration, as_duration, seconds
from pmcp_lab.protocol.workflow_wire import Execution

ArgumentType = Literal["string", "number", "integer", "boolean"]


class Model(BaseModel):
    """What is written in workflows: nothing in it changes, and nothing unknown is in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PromptArg(Model):
    """An argument of the prompt, read as the type it is declared with."""

    prompt: str


class StepOutput(Model):
    """What an earlier step gave, by the name it was bound to.

    Args:
        field: Keys and list indexes, dotted: `files.0.path`; a key that looks like a number is found first.
    """

    output: str
    field: str | None = None


class Constant(Model):
    """A value, never looked into."""

    constant: Any


class TaskVariable(Model):
    """A variable of the task, which tools and the client write."""

    variable: str
    field: str | None = None


class Template(Model):
    """Text in which `{name}` stands for a prompt argument or one of the step's `values`."""

    template: str


Sources = PromptArg | StepOutput | Constant | TaskVariable | Template

_SHAPES = tuple(
    frozenset(keys)
    for keys in (
        {"prompt"},
        {"output"},
        {"output", "field"},
        {"constant"},
        {"variable"},
        {"variable", "field"},
        {"template"},
    )
)


def _as_source(value: Any) -> Any:
    """A plain value is a constant, and so is an object that only resembles a source."""
    named = isinstance(value, Mapping) and value.keys() in _SHAPES
    return value if isinstance(value, Sources) or named else Constant(constant=value)


Source = Annotated[Sources, BeforeValidator(_as_source)]


def prompt_arg(name: str) -> PromptArg:
    return PromptArg(prompt=name)


def from_step(binding: str, field: str | None = None) -> StepOutput:
    """What the step with this `bind` gave, or a field of it: `from_step("artifact", "file.path")`."""
    return StepOutput(output=binding, field=field)


def constant(value: Any) -> Constant:
    """A value; needed only for one that looks like a source."""
    return Constant(constant=value)


def task_variable(name: str, field: str | None = None) -> TaskVariable:
    return TaskVariable(variable=name, field=field)


def template(text: str) -> Template:
    return Template(template=text)


class Argument(Model):
    """An argument of the prompt. MCP has them as text; what is no `type` is refused."""

    name: str
    description: str = ""
    required: bool = True
    type: ArgumentType = "string"


No = Literal["stop", "skip", "fail"]


class Undo(Model):
    """What takes a step back: a tool of the server, which may be called twice when a process ends in the middle.

    Args:
        arguments: As a step's; what the step itself gave is there too, by the step's `bind`.
    """

    tool: str
    arguments: dict[str, Source] = Field(default_factory=dict)


def _as_undo(value: Any) -> Any:
    """A tool's name, or that and its arguments."""
    if isinstance(value, str):
        return {"tool": value}
    if isinstance(value, tuple | list) and len(value) == 2:
        return {"tool": value[0], "arguments": value[1]}
    return value


def _as_condition(value: Any) -> Any:
    """`"ok"` is short for `{"ok": True}`."""
    return {value: True} if isinstance(value, str) else value


def _as_fields(value: Any) -> Any:
    """`{"ok": "boolean"}` is short for `{"ok": {"type": "boolean"}}`."""
    if not isinstance(value, Mapping):
        return value
    return {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in value.items()}


class Step(Model):
    """One step. In `guidance`, `question` and `resources`, `{name}` is a prompt argument or one of `values`.

    Args:
        tool: What is called; None for a step that only reads resources, or only asks.
        arguments: Of the tool, by name. A value that is no source is a constant.
        bind: The name by which later steps find what this one gives.
        values: More names for texts of this step.
        resources: URIs that are read before the tool is called, for the messages. A name's value is percent-encoded in
            them; in `{+name}` a path keeps its slashes.
        guidance: Told to whoever has to do the step.
        execution: "auto": the server, or the client where the server can't; "server": the server alone; "client": the
            client alone; "manual": a person is asked, then the tool, if there is one, is run by the server.
        question: What a person is asked.
        answer: Fields of the answer, as JSON Schema of elicitation or just their type. Without a tool the answer is
            what the step gives; with one, the fields are arguments of the tool.
        proceed_if: What an answer has to say for the workflow to go on: the name of a boolean field that is true, or
            fields with the value, or the list of values, each must have. Without it every accepted answer does.
        on_no: What becomes of the workflow when a person declines, or the answer is not what `proceed_if` wants:
            "stop" it there, "skip" the rest and be done, or "fail". Until a person has agreed, nobody does this step or
            a later one.
        within: How long a person has: seconds, text such as "2d", or a `timedelta`.
        otherwise: What counts when nobody answered within that: "stop", "skip" or "fail", or an answer. A deadline is a
            moment on the clock of the server that asked; the one that acts on it may be off by as much as their clocks
            differ. An answer that comes late, and before a server has acted, counts.
        guarded: Its tool runs in its turn and with its arguments, or not at all: every other call is refused, also
            one that has nothing to do with a workflow.
        undo: What takes it back when the workflow stops, fails, or is to be undone: a tool, or a tool and arguments.
        retryable: It may run twice. When its process ends meanwhile, it is run again by itself.
        retries: How often it is tried once more at once.
        backoff: Before the first of those, in seconds or as text such as "500ms"; each further one waits twice as long.
        timeout: How long it may take, likewise.
        optional: The workflow goes on when it fails; it is skipped when its values are not there.
    """

    name: str
    tool: str | None = None
    arguments: dict[str, Source] = Field(default_factory=dict)
    bind: str | None = None
    values: dict[str, Source] = Field(default_factory=dict)
    resources: tuple[str, ...] = ()
    guidance: str | None = None
    execution: Execution = "auto"
    question: str | None = None
    answer: Annotated[dict[str, dict[str, Any]], BeforeValidator(_as_fields)] = Field(default_factory=dict)
    proceed_if: Annotated[dict[str, Any], BeforeValidator(_as_condition)] = Field(default_factory=dict)
    on_no: No = "stop"
    within: Annotated[Duration, BeforeValidator(as_duration)] | None = None
    otherwise: No | dict[str, Any] | None = None
    guarded: bool = False
    undo: Annotated[Undo, BeforeValidator(_as_undo)] | None = None
    retryable: bool = False
    retries: Annotated[int, Field(ge=0, le=100)] = 0
    backoff: Annotated[float, BeforeValidator(seconds), Field(ge=0, le=3600)] = 0.5
    timeout: Annotated[float, BeforeValidator(seconds), Field(gt=0)] | None = None
    optional: bool = False

    @property
    def only_reads(self) -> bool:
        return self.tool is None and self.execution != "manual"
