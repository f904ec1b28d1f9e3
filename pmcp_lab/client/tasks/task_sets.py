"""The sweeps of one server by name: those of this kernel, and those that earlier kernels of this notebook left."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pmcp_lab.client.catalogue import Tool
from pmcp_lab.client.targets import Target
from pmcp_lab.client.tasks import kept_set
from pmcp_lab.client.tasks.call import now_ms
from pmcp_lab.client.tasks.kept_set import KeptRow, KeptSet, SetFile
from pmcp_lab.client.tasks.remembered import session
from pmcp_lab.client.tasks.starter import Starter
from pmcp_lab.client.tasks.task_set import TaskSet
from pmcp_lab.errors import InvalidArguments, LabError, UnknownSet

LOAD_TIMEOUT = 2.0
"""Seconds that taking a set up waits for what its server says of the rows; the others join when they are found."""
LONGEST = 200
"""Characters of a name."""


class TaskSets(Mapping[str, TaskSet]):
    """Sweeps by name, oldest first: `server.sets["sweep-1"]`. What an earlier kernel left is taken up at that moment.

    In a notebook, sets are kept on disk with their arguments and answers, in a file that only its owner can read:
    the last 100 of a server, for 30 days after the last thing that happened to each, answers up to 1 MB.
    `pmcp_lab.session.remember = False` keeps none from then on.
    """

    def __init__(self, starter: Starter, target: Target) -> None:
        self._starter = starter
        self._target = target
        self._sets: dict[str, TaskSet] = {}
        self._lock = threading.RLock()

    def __getitem__(self, name: str) -> TaskSet:
        with self._lock:
            found = self._sets.get(name)
            if found is None:
                found = self._taken_up(name)
            else:
                found.catch_up()
        found.load(LOAD_TIMEOUT)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*kept_set.names(self._folder), *self._sets]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def __delitem__(self, name: str) -> None:
        """Forget a set, here and on disk; its tasks stay what they are.

        Raises:
            UnknownSet: There is none of that name.
            LabError: It still runs, here or in another kernel.
        """
        with self._lock:
            if name not in self:
                raise UnknownSet(self._starter.name, name, self)
            known = self._sets.get(name)
            if known is not None and known.running:
                raise LabError(f"{known!r} still runs: cancel() it first")
            if (file := self._file(name)) is not None:
                if not file.hold():
                    raise self._busy(name)
                file.forget()
                file.release()
            self._sets.pop(name, None)

    def known(self, name: str) -> TaskSet | None:
        """The set of that name, where this kernel has it; nobody is asked, and nothing read."""
        return self._sets.get(name)

    # --- how sets begin ---

    def readable(self, name: str) -> bool:
        """Whether there is a set of that name that can be gone on with."""
        return name in self._sets or ((file := self._file(name)) is not None and file.read() is not None)

    def make(
        self,
        tool: Tool,
        index: Any,
        rows: Sequence[dict[str, Any]],
        *,
        name: str | None,
        resume: bool,
        concurrency: int,
        ttl: int | None,
        timeout: float | None,
        check: bool,
    ) -> TaskSet:
        """Begin a set, or go on with one. See `Server.map`."""
        if resume and name is None:
            raise InvalidArguments("resume=True goes on with a set: say which, with name=")
        if name is not None and not 0 < len(name) <= LONGEST:
            raise InvalidArguments(f"the name of a set has 1 to {LONGEST} characters, not {len(name)}")
        with self._lock:
            if name is not None and self.readable(name):
                if not resume:
                    raise self._taken(name)
                known = self[name]
                return known.take_in(tool, index, rows, concurrency=concurrency, ttl=ttl, timeout=timeout, check=check)
            if name is None:
                taken = set(self)
                name = next(each for n in itertools.count(1) if (each := f"{tool.name} {n}") not in taken)
            kept_rows = [KeptRow(dict(row)) for row in rows]
            kept = KeptSet(name, tool.raw, index, kept_rows, now_ms(), concurrency, ttl, timeout)
            file = self._file(name)
            if file is not None:
                if not file.hold():
                    raise self._busy(name)
                if file.read() is not None:  # since it was looked for
                    file.release()
                    raise self._taken(name)
                file.write(kept)
            many = TaskSet(self._starter, tool, kept, file)
            many.start()
            self._sets[name] = many
            return many

    def _taken_up(self, name: str) -> TaskSet:
        file = self._file(name)
        kept = None if file is None else file.read()
        if kept is None:
            raise UnknownSet(self._starter.name, name, self)
        many = self._sets[name] = TaskSet(self._starter, Tool(self._starter.name, kept.tool), kept, file)
        return many

    def _taken(self, name: str) -> LabError:
        known = self._sets.get(name)
        file = self._file(name)
        kept = known.kept if known is not None else None if file is None else file.read()
        told = "" if kept is None else f" ({len(kept.rows)} rows of {kept.tool['name']}, {_day(kept.created)})"
        return LabError(
            f"{self._starter.name} has a set {name!r} already{told}: nothing was started.\n"
            f"map(…, name={name!r}, resume=True) goes on with what is missing of it, `server.sets[{name!r}]` is it, "
            f"and `del server.sets[{name!r}]` frees the name."
        )

    def _busy(self, name: str) -> LabError:
        return LabError(f"{self._starter.name}: another kernel works on the set {name!r}; nothing was started here")

    # --- where they are kept ---

    @property
    def _folder(self) -> Path | None:
        return session.sets_folder(self._target)

    def _file(self, name: str) -> SetFile | None:
        known = self._sets.get(name)
        if known is not None and known.file is not None:
            return known.file
        return None if self._folder is None else SetFile(self._folder, name)

    # --- how it looks ---

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        lines = []
        for name in self:
            known = self._sets.get(name)
            lines.append(f"{name!r}: {known!r}" if known is not None else f"{name!r}: of an earlier kernel")
        return "\n".join(lines) or f"{self._starter.name}: no sets"


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000).strftime("%d %B %Y, %H:%M")  # noqa: DTZ006 - a person's own clock
