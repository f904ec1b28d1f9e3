"""A task's variables as a mapping that can be written to."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmcp_lab.client.task import Task


class Variables(MutableMapping[str, Any]):
    """Reads what was last seen; each write is one request to the server.

    Raises (on writing):
        NotOffered: The server does not take variables from clients.
        PeerError: It refused.
    """

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getitem__(self, name: str) -> Any:
        return self._task.seen_variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._task.seen_variables)

    def __len__(self) -> int:
        return len(self._task.seen_variables)

    def __setitem__(self, name: str, value: Any) -> None:
        self._task.set_variables({name: value})

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._task.set_variables({name: None})

    def update(self, *others: Any, **named: Any) -> None:
        """Write several with one request."""
        self._task.set_variables(dict(*others, **named))

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        return repr(dict(self))
