"""Which tasks this notebook started: kept on disk, so that a restarted kernel finds them again.

One file per notebook, readable by its owner only, with a line per task: a fingerprint of the target, the
task's id, its tool, and when the server will have dropped it. No arguments, addresses, headers or results:
those are kept of sweeps alone, in a folder beside it (`kept_set`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from pmcp_lab.client.state_folder import state_folder
from pmcp_lab.client.targets import Command, Local, Target, Url

KEPT = 2_000
"""Tasks kept of one notebook; the oldest are forgotten."""


@dataclass(frozen=True)
class Started:
    """One line of the file.

    Args:
        target: `fingerprint` of the server.
        expires: Ms since the epoch; None when the server keeps the task without limit, or did not say.
    """

    target: str
    task: str
    tool: str
    expires: int | None


class Session:
    """The tasks of this notebook over the kernel's restarts. `remember = False` ends the keeping.

    Nothing is kept outside of a notebook (Jupyter names it in `JPY_SESSION_NAME`), or where the environment
    says `PMCP_LAB_REMEMBER=0`.

    Attributes:
        progress: Whether a terminal shows how far what is waited for is.
    """

    def __init__(self) -> None:
        self.progress = True
        self.remember = os.environ.get("PMCP_LAB_REMEMBER", "1").lower() not in ("0", "false", "no", "off")
        self.trouble: str | None = None
        """Why nothing can be kept, once that has been found out."""
        self._lock = threading.Lock()

    @property
    def file(self) -> Path | None:
        """Where the tasks are kept; None where nothing is."""
        return self._place("tasks-{}.jsonl")

    @property
    def sets(self) -> Path | None:
        """The folder of the sweeps that are kept, with their arguments and answers; None where nothing is."""
        return self._place("sets-{}")

    def sets_folder(self, target: Target) -> Path | None:
        """That of a target's sweeps."""
        return None if self.sets is None else self.sets / fingerprint(target)

    def _place(self, name: str) -> Path | None:
        notebook = os.environ.get("JPY_SESSION_NAME")
        if not self.remember or not notebook:
            return None
        return state_folder() / name.format(hashlib.sha256(notebook.encode()).hexdigest()[:32])

    def note(self, target: Target, task_id: str, tool: str, expires: int | None) -> None:
        """Keep a task that was just started."""
        line = json.dumps(asdict(Started(fingerprint(target), task_id, tool, expires)))
        self._write(line + "\n", os.O_APPEND)

    def started(self, target: Target) -> list[Started]:
        """What was started on a target and should still be known there, oldest first."""
        at = fingerprint(target)
        return [each for each in self._read() if each.target == at]

    def forget(self, target: Target, task_ids: Collection[str]) -> None:
        """Drop tasks that the server does not know any more, and those whose time is up."""
        at = fingerprint(target)
        kept = [each for each in self._read() if each.target != at or each.task not in task_ids]
        self._write("".join(json.dumps(asdict(each)) + "\n" for each in kept[-KEPT:]), os.O_TRUNC)

    def clear(self) -> None:
        """Forget everything this notebook started."""
        with self._lock:
            if (file := self.file) is not None:
                file.unlink(missing_ok=True)
            if self.sets is not None:
                shutil.rmtree(self.sets, ignore_errors=True)

    def _read(self) -> list[Started]:
        file = self.file
        if file is None or not file.is_file():
            return []
        found: dict[tuple[str, str], Started] = {}
        with self._lock:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        now = time.time() * 1000
        for line in lines:
            try:
                each = Started(**json.loads(line))
            except (ValueError, TypeError):
                continue  # a line cut off by a crash
            if each.expires is None or each.expires > now:
                found[each.target, each.task] = each
        return list(found.values())

    def _write(self, text: str, how: int) -> None:
        file = self.file
        if file is None or self.trouble is not None:
            return
        try:
            with self._lock:
                file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if how == os.O_APPEND and _cut_off(file):
                    text = "\n" + text
                descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | how, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                    opened.write(text)
        except OSError as error:
            self.trouble = f"{file} can't be written: {error}"

    def __repr__(self) -> str:
        if self.file is None:
            return "<Session: started tasks are not remembered>"
        return f"<Session: {self.trouble or f'started tasks are remembered in {self.file}'}>"


def _cut_off(file: Path) -> bool:
    """Whether a crash left its last line without an end, where the next would be lost with it."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        opened.seek(max(0, opened.seek(0, os.SEEK_END) - 1))
        return opened.read() not in (b"", b"\n")


def fingerprint(target: Target) -> str:
    """Tells targets apart without telling what they are; environment and headers don't count."""
    what: list[str | None]
    match target:
        case Command(argv=argv, cwd=cwd):
            what = ["command", *argv, cwd]
        case Url(url=url):
            what = ["url", url]
        case Local(server=server):
            what = ["local", str(getattr(server, "name", ""))]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]


session = Session()
