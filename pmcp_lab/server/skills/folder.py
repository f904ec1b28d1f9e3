"""Skills in a folder: found, read, and read again when a file of theirs changed.

What is served was read in one go, and is what its entry's digests are of. Whether a file changed is seen by its size,
inode and times, with each look; a file that changed a moment ago is read once more, for the clocks of file systems
are coarse.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pmcp_lab.errors import SkillInvalid
from pmcp_lab.protocol.skill_uri import SKILL_FILE
from pmcp_lab.protocol.skills import MAX_BYTES, MAX_FILES
from pmcp_lab.server.skills.skill import PlacedSkill, Skill

logger = logging.getLogger(__name__)

MOST_ENTRIES: Final = 20_000
"""Of a folder of skills that are looked at: more is no folder of skills, but somebody's home."""
_UNSETTLED: Final = 2.0
"""Seconds within which a file may change twice and look the same."""
_AHEAD: Final = 3600.0
"""Seconds that a file server's clock may be ahead; beyond that, somebody wrote another time on a file."""
_LEFT_OUT: Final = frozenset({"__pycache__"})
_LINK: Final = "it is a symbolic link, which might lead anywhere: put what it leads to there"


@dataclass(frozen=True)
class _Found:
    """A file of a skill, as the folder shows it."""

    path: str
    size: int
    signature: tuple[int, int, int, int]


@dataclass
class _Kept:
    """What a skill was when it was last read."""

    signature: tuple[_Found, ...]
    placed: PlacedSkill | None
    settled: bool
    trouble: str = ""


