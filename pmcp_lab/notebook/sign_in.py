"""The link at which a person signs in to a server, below the cell that waits for it."""

from __future__ import annotations

import html
from collections.abc import Callable

from IPython.display import display


def show_link(server: str, url: str) -> Callable[[], object]:
    """Show the link; what is returned replaces it, so that it is not saved with the notebook."""
    shown = display(_Link(server, url), display_id=True)  # type: ignore[no-untyped-call]
    # Outside of IPython it was printed, and stays.
    return int if shown is None else lambda: shown.update(_Text(f"That was the sign-in to {server}."))


class _Text:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


class _Link:
    def __init__(self, server: str, url: str) -> None:
        self._server = server
        self._url = url

    def __repr__(self) -> str:
        return f"Sign in to {self._server}:\n{self._url}"

    def _repr_html_(self) -> str:
        if not self._url.startswith(("https://", "http://")):
            return f"<pre>{html.escape(repr(self))}</pre>"
        link = f'<a href="{html.escape(self._url, quote=True)}" target="_blank" rel="noopener noreferrer">'
        return f"<p>{link}Sign in to {html.escape(self._server)}</a>. The cell goes on when you have.</p>"
