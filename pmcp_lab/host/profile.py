"""Which host is played: what it reads of a server's metadata, and what it offers to an app."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pmcp_lab.errors import InvalidArguments
from pmcp_lab.protocol import chatgpt, ui
from pmcp_lab.protocol.ui_resource import OLD_TYPES


@dataclass(frozen=True)
class Profile:
    """A host, as data.

    Args:
        types: MIME types that it shows, without white space and in lower case.
        template: The `_meta` key by which a tool names its app, for people.
        only: Says that the app gets nothing but what this host has; None offers all there is.
    """

    name: str
    types: frozenset[str]
    template: str
    tool_ui: Callable[[Any], ui.ToolUi]
    resource_ui: Callable[..., ui.ResourceUi]
    only: str | None = None


STANDARD = Profile(
    "standard", frozenset({ui.MIME_TYPE, *OLD_TYPES}), "_meta.ui.resourceUri", ui.tool_ui, ui.resource_ui
)
CHATGPT = Profile(
    "chatgpt",
    frozenset({chatgpt.MIME_TYPE}),
    f'_meta["{chatgpt.OUTPUT_TEMPLATE}"]',
    chatgpt.tool_ui,
    chatgpt.resource_ui,
    only="ChatGPT",
)
PROFILES = {profile.name: profile for profile in (STANDARD, CHATGPT)}


def profile_of(name: str) -> Profile:
    """The host of that name.

    Raises:
        InvalidArguments: There is none.
    """
    if name not in PROFILES:
        raise InvalidArguments(
            f"There is no host {name!r} to play; there are {', '.join(map(repr, PROFILES))}. An argument of the tool "
            "that is called host goes into a dict: app(tool, {'host': …})."
        )
    return PROFILES[name]
