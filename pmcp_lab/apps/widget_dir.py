"""A folder of widgets: which there are, what each one is, and which of them were saved just now.

How they reach a host is in `binding`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Protocol

from pmcp_lab.apps.document import error_page
from pmcp_lab.apps.metadata import SIDE_FILES, WidgetMetadata, front_matter, parse_metadata
from pmcp_lab.errors import AppError, MissingExtra, UnknownWidget

MAX_WIDGET_BYTES = 16 * 1024 * 1024
"""Bytes of a widget's file; a host would not take more."""

_APP = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?")
_STEM = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
_WATCH_STEP_MS = 20
"""Milliseconds without another change after which a save is over: editors write in several steps."""


@dataclass(frozen=True, kw_only=True)
class Widget:
    """One widget as it is now.

    Args:
        html: The document as its author wrote it, or a page that says what is wrong with it.
        problem: What is wrong with it.
    """

    name: str
    uri: str
    html: str
    metadata: WidgetMetadata
    problem: str | None = None


class Widgets(Protocol):
    """Where widgets come from."""

    @property
    def app(self) -> str:
        """Whose they are: the first part of their addresses, `ui://<app>/<name>`."""

    @property
    def watched(self) -> bool:
        """Whether `changes` ever has something to say."""

    def names(self) -> list[str]:
        """Those there are now, sorted."""

    def read(self, name: str) -> Widget:
        """One of them; with a page in its place when it can't be shown.

        Raises:
            UnknownWidget: There is none of this name.
        """

    def changes(self) -> AsyncIterator[frozenset[str]]:
        """The names of widgets that were changed, added or taken away; goes on until it is cancelled."""


def app_name(name: str) -> str:
    """A name that can stand in `ui://<app>/…`.

    Raises:
        AppError: It can't.
    """
    if not _APP.fullmatch(name):
        raise AppError(f"{name!r} can't be the name of an app: lower-case letters, digits, '-' and '.', at most 64")
    return name


class WidgetDir:
    """The `.html` files of a folder, served as `ui://<app>/<name>`. Files are read when they are asked for.

    `board.html` is `ui://<app>/board`; `ui://<app>/board.html` is understood as well. What is said of it (title, CSP,
    permissions, border) stands in `board.yaml` or `board.json` beside it, or in its first comment:

    ```html
    <!-- mcp-app
    title: Chess board
    csp: {connect: [https://api.example]}
    permissions: [clipboardWrite]
    -->
    ```

    Args:
        path: The folder.
        app: Whose widgets they are; two apps may have widgets of the same name.
        watch: Whether hosts are told when a file was saved. None: when `watchfiles` is installed.

    Raises:
        AppError: There is no such folder, or `app` can't be a name.
        MissingExtra: `watch` is true and `watchfiles` is not installed.
    """

    def __init__(self, path: str | PathLike[str], *, app: str, watch: bool | None = None) -> None:
        self.app = app_name(app)
        self.path = Path(path).expanduser().resolve()
        if not self.path.is_dir():
            raise AppError(f"there is no folder {str(path)!r} with widgets for {app!r}; make it, or give another path")
        if watch and find_spec("watchfiles") is None:
            raise MissingExtra("reloading widgets when they are saved", "apps")
        self.watched = find_spec("watchfiles") is not None if watch is None else watch

    def names(self) -> list[str]:
        return sorted(file.stem for file in self.path.glob("*.html") if self._file(file.stem) is not None)

    def uri(self, name: str) -> str:
        """The address of a widget.

        Raises:
            UnknownWidget: There is none of this name.
        """
        return self.read(name).uri

    def read(self, name: str) -> Widget:
        stem = name.removesuffix(".html")
        file = self._file(stem)
        if file is None:
            raise UnknownWidget(self.app, name, self.names())
        uri = f"ui://{self.app}/{stem}"
        html = ""
        try:
            html = _text(file)
            metadata = self._metadata(stem, file.name, html)
        except AppError as error:
            # The side file's own trouble must not hide the widget's policy: an error page needs none.
            page = error_page(stem, error.message)
            return Widget(name=stem, uri=uri, html=page, metadata=WidgetMetadata(), problem=error.message)
        return Widget(name=stem, uri=uri, html=html, metadata=metadata)

    async def changes(self) -> AsyncIterator[frozenset[str]]:
        if find_spec("watchfiles") is None:
            raise MissingExtra("reloading widgets when they are saved", "apps")
        from watchfiles import awatch

        # It reports every change as information, on the stderr of whoever runs the server.
        logging.getLogger("watchfiles").setLevel(logging.WARNING)
        endings = {".html", *SIDE_FILES}
        async for changed in awatch(self.path, debounce=10 * _WATCH_STEP_MS, step=_WATCH_STEP_MS, recursive=False):
            names = {Path(path).stem for _, path in changed if Path(path).suffix in endings}
            if saved := frozenset(name for name in names if _STEM.fullmatch(name)):
                yield saved

    def _file(self, stem: str) -> Path | None:
        """The widget's file, if the name is plain and nothing leads out of the folder."""
        if not _STEM.fullmatch(stem):
            return None
        return self._inside(self.path / f"{stem}.html")

    def _inside(self, file: Path) -> Path | None:
        try:
            real = file.resolve(strict=True)
        except (OSError, RuntimeError):
            return None  # not there, or a link to itself
        return real if real.is_file() and real.is_relative_to(self.path) else None

    def _metadata(self, stem: str, name: str, html: str) -> WidgetMetadata:
        beside = [side for ending in SIDE_FILES if (side := self._inside(self.path / f"{stem}{ending}")) is not None]
        inside = front_matter(html)
        if beside and inside is not None:
            raise AppError(f"{name} is described twice: in {beside[0].name} and in its first comment; keep one")
        if beside:
            return parse_metadata(_text(beside[0]), beside[0].name)
        return WidgetMetadata() if inside is None else parse_metadata(inside, name)

    def __repr__(self) -> str:
        return f"<WidgetDir ui://{self.app}/: {', '.join(self.names()) or 'no widgets'}>"


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_WIDGET_BYTES:
            raise AppError(f"{file.name} is larger than {MAX_WIDGET_BYTES // 1024**2} MB")
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise AppError(f"{file.name} is not UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise AppError(f"{file.name} can't be read: {error.strerror}") from None
