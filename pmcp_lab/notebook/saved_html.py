"""Tasks and forms as HTML for where no widget runs, and what such HTML is made of.

It has to be read after GitHub's sanitiser, too, which leaves neither styles nor classes nor `data:` pictures: so words
and signs say everything, and what is styled besides is only more pleasant. Everything from a server is escaped.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pmcp_lab.client import Snapshot, Task, Tool, call_of, now_ms, reason_of
from pmcp_lab.notebook.rows import tally

ROWS = 200
"""Of a table: a notebook should stay readable, and small."""
NOTE = 300
"""Characters of what one row says."""
VALUE = 60
"""Characters of one argument in a table."""
VARYING = 4
"""Arguments that get a column."""
TEXT = 2_000
"""Characters of a result, or of all variables, of one task."""
MOMENTS = 50
"""Of a task's life, the last."""

_SIGNS = {
    "working": ("●", "#2f6fd0"),
    "queued": ("○", "#808080"),
    "input_required": ("?", "#c07a00"),
    "completed": ("✓", "#2a9d4a"),
    "failed": ("✗", "#d9482b"),
    "cancelled": ("–", "#808080"),
}
_STEPS = 10


def text(said: object, limit: int = NOTE) -> str:
    """As HTML, cut at so many characters."""
    told = str(said)
    cut = told if len(told) <= limit else told[: limit - 1] + "…"
    # In Markdown, HTML ends at an empty line, and what follows would be read as Markdown.
    return html.escape(cut).replace("\r", "").replace("\n", "&#10;")


def block(said: str, limit: int = TEXT) -> str:
    return f'<pre style="white-space:pre-wrap;font-family:monospace">{text(said, limit)}</pre>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[str] = ()) -> str:
    """Of cells that are HTML already; nothing where there are no rows.

    Args:
        heads: Names of the columns; those of a table of facts are "".
        numbers: Those that are aligned at their right.
    """
    # Jupyter's stylesheet aligns cells to the right, and GitHub takes the attribute alone.
    left, right = "align=left style=text-align:left", "align=right style=text-align:right"
    sides = [right if head in set(numbers) else left for head in heads]
    body = [
        "<tr>" + "".join(f"<td {side}>{cell}</td>" for side, cell in zip(sides, row, strict=True)) + "</tr>"
        for row in rows
    ]
    if not body:
        return ""
    named = "".join(f"<th {side}>{html.escape(name)}</th>" for side, name in zip(sides, heads, strict=True))
    head = f"<thead><tr>{named}</tr></thead>" if any(heads) else ""
    return f"<table>{head}<tbody>{''.join(body)}</tbody></table>"


def status(word: str, progress: float | None = None) -> str:
    """A state as a sign and a word, with a bar for what is under way."""
    sign, colour = _SIGNS.get(word, ("·", "#808080"))
    named = "needs input" if word == "input_required" else html.escape(word.replace("_", " "))
    shown = f"<span style=color:{colour}>{sign}</span>&nbsp;{named}"
    if progress is None or word not in ("working", "input_required"):
        return shown
    done = min(1.0, max(0.0, progress))
    steps = int(done * _STEPS)
    return f"{shown} {'▰' * steps}{'▱' * (_STEPS - steps)} {min(99, round(done * 100)) if done < 1 else 100}%"


def duration(ms: int) -> str:
    """`0.4 s`, `12 s`, and then as the live views write it: `3:07`, `3:02:11`."""
    if ms < 60_000:
        return f"{max(0, ms) / 1000:.1f} s" if ms < 10_000 else f"{ms // 1000} s"
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def static_table(tasks: Sequence[Task]) -> str:
    """The first `ROWS` of the tasks."""
    shown = tasks[:ROWS]
    seen = [call_of(task).snapshot() for task in shown]
    given = [call_of(task).arguments for task in shown]
    where = {f"{each.server}.{each.tool}" for each in seen}
    sets = {each.set_name for each in seen}
    varying = _varying(given)
    heads = [
        "#",
        *(["tool"] if len(where) > 1 else []),
        *(["set"] if len(sets) > 1 else []),
        *varying,
        "status",
        "took",
        *(["variables"] if any(each.variables for each in seen) else []),
        "says",
    ]
    rows = []
    for number, (each, arguments) in enumerate(zip(seen, given, strict=True)):
        cells = {
            "#": f'<span id="{anchor}">{number}</span>' if (anchor := call_of(shown[number]).anchor) else str(number),
            "tool": text(f"{each.server}.{each.tool}"),
            "set": text(each.set_name or ""),
            "status": status(each.status, each.progress),
            "took": "" if each.status == "queued" else _took(each),
            "variables": text(_listed(each.variables), NOTE),
            "says": text(_note(each)),
        }
        of_arguments = (text(_value(arguments[name]), VALUE) if name in arguments else "" for name in varying)
        before = [cells[head] for head in heads[: heads.index("status") - len(varying)]]
        after = [cells[head] for head in heads[heads.index("status") :]]
        rows.append([*before, *of_arguments, *after])
    told = ["<b>Tasks</b>"]
    if len(where) == 1:
        told.append(f"of <code>{text(where.pop())}</code>")
    if len(sets) == 1 and (name := sets.pop()) is not None:
        told.append(f"in <b>{text(name)}</b>")
    more = f"; the first {ROWS:,} of {len(tasks):,} are listed" if len(tasks) > ROWS else ""
    summary = html.escape(tally(tasks) or "none yet")
    return f"<p>{' '.join(told)}: {summary}{more}</p>{table(heads, rows, numbers=('#', 'took'))}"


