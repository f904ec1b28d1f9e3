"""Skills on the wire of both generations: what is listed, what is read, what is refused."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from mcp_types import ListResourcesResult, Resource

from pmcp_lab.errors import LabError
from pmcp_lab.protocol.skill_uri import SkillUri
from pmcp_lab.protocol.skills import content_bytes, decode_entry
from pmcp_lab.server import Skill, Skills, Tasks
from tests.unit.jsonrpc import Json, RpcError, legacy, serve
from tests.unit.modern_http import Modern, rpc
from tests.unit.skill_folders import BINARY, SERVED, TRAPS, skill_md, write

ID = "io.modelcontextprotocol/skills"
GENERATIONS = ["2025-11-25", "2026-07-28"]

Ask = Callable[..., Awaitable[Json]]


def on_server(skills: Skills, **more: Any) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("lab", extensions=[skills], middleware=[skills], log_level="CRITICAL", **more)

    @server.resource("lab://rules", name="rules")
    def rules() -> str:
        return "rules"

    return server


@asynccontextmanager
async def asking(server: MCPServer[Any], generation: str) -> AsyncIterator[Ask]:
    """A client of that generation, by what is on the wire."""
    if generation == "2025-11-25":
        async with legacy(server) as peer:

            async def ask(method: str, **params: Any) -> Json:
                return peer.initialized if method == "server/discover" else await peer.call(method, params)

            yield ask
        return
    async with serve(server) as url, httpx2.AsyncClient() as http:
        modern = Modern(http, url, capabilities={})

        async def ask(method: str, **params: Any) -> Json:
            named = params["uri"] if method == "resources/read" else None
            message = rpc(await modern.post(method, named, **params))
            if "error" in message:
                raise RpcError(message["error"]["code"], message["error"]["message"], message["error"].get("data"))
            result = dict(message["result"])
            assert result.pop("resultType") == "complete"
            assert "io.modelcontextprotocol/serverInfo" in result.pop("_meta")
            return result

        yield ask


@pytest.fixture(params=GENERATIONS)
def generation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "skills", TRAPS)


async def test_everything_is_served_as_it_was_hashed(folder: Path, generation: str) -> None:
    """Digests and sizes are those of the files on disk, and what is read is these bytes, whatever is in them."""
    async with asking(on_server(Skills(folder, prefix="acme")), generation) as ask:
        capabilities = (await ask("server/discover"))["capabilities"]
        assert capabilities["extensions"] == {ID: {"directoryRead": True}}
        assert "resources" in capabilities
        listed = await ask("skills/list")
        assert set(listed) == {"skills"} | ({"ttlMs", "cacheScope"} if generation == "2026-07-28" else set())
        entries = {entry.name: entry for entry in map(decode_entry, listed["skills"])}
        assert [entry["uri"] for entry in listed["skills"]] == [
            "skill://acme/billing/old/invoices/SKILL.md",
            "skill://acme/refunds/SKILL.md",
            "skill://acme/refunds/inner/partial/SKILL.md",
        ]
        assert entries["refunds"].frontmatter == {
            "name": "refunds",
            "description": "What it is for",
            "license": "MIT",
        }
        root = SkillUri.parse("skill://acme/refunds")
        assert entries["refunds"].files is not None
        seen = []
        for file in entries["refunds"].files:
            path = root.path_of(SkillUri.parse(file.uri))
            on_disk = (folder / "refunds" / path).read_bytes()
            assert (file.digest, file.size) == (f"sha256:{hashlib.sha256(on_disk).hexdigest()}", len(on_disk))
            result = await ask("resources/read", uri=file.uri)
            assert set(result) == {"contents"} | ({"ttlMs", "cacheScope"} if generation == "2026-07-28" else set())
            (content,) = result["contents"]
            assert content["uri"] == file.uri
            assert content_bytes(content) == on_disk
            assert file.mismatch(content_bytes(content)) is None
            seen.append(f"refunds/{path}")
        assert seen == [path for path in SERVED if path.startswith("refunds/")]
        got = await ask("skills/get", uri="skill://acme/refunds/inner/partial/SKILL.md")
        assert decode_entry(got["skill"]) == entries["partial"]
        assert [file.uri.rsplit("/", 1)[1] for file in entries["partial"].files or ()] == ["SKILL.md", "notes.md"]


async def test_text_is_text_and_the_rest_a_blob(folder: Path, generation: str) -> None:
    async with asking(on_server(Skills(folder)), generation) as ask:

        async def read(path: str) -> Json:
            return dict((await ask("resources/read", uri=f"skill://refunds/{path}"))["contents"][0])

        assert (await read("SKILL.md"))["mimeType"] == "text/markdown"
        assert (await read("examples/mail.md"))["text"] == "Dear all,\r\n\r\nthe end\r\n"
        assert (await read("examples/with%20mark.txt"))["text"].startswith("\ufeff")
        logo = await read("assets/logo.png")
        assert (logo["mimeType"], content_bytes(logo)) == ("image/png", BINARY)
        assert "blob" in await read("examples/deep/er/latin.txt")
        # Whoever quotes otherwise means the same file.
        assert "text" in await read("%65xamples/100%25%20%C3%A9%3F%23.md")


async def test_a_skill_file_is_a_resource(folder: Path, generation: str) -> None:
    async with asking(on_server(Skills(folder)), generation) as ask:
        listed = (await ask("resources/list"))["resources"]
        assert [each["name"] for each in listed] == ["rules", "invoices", "refunds", "partial"]
        assert listed[2] == {
            "uri": "skill://refunds/SKILL.md",
            "name": "refunds",
            "description": "What it is for",
            "mimeType": "text/markdown",
        }
        assert (await ask("resources/read", uri="lab://rules"))["contents"][0]["text"] == "rules"


async def test_directories_are_read_at_all_levels(folder: Path, generation: str) -> None:
    async with asking(on_server(Skills(folder, prefix="acme")), generation) as ask:
        waiting, files = ["skill://acme"], []
        while waiting:
            result = await ask("resources/directory/read", uri=waiting.pop())
            for child in result["resources"]:
                if child["mimeType"] == "inode/directory":
                    waiting.append(child["uri"])
                else:
                    files.append("/".join(SkillUri.parse(child["uri"]).segments[1:]))
        assert sorted(files) == SERVED
        top = (await ask("resources/directory/read", uri="skill://acme/refunds"))["resources"]
        assert [(child["name"], child.get("size")) for child in top] == [
            ("SKILL.md", len(TRAPS["refunds/SKILL.md"])),
            ("assets", None),
            ("empty.txt", 0),
            ("examples", None),
            ("inner", None),
        ]


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        ("skills/get", "skill://other/SKILL.md"),
        ("skills/get", "skill://refunds"),
        ("skills/get", "skill://refunds/examples/mail.md"),
        ("skills/get", "skill://refunds/../refunds/SKILL.md"),
        ("skills/get", "nonsense"),
        ("resources/read", "skill://refunds/missing.md"),
        ("resources/read", "skill://refunds/.env"),
        ("resources/read", "skill://refunds"),
        ("resources/read", "skill://refunds/examples"),
        ("resources/read", "skill://refunds/examples/../SKILL.md"),
        ("resources/read", "skill://refunds/%2e%2e/README.md"),
        ("resources/read", "skill://refunds/SKILL.md?x=1"),
        ("resources/read", "skill://other/SKILL.md"),
        ("resources/directory/read", "skill://refunds/SKILL.md"),
        ("resources/directory/read", "skill://refunds/missing"),
        ("resources/directory/read", "skill://refunds/"),
        ("resources/directory/read", "lab://rules"),
    ],
)
async def test_what_there_is_not(method: str, uri: str, folder: Path, generation: str) -> None:
    async with asking(on_server(Skills(folder)), generation) as ask:
        with pytest.raises(RpcError) as caught:
            await ask(method, uri=uri)
        assert caught.value.code == -32602
        assert uri in str(caught.value) or uri in str(caught.value.data)


async def test_a_uri_without_end_is_not_said_again(folder: Path, generation: str) -> None:
    async with asking(on_server(Skills(folder)), generation) as ask:
        with pytest.raises(RpcError) as caught:
            await ask("skills/get", uri="skill://" + "a" * 100_000)
        assert caught.value.code == -32602
        assert len(str(caught.value) + str(caught.value.data)) < 2000


async def test_readers_while_files_change(tmp_path: Path, generation: str) -> None:
    """An entry may be out of date when its files are read; one of the next is not, and is what lies there."""
    folder = write(tmp_path / "skills", {"a/SKILL.md": skill_md("a"), **{f"a/{n}": "0" for n in range(3)}})
    async with asking(on_server(Skills(folder)), generation) as ask, asyncio.timeout(30):

        async def verified() -> dict[str, str] | None:
            """The texts by an entry; None when one was not the entry's any more."""
            entry = decode_entry((await ask("skills/get", uri="skill://a/SKILL.md"))["skill"])
            await change()
            texts = {}
            for file in entry.files or ():
                content = (await ask("resources/read", uri=file.uri))["contents"][0]
                if file.mismatch(content_bytes(content)):
                    return None
                texts[file.uri.rsplit("/", 1)[1]] = content["text"]
            return texts

        changes = 0

        async def change() -> None:
            nonlocal changes
            changes += stale < 3
            for n in range(3):
                (folder / f"a/{n}").write_text(str(changes) * n)

        stale = 0
        while True:
            texts = await verified()
            stale += texts is None
            if texts is not None and stale >= 3 and texts["2"] == str(changes) * 2:
                assert texts["1"] == str(changes)
                break


