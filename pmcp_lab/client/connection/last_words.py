"""Why a connection failed or was lost, with what the server said besides MCP: on stderr, on stdout, as a web page."""

from __future__ import annotations

import asyncio
import re

from mcp import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION

from pmcp_lab.client.connection.stderr import StderrLog
from pmcp_lab.client.targets import Command, Target, Url

_OF_ANOTHER_GENERATION = {METHOD_NOT_FOUND, INVALID_PARAMS, UNSUPPORTED_PROTOCOL_VERSION}
"""What servers answer to the first message of a generation that they don't speak (the Python SDK 1.x: the second)."""


class LastWords:
    """What one server says besides MCP.

    Attributes:
        stderr: Of a stdio server; None for others.
        noise: The first line of this connection that was no message.
        stranger: What answered instead of an MCP server.
    """

    def __init__(self, name: str, target: Target) -> None:
        self._name = name
        self._target = target
        self.stderr = StderrLog() if isinstance(target, Command) else None
        self.noise = self.stranger = ""

    def begin(self) -> None:
        """Another attempt to connect begins."""
        self.noise = self.stranger = ""

    def begin_anew(self) -> None:
        """Another process begins, and the last one's words are of no interest."""
        self.close()
        self.stderr = StderrLog() if isinstance(self._target, Command) else None

    def close(self) -> None:
        if self.stderr is not None:
            self.stderr.close()

    def on_noise(self, line: str) -> None:
        """A stdio server printed what is no message."""
        self.noise = self.noise or line
        if self.stderr is not None:
            self.stderr.add(f"(on stdout, where only MCP belongs) {line}")

    def on_unreadable(self, said: str) -> None:
        """A message of the server is not of the form it should have."""
        if self.stderr is not None:
            self.stderr.add(f"(in its messages) {said}")

    def on_stranger(self, said: str) -> None:
        """Something else than an MCP server answered."""
        self.stranger = self.scrubbed(said)

    def scrubbed(self, text: str) -> str:
        """The text without what is secret in the target."""
        return self._target.scrubbed(text) if isinstance(self._target, Url) else text

    def stopped(self) -> str:
        """Why a connection is lost whose server has ended."""
        reason = f"Server {self._name!r} stopped."
        if self.stderr is not None and (tail := self.stderr.tail()):
            reason += f" Its last words on stderr:\n{tail}"
        return reason

    def why(self, error: BaseException, *, stood: bool, mode: str, timeout: float) -> str:
        """Why it can't be connected to, or was lost.

        Args:
            stood: Whether the handshake was done.
            mode: "auto" when the server was asked which generation it speaks, or the one that was taken for known.
            timeout: Seconds the handshake may take.
        """
        cause = innermost(error)
        match cause:
            case TimeoutError():
                reason = f"it did not complete the handshake within {timeout:g} s"
            case asyncio.CancelledError():
                reason = "it was closed while connecting"
            case _:
                text = (not stood and self.stranger) or self.scrubbed(str(cause)) or type(cause).__name__
                reason = text[0].lower() + text[1:] if text[:2] != text[:2].upper() else text
        what = "Lost the connection to" if stood else "Can't connect to"
        message = f"{what} {self._name!r} ({self._target}): {reason}"
        if not stood and mode != "auto" and isinstance(cause, MCPError) and cause.code in _OF_ANOTHER_GENERATION:
            message += f" (does it speak what mode={mode!r} stands for? mode='auto' asks it)"
        if not stood and self.noise:
            return message + self._quoted_noise()
        if self.stderr is not None and (tail := self.stderr.tail()):
            message += f"\nIts stderr says:\n{tail}"
        elif not stood and mode == "auto" and not self.stranger and _may_have_stumbled(cause):
            message += " (it was asked what it speaks; mode='legacy' or mode='2026-07-28' takes that for known)"
        return message

    def _quoted_noise(self) -> str:
        text = f"\nIt printed text that is no MCP on stdout: {self.noise!r}"
        if (found := re.search(r"https?://[^\s'\"<>]+", self.noise)) is not None:
            text += f"\nIs it a server over HTTP? Then connect to {found[0]!r}, perhaps with /mcp behind it."
        return text


def _may_have_stumbled(cause: BaseException) -> bool:
    """Whether a server may have stumbled over what it was asked first: it did not say that it knows no such caller."""
    if isinstance(cause, MCPError):
        return not (isinstance(cause.error.data, dict) and cause.error.data.get("refused"))
    return isinstance(cause, TimeoutError)


def innermost(error: BaseException) -> BaseException:
    """What happened, out of the groups it came in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def one_line(ending: str) -> str:
    """Why a connection ended, with the last of a server's last words."""
    head, _, words = ending.partition(" Its last words on stderr:\n")
    return f"{head} {words.splitlines()[-1]}" if words else head.partition("\n")[0]
