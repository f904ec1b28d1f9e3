"""What every view of a server's catalogue does: items by name, searched, tabulated and completed."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

from pmcp_lab.client import views

if TYPE_CHECKING:
    import pandas as pd


class Item(Protocol):
    """A tool, resource, prompt or skill."""

    @property
    def key(self) -> str:
        """What it is found by."""

    @property
    def title(self) -> str: ...

    @property
    def description(self) -> str: ...

    def row(self) -> dict[str, Any]:
        """Its row in `df`."""

    def cells(self) -> tuple[str, str, str]:
        """The same for a person: what it is called, what it does, what is special about it."""


I = TypeVar("I", bound=Item)  # noqa: E741


class Listing(Mapping[str, I]):
    """The items of one kind that a server lists, by name; shows itself as a table."""

    noun: ClassVar[str]
    """What they are called: "tools"."""
    heads: ClassVar[tuple[str, str, str]]
    joint: ClassVar[str] = "."
    """What stands between the server's name and an item's."""

    def __init__(self, server: str, items: Iterable[I]) -> None:
        self._server = server
        self._items = {item.key: item for item in items}

    def missing(self, name: str) -> Exception:
        """What is raised for a name that is not there."""
        raise NotImplementedError

    def __getitem__(self, name: str) -> I:
        try:
            return self._items[name]
        except KeyError:
            raise self.missing(name) from None

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def search(self, text: str) -> Self:
        """The items whose name, title or description has every word of `text`."""
        words = text.lower().split()

        def fits(item: I) -> bool:
            body = f"{item.key} {item.title} {item.description}".lower()
            return all(word in body for word in words)

        return type(self)(self._server, [item for item in self._items.values() if fits(item)])

    @property
    def df(self) -> pd.DataFrame:
        """The listing as a pandas DataFrame, one row per item."""
        import pandas as pd

        return pd.DataFrame([item.row() for item in self._items.values()])

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._items)

    @property
    def server(self) -> str:
        """The name of the server."""
        return self._server

    def _ipython_display_(self) -> None:
        if views.installed() is None:
            raise NotImplementedError  # so IPython takes one of the forms below
        views.display(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        shown = views.installed()
        if shown is None:
            return {"text/plain": repr(self), "text/html": self._repr_html_()}
        return shown.show(self)._repr_mimebundle_(**kwargs)

    def _display_(self) -> Any:
        return views.shown(self)

    def __repr__(self) -> str:
        if not self._items:
            return f"{self._server}: no {self.noun}"
        lines = []
        for name, what, more in (item.cells() for item in self._items.values()):
            lines += [f"{self._server}{self.joint}{name}" + (f"  [{more}]" if more else ""), f"    {what}"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        head = "".join(f"<th {left}>{name}</th>" for name in self.heads)
        body = "".join(
            f"<tr><td {left}><code>{html.escape(name)}</code></td>"
            f"<td {left}>{html.escape(what)}</td><td {left}>{html.escape(more)}</td></tr>"
            for name, what, more in (item.cells() for item in self._items.values())
        )
        caption = f"{len(self)} {self.noun} of {html.escape(self._server)}"
        return f"<table><caption {left}>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 120 else line[:119] + "…"
