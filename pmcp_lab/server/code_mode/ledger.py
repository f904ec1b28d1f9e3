"""What is kept of a program in its task, so that any process can go on with it, and what everybody may see of it."""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from pydantic_monty import ExternalSettledResult

from pmcp_lab.server.code_mode.errors import ProgramFailed
from pmcp_lab.server.code_mode.limits import CodeLimits
from pmcp_lab.server.code_mode.sandbox import VERSION, Wanted

PROGRAM, STEPS, PRINTED = "program", "steps", "printed"
"""Names of the task's variables."""

_SHOWN_STEPS: Final = 50
_SHOWN_LINES: Final = 60
_SHOWN_PRINTED: Final = 2_000
_WIDE: Final = 160
_SHORT: Final = 80
"""How much is shown: steps, lines of the program, characters of what it printed, of one of its lines, of a value."""

Status = Literal["running", "completed", "failed"]


@dataclass
class Open:
    """A call the program waits for.

    Args:
        number: Which of the program's calls it is, from 1.
        begun: How often it was begun, as far as that was written before.
        outcome: What came of it; None while nobody knows.
    """

    call_id: int
    number: int
    function: str
    arguments: dict[str, Any]
    line: int
    begun: int = 0
    outcome: dict[str, Any] | None = None

    @property
    def answer(self) -> ExternalSettledResult:
        assert self.outcome is not None
        if "value" in self.outcome:
            return {"return_value": self.outcome["value"]}
        return {"exc_type": self.outcome["raises"], "message": self.outcome["message"]}

    @property
    def text(self) -> str:
        """The call as it could be written."""
        return f"{self.function}({', '.join(f'{name}={_short(value)}' for name, value in self.arguments.items())})"

    def gave(self, value: Any) -> None:
        self.outcome = {"value": value}

    def raised(self, kind: str, message: str) -> None:
        self.outcome = {"raises": kind, "message": message}


