"""The kernel's end of a model: state that its views see, and messages to and from them.

`js/MESSAGES.md` is the contract. What carries them is another's business: a widget's comm, or the preview's page.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from pmcp_lab.client import now_ms
from pmcp_lab.errors import LabError
from pmcp_lab.host.exchange import Exchange

STATIC = Path(__file__).parent.parent / "static"


def built(name: str) -> Path:
    """A file of the built front end.

    Raises:
        LabError: It was never built.
    """
    file = STATIC / name
    if not file.is_file():
        raise LabError(f"The front end is not built ({name} is missing): run `make front-end` in the source tree.")
    return file


def bundle(name: str, *, styled: bool = False) -> dict[str, str]:
    """Code that a view loads only when it is wanted, as the `code` message has it.

    Raises:
        LabError: It was never built.
    """
    style = built(f"{name}.css").read_text(encoding="utf-8") if styled else ""
    return {"name": name, "module": built(f"{name}.js").read_text(encoding="utf-8"), "style": style}


class LiveModel:
    """A model whose views talk with the background thread."""

    _seq = 0
    """The number of the last change that the views were told of."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._talk = threading.RLock()
        self._exchanges: dict[str, Exchange] = {}
        self._assigned: set[str] = set()
        super().__init__(*args, **kwargs)

    def received(self, content: dict[str, Any]) -> None:
        """A message of a view. Runs on the background thread."""
        kind, view = content.get("kind"), content.get("view")
        if not isinstance(view, str):
            return
        _owners[view] = self
        if kind == "ping":
            self.post({"kind": "pong", "to": view, "n": content.get("n"), "views": _standings(content.get("views"))})
        elif kind == "hello":
            self._repeat(view, content.get("heard"))
            self.greet(view, content.get("seq"))
        elif self._take(kind, view, content.get("command")):
            self.receive(str(kind), view, content)

    def _exchange(self, view: str) -> Exchange:
        """Held by who holds `_talk`: replies come from any thread."""
        return self._exchanges.setdefault(view, Exchange())

    def _repeat(self, view: str, heard: object) -> None:
        """Say again what the view does not have."""
        with self._talk:
            exchange = self._exchange(view)
            exchange.greeted = True
            exchange.heard(heard)
            for reply in exchange.unheard:
                self.post({**reply, "to": view})

    def _take(self, kind: object, view: str, command: object) -> bool:
        with self._talk:
            exchange = self._exchange(view)
            taken = exchange.take(command)
            if taken and kind == "bye":
                exchange.end()
            return taken

    def standing(self, view: str, heard: object) -> tuple[int, ...] | None:
        """What a view compares with what it has; None where it has to say hello first.

        Args:
            heard: The last reply that it has.
        """
        with self._talk:
            exchange = self._exchange(view)
            exchange.heard(heard)
            return (self._seq, *exchange.standing) if exchange.greeted else None

    def greet(self, view: str, seq: object) -> None:
        """Answer a view that has just been mounted, or has missed something."""
        if seq != self._seq:
            self.hand_over_again(self._assigned)
        self.post({"kind": "welcome", "to": view, "seq": self._seq, "now": now_ms()})

    def receive(self, kind: str, view: str, content: dict[str, Any]) -> None:
        """Take in any other message of a view."""

    def reply(self, view: str, content: dict[str, Any]) -> None:
        """Send to one view what it gets once, however often it has to be said. From any thread."""
        with self._talk:
            number = self._exchange(view).number(content)
            self.post({**content, "to": view, "reply": number})

    def tell(self, content: dict[str, Any]) -> None:
        """The same, to every view; one that was not heard of yet has to do with the first time."""
        with self._talk:
            replies = {view: exchange.number(content) for view, exchange in self._exchanges.items()}
            self.post({**content, "replies": replies})

    def post(self, content: dict[str, Any]) -> None:
        """Send to the views what may be lost, from any thread."""
        raise NotImplementedError

    def assign(self, **traits: Any) -> None:
        """Change what the views see, from any thread."""
        with self._talk:
            self._assigned |= traits.keys() | {"_seq"}
            self.hand_over(_seq=self._seq + 1, **traits)

    def hand_over(self, **traits: Any) -> None:
        """Set these, and have the views hear of all of them at once."""
        raise NotImplementedError

    def hand_over_again(self, names: Iterable[str]) -> None:
        """Have the views hear of these as they are, and that it is all, by `_whole`, which says the present `_seq`."""
        raise NotImplementedError


_owners: WeakValueDictionary[str, LiveModel] = WeakValueDictionary()
"""The model of each view, for one view asks for all of a page."""


def _standings(views: object) -> dict[str, tuple[int, ...] | None]:
    asked = views if isinstance(views, Mapping) else {}
    owners = ((view, heard, _owners.get(view)) for view, heard in asked.items())
    return {view: owner.standing(view, heard) if owner is not None else None for view, heard, owner in owners}
