"""Who draws on the terminal, and when: while a thread waits, and never over what others write.

One thread draws. Whoever writes to stdout or stderr meanwhile has the lines taken away first; they come back when
what was written ends its line, and so does `input`, whose question stays as it is until it is answered.
"""

from __future__ import annotations

import atexit
import builtins
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from pmcp_lab.client.terminal.seen import Asked, Seen

if TYPE_CHECKING:
    from pmcp_lab.client.terminal.lines import Lines

SHOWN_AFTER = 0.5
"""Seconds something may take before anything is shown."""
TICK = 0.1
"""Seconds between two drawings, at the least."""
SHARE = 20
"""Drawing may take this part of the time."""
QUESTIONS = 3
"""Questions of one wait that are spelt out."""

Look = Callable[[], Seen]


def showing(look: Look) -> AbstractContextManager[None]:
    """Show on stderr, which is a terminal, how far something is, as long as the block is open.

    Args:
        look: Tells how far it is, from a thread of its own.
    """
    return _screen.showing(look)


class _Wait:
    def __init__(self, look: Look, due: float) -> None:
        self.look = look
        self.due = due
        self.attended = threading.current_thread() is threading.main_thread()
        self.told: set[str] = set()


class _Screen:
    def __init__(self) -> None:
        # Its own thread writes, and so may a signal handler in the middle of it.
        self._lock = threading.RLock()
        self._waits: dict[int, _Wait] = {}
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._lines: Lines | None = None
        self._out: TextIO | None = None
        self._restore: list[Callable[[], None]] = []
        self._line_open = False
        self._reading = 0
        self._seen_last = -1.0

    @contextmanager
    def showing(self, look: Look) -> Iterator[None]:
        now = time.monotonic()
        # Waits that follow each other closely, as for one task of a set after the other, are one to who looks on.
        wait = _Wait(look, now if now - self._seen_last < SHOWN_AFTER else now + SHOWN_AFTER)
        try:
            with self._lock:
                self._waits[id(wait)] = wait
                self._watch()
            yield
        finally:
            # This first: were the rest interrupted, the thread would see to it.
            self._waits.pop(id(wait), None)
            self._leave()

    def _watch(self) -> None:
        self._wake.set()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="pmcp_lab-terminal", daemon=True)
            self._thread.start()
        if not self._restore:
            self._line_open = False
            for stream in {id(each): each for each in (sys.stdout, sys.stderr)}.values():
                if _is_terminal(stream):
                    self._watch_writes(stream)
            self._watch_input()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            try:
                self._keep_drawing()
            finally:
                self._leave()

    def _keep_drawing(self) -> None:
        pause = TICK
        while self._waits:
            time.sleep(pause)
            if not (waits := self._due()):
                self._leave()
                continue
            from pmcp_lab.client.terminal.lines import Lines

            began = time.monotonic()
            try:
                self._draw(waits, Lines)
            except (OSError, ValueError):
                return  # the terminal was closed
            pause = max(TICK, SHARE * (time.monotonic() - began))

    def _due(self) -> list[_Wait]:
        """What is to be seen now. At a prompt, only what its own thread waits for: the prompt has the last line."""
        now, waits = time.monotonic(), list(self._waits.values())
        if _at_prompts() and not any(wait.attended for wait in waits):
            return []
        return [wait for wait in waits if wait.due <= now]

    def _draw(self, waits: list[_Wait], lines: type[Lines]) -> None:
        looked = [(wait, wait.look()) for wait in waits]  # takes its time, in which others may write
        with self._lock:
            shown = [(wait, seen) for wait, seen in looked if id(wait) in self._waits]
            if self._reading or not shown:
                return
            if self._lines is None:
                self._out = sys.stderr
                self._lines = lines(self._out)
            for wait, seen in shown:
                self._tell(wait, seen.asked)
            if self._lines.movable and not self._line_open:
                self._write(self._lines.drawing([seen for _, seen in shown]))
                self._seen_last = time.monotonic()

    def _tell(self, wait: _Wait, asked: tuple[Asked, ...]) -> None:
        """Write what is asked where it stays."""
        new = [one for one in asked if one.key not in wait.told][: max(0, QUESTIONS - len(wait.told))]
        if new and self._lines is not None:
            end = "\n" if self._line_open else ""
            self._write(self._lines.erasing() + end + self._lines.questions(new, first=not wait.told))
            self._line_open = False
            wait.told.update(one.key for one in new)

    def _write(self, text: str) -> None:
        if self._out is not None and text:
            type(self._out).write(self._out, text)  # not what it was replaced by
            self._out.flush()

    def _leave(self) -> None:
        """Take away what is not to be seen any more; with the last wait, leave all as it was found."""
        with self._lock:
            if self._due():
                return  # drawn anew in a moment
            lines, self._lines = self._lines, None
            with suppress(OSError, ValueError):  # the terminal was closed, and has nothing to be taken away
                if lines is not None:
                    self._write(lines.erasing())
            self._out = None
            if not self._waits:
                while self._restore:
                    self._restore.pop()()

    # --- what others write, and read ---

    def _watch_writes(self, stream: Any) -> None:
        """Have the lines taken away before it is written to, by whoever holds it."""
        original = stream.write

        def write(text: str) -> Any:
            if not text:
                return original(text)
            with self._lock:
                self._give_way()
                written = original(text)
                stream.flush()
                self._line_open = not text.endswith("\n")
                return written

        try:
            stream.write = write
        except AttributeError:
            return  # of a kind that can't be watched

        def give_back() -> None:
            if vars(stream).get("write") is write:
                del stream.write

        self._restore.append(give_back)

    def _watch_input(self) -> None:
        ask = builtins.input

        def asking(*prompt: object) -> str:
            with self._lock:
                self._reading += 1
                self._give_way()
            try:
                return ask(*prompt)
            finally:
                with self._lock:
                    self._reading -= 1
                    self._line_open = False

        builtins.input = asking

        def give_back() -> None:
            if builtins.input is asking:
                builtins.input = ask

        self._restore.append(give_back)

    def _give_way(self) -> None:
        if self._lines is not None:
            self._write(self._lines.erasing())

    def forget(self) -> None:
        """In a forked child, which has neither the thread nor what it waits for."""
        restore = self._restore
        self.__init__()  # type: ignore[misc]  # as new
        for each in restore:
            each()


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):
        return False  # closed, or something that is written to and no more


def _at_prompts() -> bool:
    """Whether the main thread is at a prompt whenever it does not wait: in Python's own shell, or IPython's."""
    if hasattr(sys, "ps1"):
        return True
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


_screen = _Screen()
atexit.register(_screen._leave)  # noqa: SLF001 - its own file
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_screen.forget)
