"""A file of a skill, as it was read."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from pmcp_lab.client.catalogue import Content
from pmcp_lab.protocol.skills import content_bytes


class SkillContent(Content):
    """A file of a skill: text or bytes, shown as text and never run.

    Attributes:
        server: What the server is called here. A skill is whatever its server says; digests are unsigned.
        skill: The URI of the skill.
        path: Of the file in it.
        digest: `sha256:…` of its bytes, as the skill's entry has it; None where the entry has none ("dynamic"), so
            that there was nothing to verify it with.
    """

    def __init__(self, item: Mapping[str, Any], *, server: str, skill: str, path: str, digest: str | None) -> None:
        super().__init__({"type": "resource", "resource": dict(item)})
        self.server, self.skill, self.path, self.digest = server, skill, path, digest

    @property
    def bytes(self) -> bytes:
        """The file, byte for byte, whether it is text or not."""
        return content_bytes(self.resource)

    @property
    def labelled(self) -> str:
        """The text below a line that says where it is from: for whoever passes it on to a model.

        A host has to say so with its own name of the server. The text itself may say anything.
        """
        return f"[{self.path} of the skill {self.skill}, from MCP server {self.server!r}; untrusted]\n{self.text or ''}"

    def as_html(self) -> str:
        checked = "verified" if self.digest is not None else "nothing to verify it with"
        words = f"{self.path} · from server {self.server} · {checked}"
        return f"<p><small>{html.escape(words)}</small></p>{super().as_html()}"
