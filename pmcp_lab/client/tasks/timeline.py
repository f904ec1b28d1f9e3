"""A picture of what ran when: a `TaskSet` as an SVG Gantt chart that needs nothing to be shown.

Where HTML is shown, each row's stretch is a link that tells of it: a live table on the page follows it
(`js/src/task-table/links.ts`), and so does the table of a saved page. The chart is a picture within that HTML, and not
a part of it, because a sanitiser that takes it away then leaves its words.
"""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pmcp_lab.client.tasks.call import now_ms
from pmcp_lab.client.tasks.failures import reason_of
from pmcp_lab.client.tasks.history import Moment
from pmcp_lab.client.tasks.set_row import SetRow
from pmcp_lab.client.tasks.task import Task, call_of
from pmcp_lab.errors import InvalidArguments

COLOURS = {
    "completed": "#1a7f4b",
    "failed": "#c4320a",
    "cancelled": "#7a7a7a",
    "unknown": "#8250a8",
    "working": "#2f6fd0",
    "input_required": "#e0a100",
}
"""Told apart also by those who don't see all colours: their lightness differs, and the legend counts them."""
READABLE = 40
"""Lanes that still can be told apart."""
WIDTH, LEFT, TOP, BOTTOM = 800, 90, 34, 30
LINKED = 500
"""Rows that are links: with more, a notebook's file would grow by more than the picture is worth."""
HOVER = 200
"""Characters of what a row's link tells."""
WIDE_ENOUGH = 6.0
"""Pixels of a link at least, or nobody would hit it."""


@dataclass(frozen=True)
class Bar:
    """A stretch of time on a lane, in seconds from the start of the first."""

    lane: int
    start: float
    end: float
    status: str


@dataclass(frozen=True)
class Link:
    """All of a row's stretch on its lane, in seconds as a bar's.

    Args:
        anchor: As `Call.anchor`.
        text: What it says under the pointer.
    """

    lane: int
    start: float
    end: float
    anchor: str | None
    text: str


