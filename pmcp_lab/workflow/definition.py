"""What an author writes: a workflow, with its arguments and `steps`.

The models are the declarative form too: `SequentialWorkflow.load` reads one from YAML or JSON. Whether one makes sense
is said by `checking`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, ValidationError

from pmcp_lab.errors import SkillInvalid, WorkflowInvalid
from pmcp_lab.protocol.durations import Duration, as_duration
from pmcp_lab.server import Skill
from pmcp_lab.workflow.skill_text import skill_text
from pmcp_lab.workflow.steps import Argument, ArgumentType, Model, Step


class SequentialWorkflow(Model):
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

    def as_skill(self) -> Skill:
        """The workflow as a skill, for `Skills`: a SKILL.md by which a model can do the same step by step.

        The name is made of the workflow's; the text has its inputs, its steps with their tools and where their values
        come from, and how to have the server run it. The same workflow always makes the same bytes.

        Raises:
            SkillInvalid: It has no description, or one of more than 1024 characters.
        """
        text = skill_text(self.name, self.title, self.description, self.instructions, self.arguments, self.steps)
        try:
            return Skill({"SKILL.md": text})
        except SkillInvalid as error:
            raise SkillInvalid(f"workflow {self.name!r}", error.problems) from None

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