async def test_pages(generation: str) -> None:
    skills = Skills(*(Skill({"SKILL.md": skill_md(f"s{n:02}"), "a": "a"}) for n in range(25)), page_size=10)
    async with asking(on_server(skills), generation) as ask:
        seen, cursors, cursor = [], [], {}
        while cursor is not None:
            page = await ask("skills/list", **cursor)
            seen += [entry["frontmatter"]["name"] for entry in page["skills"]]
            cursor = {"cursor": page["nextCursor"]} if "nextCursor" in page else None
            cursors.append(cursor)
            if len(cursors) == 1:
                # What comes meanwhile moves nothing: none is missed, none comes twice.
                skills.add(Skill({"SKILL.md": skill_md("s00a")}))
        assert seen == [f"s{n:02}" for n in range(25)]
        assert len(cursors) == 3
        for wrong in ("nonsense!", "", "=", "/w=="):
            with pytest.raises(RpcError) as caught:
                await ask("skills/list", cursor=wrong)
            assert caught.value.code == -32602
        with pytest.raises(RpcError) as caught:
            await ask("skills/list", cursor=1)
        assert caught.value.code == -32602


async def test_pages_of_a_directory(generation: str) -> None:
    files: dict[str, str | bytes] = {f"n{n:02}.md": "a" for n in range(35)}
    skills = Skills(Skill({"SKILL.md": skill_md("many"), **files}), page_size=2)
    async with asking(on_server(skills), generation) as ask:
        first = await ask("resources/directory/read", uri="skill://many")
        assert len(first["resources"]) == 20
        second = await ask("resources/directory/read", uri="skill://many", cursor=first["nextCursor"])
        assert [child["name"] for child in second["resources"]] == [f"n{n:02}.md" for n in range(19, 35)]
        assert "nextCursor" not in second


