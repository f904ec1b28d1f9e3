"""Resources, prompts, completion, roots and logs: what a server has besides its tools."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import Completion, PromptReference

import pmcp_lab as lab
from pmcp_lab.errors import InvalidArguments, NotOffered, PeerError, UnknownPrompt, UnknownResource
from tests.servers.bridged import Bridged
from tests.unit.front_end import until

MODES = ["legacy", "2026-07-28"]


@contextmanager
def old_fashioned() -> Iterator[None]:
    """Roots and logs are on their way out of the protocol, but peers have them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        yield


def build() -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("library", log_level="WARNING")

    @server.resource("notes://today", mime_type="text/plain", description="What is to be done today.")
    def today() -> str:
        return "water the plants"

    @server.resource("notes://picture", mime_type="image/png")
    def picture() -> bytes:
        return b"\x89PNG"

    @server.resource("notes://{year}/{month}{?words}", mime_type="application/json")
    def month(year: str, month: str, words: str = "all") -> str:
        return f'{{"year": {year}, "month": "{month}", "words": "{words}"}}'

    @server.prompt(description="Ask for a poem.")
    def poem(subject: str, lines: str = "4") -> str:
        return f"Write {lines} lines about {subject}."

    @server.completion()
    async def complete(ref: Any, argument: Any, context: Any) -> Completion:
        assert context is None or context.arguments == {"lines": "2"}
        known = ["sea", "sun", "snow"] if isinstance(ref, PromptReference) else ["2025", "2026"]
        return Completion(values=[each for each in known if each.startswith(argument.value)])

    @server.tool()
    async def speak(ctx: Context[Any, Any]) -> str:
        for level in ("debug", "warning"):
            with old_fashioned():
                await ctx.log(level, {"said": level}, logger_name="voice")  # type: ignore[arg-type]
        return "spoken"

    @server.tool()
    async def roots(ctx: Context[Any, Any]) -> list[str]:
        with old_fashioned():
            return [str(root.uri) for root in (await ctx.session.list_roots()).roots]

    return server


