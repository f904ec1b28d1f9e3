"""The prompts a server lists, and the messages one makes."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pmcp_lab.client.catalogue.content import Content
from pmcp_lab.client.catalogue.listing import Listing, first_line
from pmcp_lab.errors import InvalidArguments, UnknownPrompt, nearest


@dataclass(frozen=True)
class Prompt:
    """A prompt as its server describes it; `raw` is the whole description."""

    server: str
    raw: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.raw["name"])

    @property
    def key(self) -> str:
        return self.name

    @property
    def title(self) -> str:
        return str(self.raw.get("title") or self.name)

    @property
    def description(self) -> str:
        return str(self.raw.get("description") or "")

    @property
    def arguments(self) -> dict[str, dict[str, Any]]:
        """The prompt's arguments by name: `description`, `required`."""
        listed = self.raw.get("arguments") or ()
        return {str(each["name"]): dict(each) for each in listed if isinstance(each, Mapping) and "name" in each}

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Compare arguments with what the prompt takes.

        Raises:
            InvalidArguments: One is missing, or not known.
        """
        known = self.arguments
        problems = [f"{n}: not an argument of this prompt.{nearest(n, known)}" for n in arguments if n not in known]
        problems += [f"{n}: missing" for n, each in known.items() if each.get("required") and n not in arguments]
        if problems:
            lines = "\n".join(f"  {problem}" for problem in problems)
            raise InvalidArguments(f"{self.server}.{self.name} can't take these arguments:\n{lines}\n{self.signature}")

    @property
    def signature(self) -> str:
        """`name(city, units = …)`; prompts take text only."""
        parts = [name if each.get("required") else f"{name} = …" for name, each in self.arguments.items()]
        return f"{self.name}({', '.join(parts)})"

    def row(self) -> dict[str, Any]:
        return {
            "prompt": self.name,
            "title": self.title,
            "description": self.description,
            "arguments": ", ".join(self.arguments),
            "required": ", ".join(name for name, each in self.arguments.items() if each.get("required")),
        }

    def cells(self) -> tuple[str, str, str]:
        return self.signature, first_line(self.description or self.title), ""

    def __repr__(self) -> str:
        return f"<Prompt {self.server}.{self.signature}>"


class Prompts(Listing[Prompt]):
    """The prompts of one server, by name; shows itself as a table."""

    noun = "prompts"
    heads = ("prompt", "what it is for", "")

    def missing(self, name: str) -> UnknownPrompt:
        return UnknownPrompt(self._server, name, self._items)


@dataclass(frozen=True)
class Message:
    """One message of a prompt. `role` is "user" or "assistant"."""

    role: str
    content: Content

    def __repr__(self) -> str:
        return f"{self.role}: {self.content!r}"


class Messages(list[Message]):
    """What a prompt was made into; `raw` is the whole `GetPromptResult`."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = dict(raw)
        listed = raw.get("messages") or ()
        super().__init__(Message(str(each.get("role")), Content(each.get("content") or {})) for each in listed)

    @property
    def description(self) -> str:
        return str(self.raw.get("description") or "")

    @property
    def text(self) -> str:
        """The texts of all messages, with an empty line between them."""
        return "\n\n".join(message.content.text for message in self if message.content.text is not None)

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "no messages"

    def _repr_html_(self) -> str:
        return "".join(
            f"<p style='margin-bottom:0'><b>{html.escape(message.role)}</b></p>{message.content.as_html()}"
            for message in self
        )