def _varying(given: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of arguments that are not the same for all: the first few. A column has the name of none of ours."""
    names = dict.fromkeys(name for arguments in given for name in arguments)
    own = ("#", "tool", "set", "status", "took", "variables", "says")
    found = [
        name for name in names if name not in own and any(each.get(name) != given[0].get(name) for each in given[1:])
    ]
    return found[:VARYING]


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in values.items())


def _took(seen: Snapshot) -> str:
    return duration((seen.ended or now_ms()) - seen.started)


def _note(seen: Snapshot) -> str:
    note = seen.trouble or reason_of(seen) or seen.message or ""
    if not note and seen.outcome is not None:
        note = seen.outcome.preview(NOTE)
    return note


def static_card(task: Task) -> str:
    """One task: what it is, its variables, questions, result and life."""
    call = call_of(task)
    seen = call.snapshot()
    facts = [("status", status(seen.status, seen.progress))]
    if seen.status != "queued":
        facts.append(("took", _took(seen)))
    if call.arguments:
        facts.append(("arguments", text(_listed(call.arguments))))
    asked = [question.message for question in seen.questions]
    said = [("says", None if seen.message in asked else seen.message), ("error", reason_of(seen))]
    said += [("trouble", seen.trouble), *(("asks", message) for message in asked)]
    facts += [(name, text(what)) for name, what in said if what]
    lined = {name: value for name, value in seen.variables.items() if isinstance(value, str) and "\n" in value}
    if others := {name: value for name, value in seen.variables.items() if name not in lined}:
        facts.append(("variables", text(_listed(others), TEXT)))
    name = f"<code>{text(seen.server)}.{text(seen.tool or '?')}</code>"
    parts = [f"<p><b>Task</b> {name} <code>{text(seen.id or '')}</code></p>", table(("", ""), facts)]
    parts += [f"<p>{text(name)}</p>{block(value)}" for name, value in lined.items()]
    if seen.outcome is not None:
        parts.append(block(seen.outcome.preview(TEXT)))
    return "".join([*parts, _life(task)])


def _life(task: Task) -> str:
    moments = call_of(task).history.moments
    if not moments:
        return ""
    rows = [(_time(each.time), status(each.status), text(each.message or "", NOTE)) for each in moments[-MOMENTS:]]
    which = f"the last {MOMENTS} of {len(moments):,} moments" if len(moments) > MOMENTS else f"{len(moments)} moments"
    return f"<details><summary>Life: {which}</summary>{table(('time (UTC)', 'status', 'says'), rows)}</details>"


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def static_form(tool: Tool, code: str, fields: Sequence[Mapping[str, Any]], task: Task | None) -> str:
    """What a form asks for, what stands in it, and what was run last."""
    rows = [
        (
            f"<code>{text(each['name'])}</code>{' *' if each['required'] else ''}",
            text(_value(each["default"])) if each.get("default") is not None else "",
            text(each.get("description") or each.get("title") or ""),
        )
        for each in fields[:ROWS]
    ]
    about = f"<p>{text(tool.description, TEXT)}</p>" if tool.description else ""
    head = f"<p><b>Form</b> of <code>{text(tool.server)}.{text(tool.name)}</code></p>{about}"
    ran = block(code) + ("" if task is None else static_card(task))
    return head + table(("argument", "value", "about"), rows) + ran
