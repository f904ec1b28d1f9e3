"""A task's variables as a dictionary that can be written to."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pmcp_lab.client.task import Task


class Variables(dict[str, Any]):
    """What was last seen when it was made; each write is one request to the server. A copy is a plain `dict`.

    Raises (on writing):
        NotOffered: The server does not take variables from clients.
        PeerError: It refused.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task.seen_variables)
        self._task = task

    def _write(self, changes: dict[str, Any]) -> None:
        self._task.set_variables(changes)
        super().clear()
        super().update(self._task.seen_variables)

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