@dataclass(frozen=True)
class Timeline:
    """The chart. A notebook shows it as a picture; `save` writes it to a file.

    Args:
        lanes: What the lanes are called, from the top.
        counts: How many rows there are by status.
        links: Of the rows, unless there are more than `LINKED`.
    """

    title: str
    lanes: list[str]
    bars: list[Bar]
    counts: dict[str, int]
    links: list[Link] = field(default_factory=list)

    @classmethod
    def of(
        cls, title: str, many: Sequence[SetRow], counts: Mapping[str, int], by: Literal["task", "slot"] | None = None
    ) -> Timeline:
        """See `TaskSet.timeline`."""
        if by not in ("task", "slot", None):
            raise InvalidArguments(f"by must be 'task' or 'slot', not {by!r}")
        # What was cancelled before its turn never ran.
        rows = [
            row
            for row in many
            if not row.task.queued and row.task.moments and (row.task.id or row.task.local or not row.task.cancelled())
        ]
        per_task = by == "task" or (by is None and len(rows) <= READABLE)
        begin = min((row.task.started for row in rows), default=0)
        bars, links = [], []
        for place, row in enumerate(rows):
            lane = place if per_task else row.lane
            own = [
                Bar(lane, max(0, start - begin) / 1000, max(0, end - begin) / 1000, status)
                for start, end, status in _stretches(row.task, row.status)
            ]
            bars += own
            if own and len(rows) <= LINKED:
                start, end = own[0].start, own[-1].end
                links.append(Link(lane, start, end, call_of(row.task).anchor, _told(row, end - start)))
        names = [str(row.name) for row in rows]
        if not per_task:
            names = [f"slot {number + 1}" for number in range(max((bar.lane for bar in bars), default=-1) + 1)]
        counts = {status: count for status, count in counts.items() if status in COLOURS}
        return cls(title, names, bars, counts, links)

    @property
    def seconds(self) -> float:
        """From the first start to the last end."""
        return max((bar.end for bar in self.bars), default=0.0)

    def save(self, path: Any) -> None:
        """Write the SVG to a file."""
        from pathlib import Path

        Path(path).write_text(self._repr_svg_(), encoding="utf-8")

    def __repr__(self) -> str:
        return f"<Timeline of {self.title}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"text/plain": repr(self), "text/html": self._repr_html_(), "image/svg+xml": self._repr_svg_()}

    def _repr_html_(self) -> str:
        pitch, bottom, _, scale = self._measures()
        height = bottom + BOTTOM
        picture = base64.b64encode(self._repr_svg_().encode()).decode()
        links = []
        for link in self.links:
            width = max(WIDE_ENOUGH, (link.end - link.start) * scale)
            place = (
                f"left:{(LEFT + link.start * scale) / WIDTH:.2%};top:{(TOP + link.lane * pitch) / height:.2%};"
                f"width:{width / WIDTH:.2%};height:{pitch / height:.2%}"
            )
            # A thousand stops of the Tab key would be a wall: the keyboard has the table.
            to = f' href="#{link.anchor}" tabindex="-1"' if link.anchor else ""
            links.append(f'<a{to} title="{html.escape(link.text)}" style="position:absolute;{place}"></a>')
        return (
            f'<div style="position:relative;max-width:{WIDTH}px"><img style="display:block;width:100%;max-width:none" '
            f'alt="{html.escape(self.title)}" src="data:image/svg+xml;base64,{picture}">{"".join(links)}</div>'
        )

    def _measures(self) -> tuple[float, float, list[float], float]:
        """Height of a lane, where the lanes end, times that are marked, and pixels of a second."""
        pitch = max(3.0, min(16.0, 640 / max(1, len(self.lanes))))
        ticks = _ticks(self.seconds)
        scale = (WIDTH - LEFT - 16) / max(self.seconds, ticks[-1], 1e-9)
        return pitch, TOP + pitch * max(1, len(self.lanes)), ticks, scale

    def _repr_svg_(self) -> str:
        pitch, bottom, ticks, scale = self._measures()
        height = bottom + BOTTOM
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
            f'role="img" aria-label="{html.escape(self.title, quote=True)}" '
            'font-family="system-ui, sans-serif" font-size="11">',
            # A ground of its own: as an image it knows nothing of the page's theme.
            '<rect width="100%" height="100%" rx="6" fill="#ffffff"/>',
            *self._legend(),
        ]
        for tick in ticks:
            x = LEFT + tick * scale
            parts.append(f'<path d="M{x:.1f} {TOP}V{bottom:.1f}" stroke="#d8dee4"/>')
            parts.append(
                f'<text x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle" fill="#424a53">{tick:g} s</text>'
            )
        step = math.ceil(11 / pitch)
        for place, name in enumerate(self.lanes):
            if place % step == 0:
                shown = html.escape(name if len(name) <= 12 else name[:11] + "…")
                y = TOP + pitch * (place + 0.5) + 4
                parts.append(f'<text x="{LEFT - 6}" y="{y:.1f}" text-anchor="end" fill="#424a53">{shown}</text>')
        # One path per colour: a thousand bars are 40 kB so, and 150 kB as rectangles.
        for status, colour in COLOURS.items():
            drawn = "".join(_rectangle(bar, pitch, scale) for bar in self.bars if bar.status == status)
            if drawn:
                parts.append(f'<path fill="{colour}" d="{drawn}"/>')
        return "".join([*parts, "</svg>"])

    def _legend(self) -> Iterator[str]:
        x = LEFT
        said = {status: f"{count} {status.replace('_', ' ')}" for status, count in self.counts.items()}
        if any(bar.status == "input_required" for bar in self.bars):
            # Those that ask now, and the time in which others asked.
            asking = self.counts.get("input_required")
            said["input_required"] = f"waited for an answer ({asking} do now)" if asking else "waited for an answer"
        for status, label in said.items():
            yield f'<rect x="{x}" y="11" width="10" height="10" rx="2" fill="{COLOURS[status]}"/>'
            yield f'<text x="{x + 15}" y="20" fill="#1f2328">{label}</text>'
            x += 30 + 6 * len(label)


def _rectangle(bar: Bar, pitch: float, scale: float) -> str:
    width = max(1.0, (bar.end - bar.start) * scale - 0.8)
    gap = min(2.0, pitch / 4)
    x, y = LEFT + bar.start * scale, TOP + bar.lane * pitch + gap / 2
    return f"M{x:.1f} {y:.1f}h{width:.1f}v{pitch - gap:.1f}h-{width:.1f}z"


def _told(row: SetRow, seconds: float) -> str:
    """What a row was given and how it went, in a few lines."""
    given = ", ".join(f"{name}={json.dumps(value, default=str)}" for name, value in row.task.arguments.items())
    said = reason_of(call_of(row.task)) or (row.task.outcome.preview(HOVER) if row.task.outcome else row.task.message)
    lines = [f"{row.name}: {given}", f"{row.status.replace('_', ' ')}, {seconds:.1f} s", said or ""]
    return "\n".join(line if len(line) <= HOVER else line[: HOVER - 1] + "…" for line in lines if line)


def _stretches(task: Task, status: str) -> Iterator[tuple[int, int, str]]:
    """When it waited for an answer, and when it did not, in ms: what it came to colours the rest."""
    end = task.ended or now_ms()
    since, asking = task.started, False
    for moment in [*task.moments, Moment(end, status, None)]:
        asks = moment.status == "input_required" and moment.time < end
        if asks != asking or moment.time >= end:
            if moment.time > since or moment.time >= end:
                yield since, min(moment.time, end), "input_required" if asking else status
            since, asking = moment.time, asks
        if moment.time >= end:
            return


def _ticks(seconds: float) -> list[float]:
    """Four to eight round numbers from 0 to the end."""
    rough = max(seconds, 0.05) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [round(step * number, 6) for number in range(int(seconds / step + 1e-9) + 1)]
