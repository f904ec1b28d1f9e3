"""What a server showed of its apps and skills, as plain data, from which checks and manifests are made.

Nothing here asks a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pmcp_lab.protocol.ui import FLAT_URI, tool_ui

Raw = Mapping[str, Any]
CHATGPT_KEY = '_meta["openai/outputTemplate"]'
"""Where a tool names its app for ChatGPT."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One UI resource.

    Args:
        listed: Its entry in `resources/list`; None when it is not there.
        content: The item of `resources/read`; None when it could not be read.
        trouble: Why not.
        times: How often it is in `resources/list`, and how many contents of its address were sent, if more than once.
    """

    uri: str
    listed: Raw | None = None
    content: Raw | None = None
    trouble: str = ""
    times: int = 1

    @property
    def title(self) -> str:
        listed = self.listed or {}
        return str(listed.get("title") or listed.get("name") or self.uri.rpartition("/")[2])


@dataclass(frozen=True, kw_only=True)
class Call:
    """A tool that was called, and the `CallToolResult` as it came."""

    tool: str
    arguments: Raw
    result: Raw


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An app that was opened in a browser.

    Args:
        started: Whether it said `ui/initialize`, and that it is ready.
        problems: What its document told: `kind`, `message`, and as it is known `source`, `line` and more of each.
        result: What it was given for the result of its tool's call.
        made_up: Whether nobody ever answered with that.
    """

    uri: str
    started: bool
    problems: tuple[Raw, ...] = ()
    result: Raw | None = None
    made_up: bool = False


@dataclass(frozen=True)
class Answer:
    """What a server answered to one request.

    Args:
        result: None where it answered with an error, or went away.
        code: Of the error, if it came as JSON-RPC.
        trouble: What it said then.
    """

    result: Raw | None = None
    code: int | None = None
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class ServedSkills:
    """What a server shows of its skills (SEP-2640).

    Args:
        modern: Whether this was asked as a 2026-07-28 client; else as one of 2025-11-25.
        settings: What it declares under the extension's name; None where it does not name it.
        resources: Whether it declares resources.
        pages: The answers to `skills/list`.
        got: Those to `skills/get`, by the URI of each listed skill.
        unknown: That to `skills/get` of a skill that there is not; None where it was not asked.
        directories: Those to `resources/directory/read`, by the URI of each listed skill's folder.
        files: Those to `resources/read`, by the URI of each listed file; none where files are not looked at.
        listed: Its resources of the scheme `skill`, as `resources/list` has them.
    """

    modern: bool
    settings: object | None = None
    resources: bool = True
    pages: tuple[Answer, ...] = ()
    got: Mapping[str, Answer] = field(default_factory=dict)
    unknown: Answer | None = None
    directories: Mapping[str, Answer] = field(default_factory=dict)
    files: Mapping[str, Answer] = field(default_factory=dict)
    listed: tuple[Raw, ...] = ()

    @property
    def entries(self) -> list[Any]:
        """Of all pages, as they came."""
        found: list[Any] = []
        for page in self.pages:
            skills = (page.result or {}).get("skills")
            found += skills if isinstance(skills, list) else []
        return found


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server, looked at once.

    Args:
        info: Its `serverInfo`.
        announces_ui: Whether its capabilities name the extension `io.modelcontextprotocol/ui`.
        tools: As `tools/list` has them, all pages.
        pages: UI resources that are listed or that a tool names, by URI.
        templates: The listed URI templates.
        resources: The addresses of all that is listed, apps or not.
        calls: What was called to look at the results.
        skills: None where it has none.
    """

    name: str
    info: Raw = field(default_factory=dict)
    instructions: str = ""
    announces_ui: bool = False
    tools: tuple[Raw, ...] = ()
    pages: Mapping[str, Page] = field(default_factory=dict)
    templates: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    skills: ServedSkills | None = None
    opened: tuple[Opened, ...] = ()

    @property
    def ui_tools(self) -> dict[str, str]:
        """The tools that have an app, with its URI."""
        found = {str(tool.get("name")): tool_ui(tool.get("_meta")).resource_uri for tool in self.tools}
        return {name: uri for name, uri in found.items() if uri}


def named_uris(tool: Raw) -> dict[str, object]:
    """Everywhere a tool names its UI resource, by place: the standard key, the deprecated flat one, ChatGPT's."""
    meta = tool.get("_meta")
    meta = meta if isinstance(meta, Mapping) else {}
    ui = meta.get("ui")
    places = {
        "_meta.ui.resourceUri": ui.get("resourceUri") if isinstance(ui, Mapping) else None,
        f'_meta["{FLAT_URI}"]': meta.get(FLAT_URI),
        CHATGPT_KEY: meta.get("openai/outputTemplate"),
    }
    return {place: uri for place, uri in places.items() if uri is not None}