@dataclass
class SkillFolder:
    """A folder that is a skill, or has skills in it, at any depth.

    Names that begin with a dot are left out, and so is `__pycache__`: what lies there was not written to be served.

    Args:
        folder: Where it is.
        prefix: Segments of the URIs before the folders of the skills.
    """

    folder: Path
    prefix: tuple[str, ...] = ()
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _trouble: str = ""

    def read(self) -> list[PlacedSkill]:
        """All skills.

        Raises:
            SkillInvalid: One can't be served, or there is none.
        """
        problems: list[tuple[str, str]] = []
        paths = self._skills()
        if not paths:
            raise SkillInvalid(str(self.folder), [("", f"there is no {SKILL_FILE} in it")])
        for path in paths:
            try:
                self._kept[path] = self._read(path)
            except SkillInvalid as error:
                problems += [(_join(path, where), what) for where, what in error.problems]
        if problems:
            raise SkillInvalid(str(self.folder), problems)
        return [kept.placed for kept in self._kept.values() if kept.placed is not None]

    def look(self) -> list[PlacedSkill]:
        """All skills as they are now. One that can't be served any more stays as it was, and the log says why."""
        try:
            paths = self._skills()
            self._trouble = ""
        except SkillInvalid as error:
            if error.message != self._trouble:
                self._trouble = error.message
                logger.warning("%s\nWhat was served before still is.", error.message)
            return [kept.placed for kept in self._kept.values() if kept.placed is not None]
        before, self._kept = self._kept, {}
        for path in paths:
            self._kept[path] = self._look_at(path, before.get(path))
        return [kept.placed for kept in self._kept.values() if kept.placed is not None]

    def _look_at(self, path: str, before: _Kept | None) -> _Kept:
        signature: tuple[_Found, ...] = ()
        try:
            signature = self._files(path)
            if before is not None and before.settled and before.signature == signature:
                return before
            return self._read(path, unless=before)
        except SkillInvalid as error:
            kept = _Kept(signature, before.placed if before else None, settled=False, trouble=error.message)
            if before is None or before.trouble != kept.trouble:
                logger.warning("%s\nIt %s.", kept.trouble, "stays as it was" if kept.placed else "is left out")
            return kept

    def _read(self, path: str, unless: _Kept | None = None) -> _Kept:
        """The skill at a path, anew; the same object where its bytes are those of `unless`."""
        began = time.time()
        found = self._files(path)
        files = {each.path: _bytes_of(self.folder / path / each.path) for each in found}
        changed = (moment / 1e9 - began for each in found for moment in each.signature[:2])
        settled = not any(-_UNSETTLED < since < _AHEAD for since in changed)
        if unless is not None and unless.placed is not None and unless.placed.skill.files == files:
            return _Kept(found, unless.placed, settled)
        try:
            skill = Skill(files)
        except SkillInvalid as error:
            raise SkillInvalid(str(self.folder / path), error.problems) from None
        folders = tuple(path.split("/")) if path else (self.folder.name,)
        if skill.name != folders[-1]:
            what = f"its name is {skill.name!r}, but its folder {folders[-1]!r}: they have to be the same"
            raise SkillInvalid(str(self.folder / path), [(SKILL_FILE, what)])
        return _Kept(found, PlacedSkill.below((*self.prefix, *folders[:-1]), skill), settled)

    def _skills(self) -> list[str]:
        """The paths of the outermost skills; "" is the folder itself."""
        with _readable(self.folder):
            return self._outermost()

    def _files(self, path: str) -> tuple[_Found, ...]:
        """The files of a skill, by their paths in it."""
        with _readable(self.folder / path):
            return self._found(path)

    def _outermost(self) -> list[str]:
        found, near, seen, waiting = [], list[str](), 0, [""]
        while waiting:
            path = waiting.pop()
            entries = self._entries(path)
            seen += len(entries)
            if seen > MOST_ENTRIES:
                what = f"it has more than {MOST_ENTRIES:,} entries: name the folder that the skills are in"
                raise SkillInvalid(str(self.folder), [("", what)])
            if any(entry.name == SKILL_FILE for entry in entries):
                found.append(path)
                continue
            near += [_join(path, entry.name) for entry in entries if entry.name.upper() == SKILL_FILE.upper()]
            for entry in entries:
                if entry.is_symlink() and (Path(entry.path) / SKILL_FILE).exists():
                    raise SkillInvalid(str(self.folder), [(_join(path, entry.name), _LINK)])
            waiting += [_join(path, each.name) for each in entries if each.is_dir(follow_symlinks=False)]
        if near and not found:
            raise SkillInvalid(str(self.folder), [(near[0], f"it has to be named {SKILL_FILE}")])
        return sorted(found)

    def _found(self, path: str) -> tuple[_Found, ...]:
        found: list[_Found] = []
        problems: list[tuple[str, str]] = []
        size, waiting = 0, [""]
        while waiting:
            folder = waiting.pop()
            for entry in self._entries(_join(path, folder)):
                where = _join(folder, entry.name)
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISLNK(status.st_mode):
                    problems.append(
                        (where, "it is a symbolic link, which might lead anywhere: put the file itself there")
                    )
                elif stat.S_ISDIR(status.st_mode):
                    waiting.append(where)
                elif not stat.S_ISREG(status.st_mode):
                    problems.append((where, "it is no file: neither a pipe nor a device can be served"))
                else:
                    size += status.st_size
                    times = (status.st_mtime_ns, status.st_ctime_ns)
                    found.append(_Found(where, status.st_size, (*times, status.st_size, status.st_ino)))
                if len(found) > MAX_FILES or size > MAX_BYTES or len(waiting) > MOST_ENTRIES:
                    what = f"it has more than {MAX_FILES} files, or {MAX_BYTES:,} bytes: hosts need not take more"
                    raise SkillInvalid(str(self.folder / path), [*problems, ("", what)])
        if problems:
            raise SkillInvalid(str(self.folder / path), problems)
        return tuple(sorted(found, key=lambda each: each.path))

    def _entries(self, path: str) -> list[os.DirEntry[str]]:
        with _readable(self.folder / path), os.scandir(self.folder / path) as entries:
            shown = [each for each in entries if not each.name.startswith(".") and each.name not in _LEFT_OUT]
        return sorted(shown, key=lambda each: each.name)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What the system says of a file or a folder, as people are told of it.

    Raises:
        SkillInvalid: It can't be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise SkillInvalid(str(path), [("", "there is no such file or folder")]) from None
    except NotADirectoryError:
        raise SkillInvalid(str(path), [("", "it is no folder")]) from None
    except OSError as error:
        raise SkillInvalid(str(error.filename or path), [("", f"it can't be read: {error.strerror}")]) from None


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path and name else path or name


def _bytes_of(path: Path) -> bytes:
    """The bytes of a file that was a plain one a moment ago; one more than a skill may have, of one that is larger.

    Raises:
        SkillInvalid: It can't be read, or is another kind of file by now.
    """
    # A link that was put in its place must not be followed, nor a pipe be waited for.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with _readable(path), open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise SkillInvalid(str(path), [("", "it is no file any more")])
        return file.read(MAX_BYTES + 1)
