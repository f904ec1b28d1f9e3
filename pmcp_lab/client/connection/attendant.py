"""Who attends a connection: does something for as long as it lasts, and hears what becomes of it.

The connection knows its attendants by this alone. What they do (follow tasks, hear of changes of lists and resources)
is in their own files.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcp.client import IncomingMessage
from mcp.client.session import ElicitationFnT, ListRootsFnT, LoggingFnT, SamplingFnT

from pmcp_lab.client.connection.peer import Peer
from pmcp_lab.protocol import TaskState


class Attendant:
    """Does nothing of all this. Every method is called on the connection's loop."""

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

    async def on_message(self, message: IncomingMessage) -> None:
        """What the server sends by itself."""

    def on_task(self, state: TaskState) -> None:
        """What the server says of a task by itself, in either generation."""


@dataclass(frozen=True)
class ClientFeatures:
    """What the server may ask of its client (MCP "Client Features"). What is None is not declared in the handshake."""

    elicitation: ElicitationFnT | None = None
    sampling: SamplingFnT | None = None
    roots: ListRootsFnT | None = None
    logging: LoggingFnT | None = None
