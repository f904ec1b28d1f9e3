"""What a workflow looks like at one moment, and its names on the wire. How it is written and read: `workflow_wire`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

from pmcp_lab.protocol.loose import as_mapping

WORKFLOW: Final = "run.pmcp/workflow"
"""`_meta` key of everything said here."""

TASK_ID: Final = "_task_id"
"""`_meta` key of a request: the workflow's task. On the prompt itself it resumes the workflow."""

STEP: Final = "run.pmcp/step"
"""`_meta` key of a continuation: which step it is for, where several would do."""

ACTION: Final = "run.pmcp/action"
"""`_meta` key of a resuming `prompts/get`: what a person wants done instead of just going on; see `Action`."""

VARIABLES: Final = "_workflow."
"""Start of the names of variables that are the workflow's own: no client writes them."""

PROGRESS: Final = f"{VARIABLES}progress"
PAUSE: Final = f"{VARIABLES}pause_reason"
CALLS: Final = f"{VARIABLES}handoff"
RESULT: Final = f"{VARIABLES}result."
EXTRA: Final = f"{VARIABLES}extra."

SCHEMA_VERSION: Final = 1
"""Of the progress variable. A reader ignores what it does not know."""

TO_CONTINUE: Final = "To continue the workflow"
"""How the text of a handoff begins; each call is a numbered line `1. Call <tool> with <arguments as JSON>`."""


class StepStatus(StrEnum):
    """How a step stands. A step that runs is `pending`, and says so beside it.

    PMCP has the first four: on the wire a step that a person refused is `failed`, and says so beside it.
    """

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    REFUSED = "refused"


Execution = Literal["auto", "server", "client", "manual"]
"""Who does a step: the server if it can, only the server, only the client, a person who is asked."""

CallKind = Literal["call", "read", "answer", "variable", "resume"]

Undone = Literal["undone", "failed"]
"""What became of taking a step back."""

