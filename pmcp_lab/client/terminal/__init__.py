"""What a terminal shows while something is waited for: a line for each thing, and what it asks.

What is waited for is told as a `Seen`, from outside;
`screen` is who draws, and keeps out of the way of whatever else is written; `lines` is what is drawn.
"""

from pmcp_lab.client.terminal.screen import showing
from pmcp_lab.client.terminal.seen import Asked, Seen

__all__ = ["Asked", "Seen", "showing"]
