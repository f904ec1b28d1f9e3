"""What can come of a program besides a result."""

from __future__ import annotations

from pmcp_lab.errors import INVALID_PARAMS, LabError


class ProgramRefused(LabError):
    """The program is not run: what is wrong with it, with lines. Nothing was called."""

    code = INVALID_PARAMS

    def __init__(self, problems: list[tuple[int, str]]) -> None:
        told = [f"line {line}: {what}" if line else what for line, what in sorted(set(problems))]
        super().__init__("the program can't be run:" + ("\n  ".join(["", *told]) if len(told) > 1 else f" {told[0]}"))
        self.problems = problems


class ProgramFailed(LabError):
    """The program ended with an error of its own, or by a limit."""


class SandboxLost(LabError):
    """The sandbox's process has ended under the program."""