@pytest.fixture(params=MODES, scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[lab.Server]:
    with lab.connect(build(), name="library", mode=request.param) as server:
        yield server


@pytest.fixture(scope="module")
def legacy() -> Iterator[lab.Server]:
    with lab.connect(build(), name="old", mode="legacy") as server:
        yield server


class TestResources:
    def test_they_are_listed_with_the_templates(self, server: lab.Server) -> None:
        assert set(server.resources) == {"notes://today", "notes://picture", "notes://{year}/{month}{?words}"}
        assert list(server.resources.search("done TODAY")) == ["notes://today"]
        assert server.resources.df.set_index("uri").loc["notes://picture", "mime_type"] == "image/png"
        assert server.resources._ipython_key_completions_() == list(server.resources)
        assert "library  notes://today  [text/plain]" in repr(server.resources)
        assert "3 resources of library" in server.resources._repr_html_()

    def test_they_are_read_into_what_they_are(self, server: lab.Server) -> None:
        assert server.read("notes://today").text == "water the plants"
        picture = server.read("notes://picture")
        assert picture.data == b"\x89PNG"
        assert picture._repr_mimebundle_()["image/png"] == base64.b64encode(b"\x89PNG").decode()

    def test_a_template_takes_its_variables(self, server: lab.Server) -> None:
        read = server.read("notes://{year}/{month}{?words}", year=2026, month="jan feb")
        assert read.json == {"year": 2026, "month": "jan feb", "words": "all"}
        with pytest.raises(InvalidArguments, match=r"monht: not a variable of this template. Did you mean 'month'"):
            server.read("notes://{year}/{month}{?words}", year=2026, monht=1)
        with pytest.raises(InvalidArguments, match="month: missing"):
            server.read("notes://{year}/{month}{?words}", year=2026)

    def test_what_is_not_there(self, server: lab.Server) -> None:
        with pytest.raises(UnknownResource, match="Did you mean 'notes://today'"):
            server.resources["notes://tody"]
        with pytest.raises(PeerError):
            server.read("nothing://here")


class TestPrompts:
    def test_they_are_listed(self, server: lab.Server) -> None:
        assert server.prompts["poem"].signature == "poem(subject, lines = …)"
        assert server.prompts.df.required.tolist() == ["subject"]
        assert list(server.prompts.search("poem")) == ["poem"]

    def test_they_become_messages(self, server: lab.Server) -> None:
        made = server.prompt("poem", subject="<b>", lines=2)
        assert repr(made) == "user: Write 2 lines about <b>."
        assert made[0].role == "user"
        assert made.text == "Write 2 lines about <b>."
        assert "<b>user</b>" in made._repr_html_()
        assert "about &lt;b&gt;" in made._repr_html_()

    def test_mistakes_are_found_before_anything_is_sent(self, server: lab.Server) -> None:
        with pytest.raises(InvalidArguments, match="subject: missing"):
            server.prompt("poem")
        with pytest.raises(InvalidArguments, match=r"subjct: not an argument of this prompt. Did you mean 'subject'"):
            server.prompt("poem", subjct="x")
        with pytest.raises(UnknownPrompt, match="Did you mean 'poem'"):
            server.prompt("peom")


class TestCompletion:
    def test_of_a_prompt_and_a_template(self, server: lab.Server) -> None:
        assert server.complete("poem", "subject", "s") == ["sea", "sun", "snow"]
        assert server.complete("poem", "subject", "sn", lines=2) == ["snow"]
        assert server.complete("notes://{year}/{month}{?words}", "year", "2026") == ["2026"]
        with pytest.raises(UnknownPrompt):
            server.complete("novel", "subject")

    def test_where_it_is_not_offered(self) -> None:
        with (
            lab.connect(MCPServer("plain"), name="plain") as plain,
            pytest.raises(NotOffered, match="'plain' offers no completion"),
        ):
            plain.complete("poem", "subject")


class TestLog:
    def test_messages_arrive(self, server: lab.Server) -> None:
        if server.version == "2026-07-28":
            server.set_log_level("debug")
        else:
            with pytest.raises(NotOffered, match="takes no log level"):
                server.set_log_level("debug")
        server.call("speak")
        until(lambda: len(server.log) >= 2)
        last = server.log.tail(2)
        assert last.level.tolist() == ["debug", "warning"]
        assert last.logger.tolist() == ["voice", "voice"]
        assert last.data.tolist()[0] == {"said": "debug"}

    def test_a_level_that_is_none(self, server: lab.Server) -> None:
        with pytest.raises(InvalidArguments, match="Did you mean 'warning'"):
            server.set_log_level("warn")


class TestRoots:
    def test_a_server_that_asks_is_told(self, legacy: lab.Server, tmp_path: Path) -> None:
        assert legacy.call("roots").value == []
        legacy.roots = [tmp_path, "file:///data"]
        assert legacy.roots == [tmp_path.resolve().as_uri(), "file:///data"]
        assert legacy.call("roots").value == legacy.roots


def test_tools_are_a_frame_too(server: lab.Server) -> None:
    frame = server.tools.df
    assert list(frame.columns) == ["tool", "title", "description", "arguments", "required", "task", "app"]
    assert frame.tool.tolist() == ["speak", "roots"]


def test_listings_are_made_again_on_request() -> None:
    served = build()
    with lab.connect(served, name="changing") as server:
        assert "extra" not in server.prompts

        @served.prompt()
        def extra() -> str:
            return "more"

        server.refresh()
        assert "extra" in server.prompts


@pytest.mark.parametrize("mode", MODES)
def test_a_page_of_megabytes_comes_over_http_too(mode: str) -> None:
    page = "<!doctype html>" + "x" * 3_000_000
    with Bridged(page).serving() as url, lab.connect(url, name="long", mode=mode) as server:
        assert server.read("ui://bridged/page").text == page
