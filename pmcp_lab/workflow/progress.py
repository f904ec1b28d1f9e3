"""How far a workflow is: a value that is never changed, only followed by another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from pmcp_lab.protocol.task import to_timestamp
from pmcp_lab.protocol.workflow_wire import (
    Attempt,
    Ending,
    PauseReason,
    StepResult,
    StepState,
    StepStatus,
    read_pause,
    read_result,
    wall,
)
from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.resolving import Scope
from pmcp_lab.workflow.steps import Step

KEPT_ATTEMPTS = 10
"""Attempts of a step that are remembered, the last."""


_DERIVED = ("scope", "settled", "wall")
"""What is made of the fields, once it is wanted."""


@dataclass(frozen=True)
class Progress:
    """How far a workflow is.

    Args:
        workflow: What it does.
        states: One per step, in order.
        results: By step, of those that have one.
        pause: Why it stands.
        arguments: Of the prompt.
        variables: Of the task, without the workflow's own.
        questions: Keys of what a person was asked.
        answers: Responses to those, by key.
        positions: Of the steps, by name.
        ending: Why it ends before its last step.
        now: The present, for what is written.
        skew: How far the clocks of servers may be apart: a deadline has passed once it has on all of them.
    """

    workflow: SequentialWorkflow
    states: tuple[StepState, ...]
    results: Mapping[str, StepResult] = field(default_factory=dict)
    pause: PauseReason | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    questions: frozenset[str] = frozenset()
    answers: Mapping[str, Any] = field(default_factory=dict)
    positions: Mapping[str, int] = field(default_factory=dict)
    ending: Ending | None = None
    now: datetime | None = None
    skew: timedelta = timedelta()

    def __post_init__(self) -> None:
        if not self.positions:
            object.__setattr__(self, "positions", {step.name: at for at, step in enumerate(self.workflow.steps)})

    def but(self, **changes: Any) -> Progress:
        """With other values of these fields: `dataclasses.replace`, which takes most of a step's time."""
        other = object.__new__(Progress)
        other.__dict__.update(self.__dict__)
        for name in _DERIVED if "now" not in changes else (*_DERIVED, "moment"):
            other.__dict__.pop(name, None)
        other.__dict__.update(changes)
        return other

    def state(self, step: str) -> StepState:
        return self.states[self.positions[step]]

    @cached_property
    def scope(self) -> Scope:
        """What steps take their values from."""
        outputs = {}
        for step, state in zip(self.workflow.steps, self.states, strict=True):
            result = self.results.get(step.name)
            if step.bind is not None and state.status is StepStatus.COMPLETED and result is not None:
                outputs[step.bind] = result.value
        return Scope(self.workflow, self.arguments, outputs, self.variables)

    @property
    def running(self) -> Step | None:
        """The step somebody is at."""
        return next((s for s, state in zip(self.workflow.steps, self.states, strict=True) if state.running), None)

    @cached_property
    def settled(self) -> int:
        """How many steps need nothing more."""
        return sum(
            state.settled or (state.status is StepStatus.FAILED and step.optional)
            for step, state in zip(self.workflow.steps, self.states, strict=True)
        )

    def with_step(self, step: str, *, more: Mapping[str, Any] | None = None, **changes: Any) -> Progress:
        """With another state of a step, and `more` about the whole."""
        at = self.positions[step]
        states = (*self.states[:at], self.states[at].but(**changes), *self.states[at + 1 :])
        return self.but(states=states, **(more or {}))

    def paused(self, reason: Mapping[str, Any] | None) -> Progress:
        return self.but(pause=read_pause(reason))

    def asked(self, responses: Mapping[str, Any]) -> Progress:
        """With these responses to questions, by key; whether they were asked before or not."""
        return self.but(questions=self.questions | responses.keys(), answers={**self.answers, **responses})

    def finished(self, step: str, raw: Mapping[str, Any], by: str, outcome: str | None = None, **more: Any) -> Progress:
        """With a step's result; one that says `isError` has failed.

        Args:
            outcome: Of its attempt, where that is not its status.
            more: Changes of its state beside that.
        """
        result = read_result(raw)
        status = StepStatus.FAILED if result.is_error else StepStatus.COMPLETED
        results = {**self.results, step: result}
        changes = {"status": status, "running": False, "by": by, **more}
        changes["attempts"] = self.ended(step, outcome or changes["status"].value, by)
        return self.with_step(step, more={"results": results}, **changes)

    def begun(self, step: str, by: str) -> tuple[Attempt, ...]:
        """The step's attempts with one that begins now."""
        attempts = self.state(step).attempts
        if attempts and attempts[-1].ended is None:
            attempts = self.ended(step, "dismissed", attempts[-1].by or by)
        return (*attempts, Attempt(started=self.moment, by=by))[-KEPT_ATTEMPTS:]

    def ended(self, step: str, outcome: str, by: str) -> tuple[Attempt, ...]:
        """The step's attempts, the last of which ends now; nobody may have said that it began."""
        attempts = self.state(step).attempts
        if attempts and attempts[-1].ended is None:
            return (*attempts[:-1], Attempt(started=attempts[-1].started, ended=self.moment, outcome=outcome, by=by))
        return (*attempts, Attempt(ended=self.moment, outcome=outcome, by=by))[-KEPT_ATTEMPTS:]

    @cached_property
    def moment(self) -> str | None:
        """The present, as it is written."""
        return None if self.now is None else to_timestamp(self.now)

    @cached_property
    def wall(self) -> int:
        """Where the first step is that a person has yet to agree to; after the last one if there is none."""
        name = wall(self.states)
        return len(self.states) if name is None else self.positions[name]

    def in_turn(self, step: str) -> bool:
        """Whether everything before a step is settled."""
        at = self.positions[step]
        return all(
            state.settled or (state.status is StepStatus.FAILED and one.optional)
            for one, state in zip(self.workflow.steps[:at], self.states[:at], strict=True)
        )