EndingKind = Literal["stopped", "skipped", "failed", "undone"]
"""How a workflow ends that does not end with its last step: nothing more is done; the rest is skipped, and that is
fine; its task fails; what it did was taken back because somebody wanted that."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step gave, whatever encoding it was stored in.

    Args:
        raw: As a `CallToolResult`.
        value: What later steps see: the structured content (a sole `result` unwrapped), else the text, as JSON if it
            is an object or a list.
        omitted: The result was too big for a variable, and only its server has it.
    """

    raw: Mapping[str, Any]
    value: Any
    is_error: bool = False
    omitted: bool = False

    @property
    def text(self) -> str:
        """The texts in it, joined by newlines: of a failed step, why it failed."""
        return text_of(self.raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One time that a step was done, or a person was asked.

    Args:
        started, ended: RFC 3339; None where that is not known, or is still to come.
        outcome: "completed", "failed", "refused", "dismissed" (a question), "interrupted" (its process ended).
        by: Who: "server", "client" or "person".
    """

    started: str | None = None
    ended: str | None = None
    outcome: str | None = None
    by: str | None = None


@dataclass(frozen=True, kw_only=True)
class StepState:
    """One step.

    Args:
        tool: None for a step that only reads resources or only asks.
        running: Somebody is at it; in a task that nobody runs any more, somebody was.
        execution: Who does it.
        by: Who did it: "server", "client" or "person".
        arguments: What its tool was called with, unless that is too big to say.
        answer: What a person said, as the response to an elicitation: only what decided something.
        reason: Why it was refused or skipped.
        deadline: Of its question, see `PauseReason`.
        undo: The tool that takes it back.
        undone: What became of that.
        attempts: Oldest first, the last few.
        result: Where results are at hand: read from a task.
    """

    name: str
    status: StepStatus = StepStatus.PENDING
    tool: str | None = None
    running: bool = False
    execution: Execution = "auto"
    by: str | None = None
    arguments: Mapping[str, Any] | None = None
    answer: Mapping[str, Any] | None = None
    reason: str | None = None
    deadline: str | None = None
    undo: str | None = None
    undone: Undone | None = None
    attempts: tuple[Attempt, ...] = ()
    result: StepResult | None = None

    def but(self, **changes: Any) -> StepState:
        """With other values of these fields: a fifth of the time of `dataclasses.replace`."""
        other = object.__new__(StepState)
        other.__dict__.update(self.__dict__)
        other.__dict__.update(changes)
        return other

    @property
    def settled(self) -> bool:
        """Whether it needs nothing more."""
        return self.status is StepStatus.COMPLETED or self.status is StepStatus.SKIPPED

    @property
    def since(self) -> str | None:
        """When its last attempt ended, or began if it has not ended."""
        return (self.attempts[-1].ended or self.attempts[-1].started) if self.attempts else None


def wall(steps: Iterable[StepState]) -> str | None:
    """The step that a person has yet to agree to, if there is one: neither it nor a later one can be called.

    What a person has agreed to and then failed is none.
    """
    for step in steps:
        agreed = step.status is StepStatus.FAILED and step.answer is not None
        if step.execution == "manual" and not step.settled and not agreed:
            return step.name
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why a workflow ends before its last step.

    Args:
        step: Where.
        reason: One sentence for people, without its full stop.
        answer: What a person said, if it was that.
    """

    kind: EndingKind
    step: str | None = None
    reason: str = ""
    answer: Mapping[str, Any] | None = None


def ending_text(name: str, ending: Ending, steps: Sequence[StepState]) -> str:
    """Why a workflow ended before its last step, and what became of what it had done: for people."""
    where = "" if ending.step is None else f" at step {ending.step}"
    how = {
        "stopped": f"was stopped{where}",
        "skipped": f"was done{where}, and the rest was skipped",
        "failed": f"failed{where}",
        "undone": "was ended to be undone",
    }[ending.kind]
    said = f"Workflow {name} {how}" + (f": {ending.reason}." if ending.reason else ".")
    for what, undone in (("Taken back", "undone"), ("NOT taken back, look after it", "failed")):
        names = [step.name for step in reversed(steps) if step.undone == undone]
        said += f" {what}: {', '.join(names)}." if names else ""
    return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a person wants done with a workflow that stands.

    Args:
        kind: "skip" the step where it stands, or "undo" what was done and end it.
        reason: Recorded with it.
    """

    kind: Literal["skip", "undo"]
    step: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseReason:
    """Why the workflow does not go on by itself.

    Args:
        kind: PMCP's "unresolvableParams", "schemaMismatch", "toolError", "unresolvedDependency"; or "resourceError",
            "clientStep" (it is the client's to do), "inputRequired" (a person is asked). May be another one.
        step: Where it stands.
        message: One sentence for people.
        missing: Names of the arguments, or of the output, that are not there or don't fit.
        tool: What could be called.
        retryable: Whether the step may run again.
        interrupted: Nobody knows whether the step has run: its process ended.
        producer: The step whose output is missing.
        deadline: When an open question decides itself (RFC 3339, by the clock of the server that asked).
        raw: As it came.
    """

    kind: str
    step: str
    message: str
    missing: tuple[str, ...] = ()
    tool: str | None = None
    retryable: bool = False
    interrupted: bool = False
    producer: str | None = None
    deadline: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextCall:
    """One thing the client can do; those of a handoff are in the order of the steps.

    Args:
        kind: "call" a tool, "read" a resource (both with `continuation_meta`), "answer" a question of the task,
            set a "variable" of the task, or "resume": get the prompt again with the task's id.
        step: The step it does.
        target: The tool's name, the resource's URI, the question's key, the variable's name, or the prompt's name.
        arguments: Of the tool; where a value is not known, a text such as `<output from build>` stands for it.
        missing: The arguments the caller has to find.
        guidance: For whoever does it.
        request: The question, as `elicitation/create`.
    """

    kind: CallKind
    target: str
    step: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    guidance: str | None = None
    request: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of a continuation.

    Args:
        step: The step its result was recorded for.
        status: How the step stands since.
        extra: No step wanted it, and it was kept as an extra result of its tool.
        refused: Why nothing was recorded.
    """

    step: str | None = None
    status: StepStatus | None = None
    extra: bool = False
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowState:
    """A workflow at one moment.

    Args:
        status: Of its task; text, because a client shows what it does not know.
        name: Of its prompt; None when the server does not say.
        calls: What the client can do next.
        ending: Why it ends, or ended, before its last step.
        recorded: In the answer to a continuation.
        ran: Steps the server ran on this request.
    """

    task_id: str
    status: str
    steps: tuple[StepState, ...] = ()
    name: str | None = None
    goal: str | None = None
    pause: PauseReason | None = None
    calls: tuple[NextCall, ...] = ()
    ending: Ending | None = None
    recorded: Recorded | None = None
    ran: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """How many steps need nothing more."""
        return sum(step.settled for step in self.steps)

    @property
    def skippable(self) -> str | None:
        """The step that a person may skip: where it stands, unless a person has yet to decide there."""
        if self.pause is None:
            return None
        steps = {step.name: step for step in self.steps}
        for name in (self.pause.producer, self.pause.step):
            step = steps.get(name or "")
            if step is None or step.running or step.settled:
                continue
            if step.execution != "manual" or (step.answer is not None and step.status is not StepStatus.REFUSED):
                return step.name
        return None


def text_of(result: Mapping[str, Any]) -> str:
    """The texts in a `CallToolResult`, those of embedded resources too, joined by newlines."""
    blocks = result.get("content")
    texts = []
    for block in blocks if isinstance(blocks, list) else ():
        if not isinstance(block, Mapping):
            continue
        text = as_mapping(block.get("resource")).get("text") if block.get("type") == "resource" else block.get("text")
        if isinstance(text, str):
            texts.append(text)
    return "\n".join(texts)
