"""What an author writes: a workflow, its arguments, its steps, and where the values of a step come from.

The models are the declarative form too: `SequentialWorkflow.load` reads one from YAML or JSON. Whether one makes sense
is said by `checking`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pmcp_lab.errors import WorkflowInvalid
from pmcp_lab.protocol.durations import Duration, as_duration, seconds
from pmcp_lab.protocol.workflow_wire import Execution

ArgumentType = Literal["string", "number", "integer", "boolean"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PromptArg(_Model):
    """An argument of the prompt, read as the type it is declared with."""

    prompt: str


class StepOutput(_Model):
    """What an earlier step gave, by the name it was bound to.

    Args:
        field: Keys and list indexes, dotted: `files.0.path`; a key that looks like a number is found first.
    """

    output: str
    field: str | None = None


class Constant(_Model):
    """A value, never looked into."""

    constant: Any


class TaskVariable(_Model):
    """A variable of the task, which tools and the client write."""

    variable: str
    field: str | None = None


class Template(_Model):
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


class Argument(_Model):
    """An argument of the prompt. MCP has them as text; what is no `type` is refused."""

    name: str
    description: str = ""
    required: bool = True
    type: ArgumentType = "string"


No = Literal["stop", "skip", "fail"]


class Undo(_Model):
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


class Step(_Model):
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


class SequentialWorkflow(_Model):
    """Steps in order, offered as a prompt. `argument` and `step` give a new workflow with one more.

    Args:
        name: Of the prompt.
        description: What it does, as the end of "I want to …".
        instructions: Said before everything else, with prompt arguments filled in.
        ttl: How long its tasks are kept: seconds, text such as "1h", or a `timedelta`; None is the store's.
    """

    name: str
    description: str = ""
    title: str | None = None
    arguments: tuple[Argument, ...] = ()
    steps: tuple[Step, ...] = ()
    instructions: tuple[str, ...] = ()
    ttl: Annotated[Duration, BeforeValidator(as_duration)] | None = None

    def __init__(self, name: str = "", description: str = "", **more: Any) -> None:
        super().__init__(**{"name": name, "description": description, **more})

    def argument(
        self,
        name: str,
        description: str = "",
        *,
        required: bool = True,
        type: ArgumentType = "string",  # noqa: A002 - as in JSON Schema
    ) -> SequentialWorkflow:
        """The workflow with one more argument."""
        one = Argument(name=name, description=description, required=required, type=type)
        return self.model_copy(update={"arguments": (*self.arguments, one)})

    def step(
        self, name: str, tool: str | None = None, arguments: Mapping[str, Any] | None = None, **more: Any
    ) -> SequentialWorkflow:
        """The workflow with one more step.

        Args:
            more: As for `Step`.

        Raises:
            WorkflowInvalid: An argument can't be used.
        """
        try:
            one = Step(name=name, tool=tool, arguments=dict(arguments or {}), **more)
        except ValidationError as error:
            raise _invalid(self.name, error, ("steps", name)) from None
        return self.model_copy(update={"steps": (*self.steps, one)})

    def instruction(self, text: str) -> SequentialWorkflow:
        """The workflow with one more instruction."""
        return self.model_copy(update={"instructions": (*self.instructions, text)})

    @classmethod
    def load(cls, path: str | Path) -> SequentialWorkflow:
        """The workflow in a YAML or JSON file.

        Raises:
            OSError: It can't be read.
            WorkflowInvalid: It is not a workflow; every problem is named.
        """
        return cls.parse(Path(path).read_text(encoding="utf-8"), where=str(path))

    @classmethod
    def parse(cls, text: str, *, where: str = "the text") -> SequentialWorkflow:
        """The workflow in YAML or JSON text.

        Raises:
            WorkflowInvalid: As `load`.
        """
        try:
            raw = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise WorkflowInvalid(where, [("", f"is not YAML: {' '.join(str(error).split())}")]) from None
        if not isinstance(raw, dict):
            raise WorkflowInvalid(where, [("", "is not an object with name, description and steps")])
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise _invalid(str(raw.get("name") or where), error, raw=raw) from None


def _invalid(
    workflow: str, error: ValidationError, start: Sequence[str] = (), *, raw: Mapping[str, Any] | None = None
) -> WorkflowInvalid:
    """What pydantic found, in words of the workflow: which step, which field."""
    problems = []
    for found in error.errors():
        path = [str(part) for part in (*start, *found["loc"])]
        if path[0] == "steps" and len(path) > 1:
            path = [f"step {_step_name(raw, path[1])!r}", *path[2:]]
        # The name of the class that was tried for a source says nothing to an author.
        path = [part for part in path if not part.startswith("function-") and part not in _CLASSES]
        problems.append((", ".join(path), found["msg"]))
    return WorkflowInvalid(workflow, list(dict.fromkeys(problems)))


_CLASSES = frozenset({"Undo", "PromptArg", "StepOutput", "Constant", "TaskVariable", "Template"})


def _step_name(raw: Mapping[str, Any] | None, part: str) -> str:
    if raw is None or not part.isdigit():
        return part
    step = raw["steps"][int(part)]
    return str(step.get("name", part)) if isinstance(step, Mapping) else part
