"""The kernel's end of a model: state that its views see, and messages to and from them.

`js/MESSAGES.md` is the contract. What carries them is another's business: a widget's comm, or the preview's page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pmcp_lab.client import now_ms
from pmcp_lab.errors import LabError

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


class LiveModel:
    """A model whose views talk with the background thread."""

    def received(self, content: dict[str, Any]) -> None:
        """A message of a view. Runs on the background thread."""
        kind, view = content.get("kind"), content.get("view")
        if not isinstance(view, str):
            return
        if kind == "ping":
            self.post({"kind": "pong", "to": view, "n": content.get("n")})
        elif kind == "hello":
            self.greet(view, content.get("seq"))
        else:
            self.receive(str(kind), view, content)

    def greet(self, view: str, seq: object) -> None:
        """Answer a view that has just been mounted, or has missed something."""
        self.post({"kind": "welcome", "to": view, "seq": seq if isinstance(seq, int) else 0, "now": now_ms()})

    def receive(self, kind: str, view: str, content: dict[str, Any]) -> None:
        """Take in any other message of a view."""

    def post(self, content: dict[str, Any]) -> None:
        """Send to the views, from any thread."""
        raise NotImplementedError

    def assign(self, **traits: Any) -> None:
        """Change what the views see, from any thread."""
        raise NotImplementedError