@dataclass
class Ledger:
    """How far a program is.

    Args:
        open: The calls it waits for, by their number in the sandbox.
        dump: The program as it waits for them; None before it first did.
        made: How many calls it has made.
        spent: Seconds it has taken, without those that it waited for a person.
        line: Where it is.
        steps: What is shown of its calls, the latest.
        tally: Calls by line that were completed and failed.
        end: `{"result": …}` or `{"error": …}` once it is over.
        version: Of the sandbox that wrote `dump`.
    """

    source: str
    limits: CodeLimits
    open: dict[int, Open] = field(default_factory=dict)
    dump: bytes | None = None
    made: int = 0
    spent: float = 0.0
    line: int = 0
    printed: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list)
    tally: dict[str, list[int]] = field(default_factory=dict)
    end: dict[str, Any] | None = None
    version: str = VERSION

    @classmethod
    def read(cls, source: str, limits: CodeLimits, kept: Mapping[str, Any] | None) -> Ledger:
        """From what `kept` was at any time; None is the beginning.

        Raises:
            ProgramFailed: It is not what this version of the package writes.
        """
        if kept is None:
            return cls(source, limits)
        about = dict(kept)
        try:
            calls = [Open(**each) for each in about.pop("open")]
            packed = about.pop("dump")
            dump = None if packed is None else zlib.decompress(base64.b85decode(packed))
            return cls(source, limits, open={each.call_id: each for each in calls}, dump=dump, **about)
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise ProgramFailed(f"what was kept of it can't be read: {error}") from error

    def kept(self) -> dict[str, Any]:
        """All of it as JSON.

        Raises:
            ProgramFailed: It would take more than it may.
        """
        packed = None if self.dump is None else base64.b85encode(zlib.compress(self.dump, 1)).decode()
        calls = [asdict(each) for each in self.open.values()]
        size = len(packed or "") + len(json.dumps(calls))
        if size > self.limits.kept:
            raise ProgramFailed(
                f"line {self.line}: the program holds {size} bytes there, packed, and at most {self.limits.kept} are "
                "kept for one that waits: let it hold less"
            )
        return {
            "open": calls,
            "dump": packed,
            "made": self.made,
            "spent": round(self.spent, 3),
            "line": self.line,
            "printed": self.printed,
            "steps": self.steps,
            "tally": self.tally,
            "end": self.end,
            "version": self.version,
        }

    # --- what happens ---

    def want(self, wanted: Wanted) -> None:
        """One more call.

        Raises:
            ProgramFailed: It is one too many.
        """
        if self.made >= self.limits.calls:
            raise ProgramFailed(f"line {wanted.line}: it has made {self.made} calls, and more are not allowed")
        self.made += 1
        call = Open(wanted.call_id, self.made, wanted.function, dict(wanted.arguments), wanted.line)
        self.open[wanted.call_id] = call
        if wanted.refusal is not None:
            call.raised("TypeError", wanted.refusal)
        shown = {"step": call.number, "line": call.line, "call": call.text, "status": "running"}
        self.steps = [*self.steps, shown][-_SHOWN_STEPS:]
        if wanted.refusal is not None:
            self.settled(call)

    def settled(self, call: Open) -> None:
        """A call has an outcome."""
        assert call.outcome is not None
        failed = "raises" in call.outcome
        counts = self.tally.setdefault(str(call.line), [0, 0])
        counts[failed] += 1
        said = call.outcome["message"] if failed else _short(call.outcome["value"])
        self._show(call, status="failed" if failed else "completed", result=_cut(str(said)))

    def begun_again(self, call: Open, why: str) -> None:
        self._show(call, note=why)

    def close(self) -> None:
        """The program has what came of its calls."""
        self.open = {call_id: call for call_id, call in self.open.items() if call.outcome is None}

    def _show(self, call: Open, **about: Any) -> None:
        self.steps = [{**each, **about} if each["step"] == call.number else each for each in self.steps]

    # --- what is seen ---

    def variables(self) -> dict[str, Any]:
        shown: dict[str, Any] = {PROGRAM: self._listing(), STEPS: self.steps or None}
        if self.printed:
            shown[PRINTED] = self.printed[-_SHOWN_PRINTED:]
        return shown

    def message(self) -> str | None:
        """What the program does now, in a line."""
        if self.end is not None:
            return (
                f"{'failed' if 'error' in self.end else 'done'} after {self.made} call{'' if self.made == 1 else 's'}"
            )
        waiting = [call for call in self.open.values() if call.outcome is None]
        if not waiting:
            return None
        more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
        return f"line {waiting[0].line}: {waiting[0].text}{more}"

    def _listing(self) -> str:
        """The program with numbers, a mark where it is, and what came of the calls on each line."""
        lines = _lines(self.source)
        first = max(0, min(self.line - _SHOWN_LINES // 2, len(lines) - _SHOWN_LINES))
        window = range(first, min(first + _SHOWN_LINES, len(lines)))
        open_at = Counter(call.line for call in self.open.values() if call.outcome is None)
        return "\n".join(
            [
                *([f"  ⋮ {first} lines"] if first else []),
                *(self._listed(at + 1, lines[at], open_at[at + 1]) for at in window),
                *([f"  ⋮ {len(lines) - window.stop} lines"] if window.stop < len(lines) else []),
            ]
        )

    def _listed(self, number: int, text: str, waits: int) -> str:
        here = self.end is None and self.line == number
        failed_here = self.end is not None and "error" in self.end and self.line == number
        mark = "▶" if here else "✗" if failed_here else " "
        done, failed = self.tally.get(str(number), (0, 0))
        notes = [*_count("✓", done), *_count("✗", failed), *_count("…", waits)]
        line = f"{mark} {number:>3}  {_cut(text, _WIDE)}"
        return f"{line}   # {' '.join(notes)}" if notes else line.rstrip()


def numbered(source: str) -> str:
    """A program as a person reads it who is to decide about it."""
    return "\n".join(f"{number:>3}  {line}".rstrip() for number, line in enumerate(_lines(source), 1))


def _lines(source: str) -> list[str]:
    """Each as it reads to the sandbox: a sign that can't be seen, or that turns others round, is shown by its code."""
    return ["".join(map(_visible, line)) for line in source.rstrip("\n").split("\n")]


def _visible(sign: str) -> str:
    return sign if sign.isprintable() or sign == "\t" else sign.encode("unicode_escape").decode()


def counted(calls: int) -> str:
    return "1 call" if calls == 1 else f"{calls} calls"


def _count(sign: str, count: int) -> Iterator[str]:
    if count:
        yield sign if count == 1 else f"{sign}{count}"


def _short(value: Any) -> str:
    return _cut(repr(value)) if not isinstance(value, str) or len(value) <= _SHORT else _cut(repr(value[:_SHORT]))


def _cut(text: str, most: int = _SHORT) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
