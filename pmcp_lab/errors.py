"""Every error the package raises.

Each says what happened, on which server, tool or task, and what to do about it. `code` is the JSON-RPC
code a peer gets when the error crosses the wire (MCP 2025-11-25 "Error handling"; tasks use -32602 for
anything wrong with the id or the state, -32603 for what the server could not do).
"""

from __future__ import annotations

import concurrent.futures
import difflib
from collections.abc import Iterable, Sequence
from typing import Any

INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
METHOD_NOT_FOUND = -32601


class LabError(Exception):
    """Base of all errors of this package.

    Args:
        message: One or more lines for a person; the first line is the whole story.
        code: JSON-RPC error code to answer with, when the error reaches a peer.
        data: JSON-RPC `error.data`.
    """

    code: int = INTERNAL_ERROR

    def __init__(self, message: str, *, code: int | None = None, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
        if code is not None:
            self.code = code

    def _render_traceback_(self) -> list[str]:
        """IPython shows these lines instead of a stack of frames that are not the user's."""
        head, *rest = str(self).splitlines() or [""]
        rest += getattr(self, "__notes__", ())
        return [f"\x1b[31m{type(self).__name__}\x1b[0m: {head}", *rest]


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause that offers the closest known names, or lists a few: " Did you mean …?"."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return " Did you mean " + " or ".join(repr(n) for n in close) + "?"
    if not names:
        return " There are none."
    shown = ", ".join(repr(n) for n in names[:12])
    return f" Known: {shown}{', …' if len(names) > 12 else ''}."


# --- connecting -------------------------------------------------------------------------------------


class MissingExtra(LabError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency. Install it: pip install 'pmcp_lab[{extra}]'")
        self.extra = extra


class TargetError(LabError):
    """What was given to `connect` can't be read as a server."""


class ConnectionFailed(LabError):
    """The server could not be reached or did not complete the handshake."""


class SignInFailed(LabError):
    """Nobody could be signed in to a server."""


class ConnectionClosed(LabError):
    """The connection ended while (or before) something was asked of it.

    `delivered` is False when the server certainly never took the request up, so that it can be sent again.
    """

    def __init__(self, message: str, *, delivered: bool = True) -> None:
        super().__init__(message)
        self.delivered = delivered


class UnknownServer(LabError):
    """No connection of that name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no connected server named {name!r}.{nearest(name, known)}")


# --- calling ----------------------------------------------------------------------------------------


class UnknownTool(LabError):
    """The server does not list that tool."""

    code = INVALID_PARAMS

    def __init__(self, server: str, tool: str, known: Iterable[str]) -> None:
        super().__init__(f"Server {server!r} has no tool {tool!r}.{nearest(tool, known)}")


class UnknownResource(LabError):
    """The server does not list that resource or template."""

    code = INVALID_PARAMS

    def __init__(self, server: str, uri: str, known: Iterable[str]) -> None:
        super().__init__(f"Server {server!r} lists no resource {uri!r}.{nearest(uri, known)}")


class UnknownPrompt(LabError):
    """The server does not list that prompt."""

    code = INVALID_PARAMS

    def __init__(self, server: str, prompt: str, known: Iterable[str]) -> None:
        super().__init__(f"Server {server!r} has no prompt {prompt!r}.{nearest(prompt, known)}")


class NotAWorkflow(LabError):
    """A prompt that was to be led as a workflow makes no task."""

    def __init__(self, server: str, prompt: str) -> None:
        super().__init__(
            f"Prompt {prompt!r} of server {server!r} is no workflow: its answer names no task. "
            f"For its messages: server.prompt({prompt!r}, …)"
        )


class NotOffered(LabError):
    """The server did not declare the capability that this needs."""

    code = METHOD_NOT_FOUND


class InvalidArguments(LabError):
    """Arguments don't fit the tool's input schema; nothing was sent."""

    code = INVALID_PARAMS


class PeerError(LabError):
    """The server answered with a JSON-RPC error; `code` and `data` are its own."""


class ServerBusy(PeerError):
    """The server is overloaded or away for a moment (HTTP 429, 502, 503, 504).

    `retry_after` is the seconds it asks to be left alone, or None when it does not say.
    """

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message, code=INTERNAL_ERROR)
        self.retry_after = retry_after


class InvalidResult(PeerError):
    """A tool's result is not what its output schema promises. `result` is the whole `CallToolResult`, as it came."""

    def __init__(self, message: str, result: dict[str, Any]) -> None:
        super().__init__(message, code=INTERNAL_ERROR)
        self.result = result


class ToolError(LabError):
    """The tool ran and reported failure (`isError`). `result` is the whole `CallToolResult`."""

    def __init__(self, message: str, result: dict[str, Any]) -> None:
        super().__init__(message)
        self.result = result


# --- tasks ------------------------------------------------------------------------------------------


class TaskError(LabError):
    """Something about one task."""

    code = INVALID_PARAMS

    def __init__(self, message: str, task_id: str, *, code: int | None = None, data: Any = None) -> None:
        super().__init__(message, code=code, data=data)
        self.task_id = task_id


class TaskNotFound(TaskError):
    """Unknown, expired or another owner's task: a caller can't tell which."""

    def __init__(self, task_id: str, server: str | None = None) -> None:
        at = f" on server {server!r} (never there, expired, or somebody else's)" if server else ""
        super().__init__(f"task not found{at}: {task_id}", task_id)


class InvalidTransition(TaskError):
    """The move is not one of the eight a task can make. `suggested_action` says what there is to do instead."""

    def __init__(self, task_id: str, current: str, target: str, *, suggested_action: str | None = None) -> None:
        super().__init__(f"invalid transition from {current} to {target} for task {task_id}", task_id)
        self.current = current
        self.target = target
        self.suggested_action = suggested_action


class TaskNotReady(TaskError):
    """A result was asked of a task that has none yet, or, when it has `ended` otherwise, never will."""

    def __init__(self, task_id: str, status: str, *, ended: bool = False) -> None:
        what = f"has no result: it ended {status}" if ended else f"is not in terminal state (it is {status})"
        super().__init__(f"task {task_id} {what}", task_id)
        self.status = status


class LeaseLost(TaskError):
    """A runner wants to work on a task that another one holds, or that it has lost."""

    code = INTERNAL_ERROR

    def __init__(self, task_id: str, runner: str, holder: str | None) -> None:
        by = f"held by {holder!r}" if holder else "held by nobody"
        super().__init__(f"task {task_id} is {by}, not by {runner!r}: stop working on it", task_id)
        self.holder = holder


class InputRequired(TaskError):
    """A tool asks its user something where nobody can answer."""


class UnknownSet(LabError, KeyError):
    """No set of tasks of that name on the server, or none whose file can be read."""

    def __init__(self, server: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        if name in known:
            why = f"The file of {server}'s set {name!r} is damaged: del server.sets[{name!r}] deletes it."
        else:
            why = f"{server} has no set of tasks named {name!r}.{nearest(name, known)}"
        super().__init__(why)

    __str__ = Exception.__str__


class TaskFailed(TaskError):
    """The task ended `failed`; `code` and `data` are the server's when it gave a JSON-RPC error."""

    code = INTERNAL_ERROR


class TaskCancelled(TaskError, concurrent.futures.CancelledError):
    """The task ended `cancelled`: it has no result. Also what a cancelled `concurrent.futures.Future` raises."""


class VariableError(LabError):
    """A task variable's name, size or depth is not allowed."""

    code = INVALID_PARAMS


class LimitExceeded(LabError):
    """A limit of the store (tasks per owner, ttl, size) stands in the way."""


class QuotaExceeded(LimitExceeded):
    """The owner has as many unfinished tasks as are allowed."""


class ConcurrentModification(LabError):
    """A compare-and-swap lost its race more often than it is retried; `expected` and `found` are the last versions."""

    def __init__(self, task_id: str, expected: int, found: int, attempts: int) -> None:
        super().__init__(
            f"task {task_id} was changed by others {attempts} times in a row "
            f"(expected version {expected}, found {found}); try again"
        )
        self.task_id = task_id
        self.expected = expected
        self.found = found


class StoreError(LabError):
    """The store could not be opened, read or written."""


# --- apps -------------------------------------------------------------------------------------------


class AppError(LabError):
    """A tool has no app, or its resource can't be shown as one."""


class UnknownWidget(AppError):
    """The app has no widget of that name."""

    code = INVALID_PARAMS

    def __init__(self, app: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"App {app!r} has no widget {name!r}.{nearest(name, known)}")


# --- workflows --------------------------------------------------------------------------------------


class WorkflowInvalid(LabError):
    """A workflow can't run as it is written. `problems` are all that were found: where, and what."""

    def __init__(self, workflow: str, problems: Sequence[tuple[str, str]]) -> None:
        lines = "\n".join(f"  {where}: {what}" if where else f"  {what}" for where, what in problems)
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"workflow {workflow!r} has {count}:\n{lines}")
        self.workflow = workflow
        self.problems = tuple(problems)


# --- skills -----------------------------------------------------------------------------------------


class SkillInvalid(LabError):
    """A skill, or a folder of them, can't be served as it is. `problems` are all that were found: where, and what."""

    def __init__(self, skill: str, problems: Sequence[tuple[str, str]]) -> None:
        lines = [f"  {where}: {what}" if where else f"  {what}" for where, what in problems[:20]]
        lines += [f"  and {len(problems) - 20} more"] if len(problems) > 20 else []
        super().__init__("\n".join([f"{skill} can't be served:", *lines]))
        self.skill = skill
        self.problems = tuple(problems)


class UnknownSkill(LabError):
    """The server has no skill of that name or URI."""

    code = INVALID_PARAMS

    def __init__(self, server: str, skill: str, known: Iterable[str]) -> None:
        names = list(known)
        offer = nearest(skill, names) if names else " `server.skills` has those that it lists."
        super().__init__(f"Server {server!r} has no skill {skill!r}.{offer}")


class AmbiguousSkill(LabError):
    """Several skills of the server have that name; `uris` tells them apart."""

    code = INVALID_PARAMS

    def __init__(self, server: str, name: str, uris: Sequence[str]) -> None:
        each = " or ".join(map(repr, uris))
        super().__init__(f"Server {server!r} has {len(uris)} skills named {name!r}. Name one by its URI: {each}")
        self.uris = tuple(uris)


class SkillUnverified(LabError):
    """A file of a skill, or its entry, is not what it has to be; nothing of it was used (SEP-2640).

    `reason` is "unlisted" (the skill's entry does not have that file; it was not asked for), "size", "digest",
    "frontmatter" (of SKILL.md, against the entry's), or "entry" (that itself can't be used).
    """

    code = INVALID_PARAMS

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
