"""A task's variables as a dictionary that can be written to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Self

Write = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Has the server write changes (None deletes); returns what the variables are then."""


class Variables(dict[str, Any]):
    """What was last seen when it was made; each write is one request to the server. A copy is a plain `dict`.

    Raises (on writing):
        NotOffered: The server does not take variables from clients.
        PeerError: It refused.
    """

    def __init__(self, seen: Mapping[str, Any], write: Write) -> None:
        super().__init__(seen)
        self._write_them = write

    def _write(self, changes: dict[str, Any]) -> None:
        now = self._write_them(changes)
        super().clear()
        super().update(now)

    def __setitem__(self, name: str, value: Any) -> None:
        self._write({name: value})

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._write({name: None})

    def update(self, *others: Any, **named: Any) -> None:
        """Write several with one request."""
        self._write(dict(*others, **named))

    def clear(self) -> None:
        """Delete all with one request."""
        self._write(dict.fromkeys(self))

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self

    # Those of dict would change this copy alone.
    pop = MutableMapping.pop
    popitem = MutableMapping.popitem
    setdefault = MutableMapping.setdefault

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)
