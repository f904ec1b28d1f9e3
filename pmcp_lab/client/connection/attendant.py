"""Who attends a connection: does something for as long as it lasts, and hears what becomes of it.

The connection knows its attendants by this alone. What they do (follow tasks, hear of changes of lists and resources)
is in their own files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp.client.session import ElicitationFnT, ListRootsFnT, LoggingFnT, SamplingFnT

from pmcp_lab.client.connection.peer import Peer

Hears = Mapping[type, Callable[[Any], object]]
"""What to call, on the connection's loop, with what the server sends by itself: by the type of the notification, or by
`TaskState` for what it says of a task in either generation."""


class Attendant:
    """Does nothing of all this. Every method but `hears` is called on the connection's loop."""

    async def run(self, peer: Peer) -> None:
        """The connection stands; cancelled when it is lost."""

    def interrupted(self, trouble: str) -> None:
        """It was lost, and is made again.

        Args:
            trouble: What is to be said meanwhile.
        """

    def ended(self, why: str, trouble: str) -> None:
        """It is gone for good.

        Args:
            why: What to raise; may have several lines.
            trouble: The same in one line.
        """

    def hears(self) -> Hears:
        """What it wants to be told of; asked once, before the connection is opened."""
        return {}


@dataclass(frozen=True)
class ClientFeatures:
    """What the server may ask of its client (MCP "Client Features"). What is None is not declared in the handshake."""

    elicitation: ElicitationFnT | None = None
    sampling: SamplingFnT | None = None
    roots: ListRootsFnT | None = None
    logging: LoggingFnT | None = None
    app_elicitation: bool = False
    """Whether an app of the server may ask (see `client_extensions`)."""