async def test_for_how_long_it_may_be_kept(generation: str) -> None:
    skills = Skills(Skill({"SKILL.md": skill_md("a"), "b/c": ""}), ttl="5m", cache_scope="public")
    async with asking(on_server(skills), generation) as ask:
        hints = {"ttlMs": 300_000, "cacheScope": "public"} if generation == "2026-07-28" else {}
        for method, params in (
            ("skills/list", {}),
            ("skills/get", {"uri": "skill://a/SKILL.md"}),
            ("resources/directory/read", {"uri": "skill://a"}),
            ("resources/read", {"uri": "skill://a/SKILL.md"}),
        ):
            result = await ask(method, **params)
            assert {key: result[key] for key in ("ttlMs", "cacheScope") if key in result} == hints


async def test_no_skills_are_an_empty_list(generation: str) -> None:
    async with asking(on_server(Skills()), generation) as ask:
        assert (await ask("skills/list"))["skills"] == []
        assert len((await ask("resources/list"))["resources"]) == 1


async def test_beside_tasks(folder: Path, generation: str) -> None:
    tasks, skills = Tasks(), Skills(folder)

    @tasks.tool()
    async def add(a: int, b: int) -> int:
        return a + b

    server: MCPServer[Any] = MCPServer(
        "lab", extensions=[tasks, skills], middleware=[tasks, skills], log_level="CRITICAL"
    )
    async with asking(server, generation) as ask:
        capabilities = (await ask("server/discover"))["capabilities"]
        assert ID in capabilities["extensions"]
        assert len((await ask("skills/list"))["skills"]) == 3


