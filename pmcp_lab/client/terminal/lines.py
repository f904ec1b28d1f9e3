"""The lines themselves. The only file that needs `rich`, and so is imported when something is drawn first."""

from __future__ import annotations

import math
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.text import Text

from pmcp_lab.client.terminal.seen import Asked, Seen

BAR = 24
"""Columns of a bar."""
NARROW = 60
"""Columns of a terminal that has no room for one."""
MARGIN = 4
"""Columns left free at the end of a line: the `^C` of an interrupt is echoed there."""
MOST = 8
"""Lines at a time."""


class Lines:
    """Draws what is waited for at the end of a terminal, and takes it away again."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, highlight=False)
        self.movable = self._console.is_interactive and not self._console.legacy_windows
        """Whether the terminal can take back what it was given."""
        self._drawn: list[int] = []
        self._text = ""

    def _back(self) -> str:
        """To the beginning of what is drawn, also after the terminal was made narrower."""
        width = max(1, self._console.width)
        rows = sum(max(1, math.ceil(cells / width)) for cells in self._drawn)
        return "\r" + "\x1b[A" * (rows - 1)

    def erasing(self) -> str:
        """What takes away what is drawn."""
        back = self._back() + "\x1b[J" if self._drawn else ""
        self._drawn, self._text = [], ""
        return back

    def drawing(self, seen: list[Seen]) -> str:
        """What draws them, in the place of what was drawn before."""
        width, height = self._console.size
        most = max(1, min(MOST, height - 2))
        shown = seen if len(seen) <= most else seen[: most - 1]
        lines = [self._line(each, width) for each in shown]
        if len(shown) < len(seen):
            lines.append(Text(f"… and {len(seen) - len(shown)} more are waited for"))
        for line in lines:
            line.truncate(max(1, width - MARGIN), overflow="ellipsis")
        text = "\x1b[K\n".join(map(self._written, lines)) + "\x1b[J"
        if text == self._text:
            return ""
        # Spaces up to the edge lead to a new line, unless the cursor is at the beginning of one.
        lead = self._back() if self._drawn else " " * width + "\r"
        self._drawn, self._text = [cell_len(line.plain) for line in lines], text
        return lead + text

    def questions(self, asked: list[Asked], *, first: bool) -> str:
        """Lines that stay; the first say how they are answered."""
        texts = [
            Text.assemble("\n" if place else "", ("? ", "bold yellow"), (plain(each.text), "bold"))
            for place, each in enumerate(asked)
        ]
        if first:
            texts.insert(1, Text.assemble("\n", (f"  {plain(asked[0].how)}", "dim")))
        return "".join(map(self._written, texts)) + "\n"

    def _line(self, seen: Seen, width: int) -> Text:
        line = Text.assemble((plain(seen.name), "bold"))
        if width >= NARROW:
            line.append(" ")
            line.append_text(self._bar(seen))
        if seen.done is not None:
            line.append(f" {min(1.0, max(0.0, seen.done)):4.0%}")
        line.append(f" {clock(seen.elapsed)}", "dim")
        return line.append(f"  {plain(seen.said)}")

    def _bar(self, seen: Seen) -> Text:
        console = self._console
        bar = ProgressBar(
            total=None if seen.done is None else 1.0,
            completed=min(1.0, max(0.0, seen.done or 0.0)),
            width=BAR,
            animation_time=seen.elapsed,
        )
        text = Text()
        for part in console.render(bar, console.options.update(width=BAR)):
            text.append(part.text, part.style)
        text.pad_right(BAR - text.cell_len)
        return text

    def _written(self, text: Text) -> str:
        with self._console.capture() as captured:
            self._console.print(text, end="", soft_wrap=True)
        return captured.get()


def plain(text: str) -> str:
    """One line without what a terminal would take for a command."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def clock(seconds: float) -> str:
    """`0:07`, `12:34`, `1:02:03`."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