async def test_older_clients_see_resources_alone(folder: Path) -> None:
    async with legacy(on_server(Skills(folder)), version="2025-06-18") as peer:
        assert "extensions" not in peer.initialized["capabilities"]
        with pytest.raises(RpcError) as caught:
            await peer.call("skills/list")
        assert caught.value.code == -32601
        result = await peer.call("resources/read", {"uri": "skill://refunds/SKILL.md"})
        assert result["contents"][0]["text"].startswith("---\nname: refunds")


async def test_the_sdks_own_client_keeps_what_is_declared(folder: Path) -> None:
    for mode in ("legacy", "auto"):
        async with Client(on_server(Skills(folder)), mode=mode) as client:
            assert client.server_capabilities.extensions == {ID: {"directoryRead": True}}
            result = await client.read_resource("skill://refunds/assets/logo.png")
            assert content_bytes(result.contents[0].model_dump(by_alias=True)) == BINARY


async def test_without_the_middleware(folder: Path, generation: str) -> None:
    """Half of it would be a server whose skills can't be read: it says so to its author."""
    server: MCPServer[Any] = MCPServer("lab", extensions=[Skills(folder)], log_level="CRITICAL")
    async with asking(server, generation) as ask:
        with pytest.raises(RpcError, match=r"middleware=\[skills\]"):
            await ask("skills/list")


async def test_without_the_extension(folder: Path, generation: str) -> None:
    server: MCPServer[Any] = MCPServer("lab", middleware=[Skills(folder)], log_level="CRITICAL")
    async with asking(server, generation) as ask:
        assert "extensions" not in (await ask("server/discover"))["capabilities"]
        assert (await ask("resources/list"))["resources"] == []


async def test_the_way_to_a_files_bytes_is_no_method(folder: Path, generation: str) -> None:
    async with asking(on_server(Skills(folder)), generation) as ask:
        with pytest.raises(RpcError) as caught:
            await ask("pmcp_lab/skills/read", uri="skill://refunds/SKILL.md")
        assert caught.value.code == -32601


@pytest.mark.parametrize("resources", [True, False])
async def test_on_a_lowlevel_server(folder: Path, generation: str, resources: bool) -> None:
    async def list_resources(_ctx: Any, params: Any) -> ListResourcesResult:
        page = Resource(uri=f"lab://{params.cursor}", name="r")
        return ListResourcesResult(resources=[page], next_cursor=None if params.cursor else "two")

    server: Server[Any] = Server("low", on_list_resources=list_resources if resources else None)
    skills = Skills(folder)
    assert skills.attach(server) is server
    skills_again = Skills(folder)
    with pytest.raises(LabError, match="already answers skills/list"):
        skills_again.attach(server)
    with pytest.raises(LabError, match=r"built without these skills: MCPServer"):
        Skills(folder).attach(MCPServer("plain"))
    async with legacy(server, version="2025-06-18") as peer:
        with pytest.raises(RpcError, match="Method not found"):
            await peer.call("skills/list")
    mode = "legacy" if generation == "2025-11-25" else "auto"
    async with Client(server, mode=mode) as client:
        assert client.server_capabilities.extensions == {ID: {"directoryRead": True}}
        first = await client.list_resources()
        if resources:
            assert [str(each.uri) for each in first.resources] == ["lab://None"]
            first = await client.list_resources(cursor="two")
            assert str(first.resources.pop(0).uri) == "lab://two"
        assert [each.name for each in first.resources] == ["invoices", "refunds", "partial"]
        await client.read_resource("skill://refunds/SKILL.md")


def test_arguments() -> None:
    for wrong, said in (
        ({"prefix": "../up"}, "prefix"),
        ({"prefix": "a//b"}, "prefix"),
        ({"cache_scope": "everybody"}, "cache_scope"),
        ({"page_size": 0}, "page_size"),
        ({"ttl": "soon"}, "ttl"),
        ({"ttl": -1}, "ttl"),
    ):
        with pytest.raises(ValueError, match=said):
            Skills(**wrong)
    with pytest.raises(TypeError, match="not from a int"):
        Skills(1)  # type: ignore[arg-type]
