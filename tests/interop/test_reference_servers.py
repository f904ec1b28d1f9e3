"""The kernel side against servers that people have in their `.mcp.json`: files, memory, thinking, time, git, pages."""

from __future__ import annotations

import http.server
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pmcp_lab as lab
from pmcp_lab.errors import InvalidArguments, LabError, NotOffered, ToolError
from tests import peers
from tests.conftest import installed, python_of
from tests.interop.table import peer

LEGACY, MODERN = "2025-11-25", "2026-07-28"
# Both generations, as these servers stand on the Python SDK 2.
BOTH = [(LEGACY, "legacy"), (MODERN, "auto")]

Open = Callable[..., lab.Server]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Connects, and sees to it that nothing was written to stderr by us, and that the server's process ended."""
    servers: list[lab.Server] = []

    def connect(command: list[str], generation: str = LEGACY, **options: object) -> lab.Server:
        servers.append(lab.connect(command, name="reference", **options))  # type: ignore[arg-type]
        assert servers[-1].version == generation
        return servers[-1]

    before = children()
    yield connect
    for server in servers:
        server.close()
    assert children() <= before


def children() -> set[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def in_both(name: str) -> pytest.MarkDecorator:
    """Parametrizes `generation` and `mode`, each in its row of the table."""
    values = [
        pytest.param(generation, mode, id=generation, marks=peer(name, "server", generation, "stdio"))
        for generation, mode in BOTH
    ]
    return pytest.mark.parametrize(("generation", "mode"), values)


WITHOUT_NODE = {"PATH": str(Path(__file__).parent)}
"""Where there is a Node, mcp-server-fetch runs `npm install` when a page is first fetched."""


def python(module: str, *arguments: str) -> list[str]:
    return [python_of(peers.REFERENCE), "-m", module, *arguments]


def until(condition: Callable[[], object], timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


@peer("server-filesystem", "server", LEGACY, "stdio")
class TestFilesystem:
    @pytest.fixture
    def here(self, tmp_path: Path) -> Path:
        folder = tmp_path / "here"
        folder.mkdir()
        (folder / "tides.txt").write_text("high\nlow\n")
        return folder

    @pytest.fixture
    def server(self, opened: Open, here: Path) -> lab.Server:
        return opened([*installed(peers.FILESYSTEM).stdio, str(here)])

    def test_what_it_has(self, server: lab.Server) -> None:
        tools = server.tools.df.set_index("tool")
        assert {"read_text_file", "write_file", "directory_tree", "search_files"} <= set(tools.index)
        assert tools.required["write_file"] == "path, content"
        assert list(server.resources) == []
        assert list(server.prompts) == []

    def test_files(self, server: lab.Server, here: Path) -> None:
        assert server.call("read_text_file", path=str(here / "tides.txt"), head=1).text == "high"
        server.call("write_file", path=str(here / "new.txt"), content="café")
        assert (here / "new.txt").read_text() == "café"
        assert server.call("list_directory", path=str(here)).df.content[0] == "[FILE] new.txt\n[FILE] tides.txt"
        edits = [{"oldText": "low", "newText": "ebb"}]
        assert "-low\n+ebb" in server.call("edit_file", path=str(here / "tides.txt"), edits=edits).text

    def test_a_picture(self, server: lab.Server, here: Path) -> None:
        (here / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        picture = server.call("read_media_file", path=str(here / "dot.png")).image
        assert picture.mime_type == "image/png"
        assert picture.data == b"\x89PNG\r\n\x1a\n"

    def test_what_is_elsewhere_is_refused(self, server: lab.Server, tmp_path: Path) -> None:
        with pytest.raises(ToolError, match="Access denied - path outside allowed directories"):
            server.call("read_text_file", path=str(tmp_path / "secret.txt"))
        with pytest.raises(InvalidArguments, match="'path' is a required property"):
            server.call("read_text_file")

    def test_roots_take_the_place_of_its_folders(self, server: lab.Server, tmp_path: Path, here: Path) -> None:
        there = tmp_path / "there"
        there.mkdir()
        (there / "moons.txt").write_text("full")
        server.roots = [there]
        until(lambda: str(there) in server.call("list_allowed_directories").text)
        assert server.call("read_text_file", path=str(there / "moons.txt")).text == "full"
        with pytest.raises(ToolError, match="Access denied"):
            server.call("read_text_file", path=str(here / "tides.txt"))

    def test_it_has_no_tasks(self, server: lab.Server, here: Path) -> None:
        run = server.task("directory_tree", path=str(here))
        assert run.local
        assert "tides.txt" in run.result(timeout=20).text
        many = server.map("get_file_info", [{"path": str(here / "tides.txt")}] * 10)
        assert many.df.empty is False
        assert all("isFile: true" in result.text for result in many.results(timeout=30))


@peer("server-memory", "server", LEGACY, "stdio")
class TestMemory:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "memory.jsonl"

    @pytest.fixture
    def server(self, opened: Open, file: Path) -> lab.Server:
        return opened(installed(peers.MEMORY).stdio, env={"MEMORY_FILE_PATH": str(file)})

    def test_what_it_is_told_it_keeps(self, server: lab.Server, file: Path, opened: Open) -> None:
        ada = {"name": "Ada", "entityType": "person", "observations": ["likes tea"]}
        server.call("create_entities", entities=[ada])
        assert '"name":"Ada"' in file.read_text()
        server.close()
        again = opened(installed(peers.MEMORY).stdio, env={"MEMORY_FILE_PATH": str(file)})
        assert again.call("search_nodes", query="tea").json["entities"] == [ada]
        assert again.read("memory://knowledge-graph").json["entities"] == [ada]

    def test_an_error_of_a_tool(self, server: lab.Server) -> None:
        with pytest.raises(ToolError, match="Entity with name Bob not found"):
            server.call("add_observations", observations=[{"entityName": "Bob", "contents": ["x"]}])

    def test_what_is_no_table_says_so(self, server: lab.Server) -> None:
        ada = {"name": "Ada", "entityType": "person", "observations": []}
        server.call("create_entities", entities=[ada])
        with pytest.raises(LabError, match=r"read_graph returned no table .*; see \.value"):
            _ = server.call("read_graph").df
        assert server.call("read_graph").value["relations"] == []


@peer("server-sequential-thinking", "server", LEGACY, "stdio")
class TestSequentialThinking:
    @pytest.fixture
    def server(self, opened: Open) -> lab.Server:
        return opened(installed(peers.SEQUENTIAL_THINKING).stdio)

    def test_thoughts(self, server: lab.Server) -> None:
        tool = server.tools["sequentialthinking"]
        first = {"thought": "Tides follow the moon.", "nextThoughtNeeded": True, "thoughtNumber": 1, "totalThoughts": 2}
        assert server.call(tool.name, first).json["thoughtHistoryLength"] == 1
        assert server.call(tool.name, {**first, "thoughtNumber": 2}).structured["thoughtHistoryLength"] == 2
        # What it draws on stderr stays there.
        until(lambda: "Tides follow the moon." in server.stderr)

    def test_what_is_missing_is_named(self, server: lab.Server) -> None:
        with pytest.raises(InvalidArguments, match="'totalThoughts' is a required property"):
            server.call("sequentialthinking", thought="x")
        with pytest.raises(LabError):
            server.call("sequentialthinking", {"thought": "x"}, check=False)


@in_both("mcp-server-time")
class TestTime:
    @pytest.fixture
    def server(self, opened: Open, generation: str, mode: str) -> lab.Server:
        return opened(python("mcp_server_time", "--local-timezone", "Europe/Oslo"), generation, mode=mode)

    def test_times(self, server: lab.Server) -> None:
        assert list(server.tools) == ["get_current_time", "convert_time"]
        assert server.call("get_current_time", timezone="Asia/Tokyo").json["datetime"].endswith("+09:00")
        there = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        assert server.call("convert_time", there).json["time_difference"] == "+9.0h"
        run = server.task("get_current_time", timezone="UTC")
        assert run.local
        assert run.result(timeout=20).df.is_dst.tolist() == [False]

    def test_an_error_of_a_tool(self, server: lab.Server) -> None:
        with pytest.raises(ToolError, match="Mars/Olympus"):
            server.call("get_current_time", timezone="Mars/Olympus")

    def test_what_it_has_not(self, server: lab.Server) -> None:
        assert list(server.prompts) == []
        assert list(server.resources) == []
        with pytest.raises(NotOffered):
            server.complete("any", "argument")


@in_both("mcp-server-git")
class TestGit:
    @pytest.fixture
    def repository(self, tmp_path: Path) -> Path:
        folder = tmp_path / "repository"
        folder.mkdir()
        for command in (
            ["init", "-b", "main"],
            ["config", "user.name", "Ada"],
            ["config", "user.email", "ada@a.example"],
        ):
            subprocess.run(["git", "-C", str(folder), *command], check=True, capture_output=True)
        return folder

    @pytest.fixture
    def server(self, opened: Open, generation: str, mode: str, repository: Path) -> lab.Server:
        return opened(python("mcp_server_git", "--repository", str(repository)), generation, mode=mode)

    def test_a_commit(self, server: lab.Server, repository: Path) -> None:
        (repository / "tides.txt").write_text("high\n")
        at = {"repo_path": str(repository)}
        assert "tides.txt" in server.call("git_status", at).text
        server.call("git_add", at, files=["tides.txt"])
        assert "+high" in server.call("git_diff_staged", at).text
        server.call("git_commit", at, message="Tell of tides")
        assert "Tell of tides" in server.task("git_log", at, max_count=1).result(timeout=20).text
        said = subprocess.run(["git", "-C", str(repository), "log", "--format=%an %s"], capture_output=True, text=True)
        assert said.stdout == "Ada Tell of tides\n"

    def test_what_it_refuses(self, server: lab.Server, repository: Path, tmp_path: Path) -> None:
        with pytest.raises(ToolError, match="is outside the allowed repository"):
            server.call("git_status", repo_path=str(tmp_path))
        with pytest.raises(ToolError, match="nowhere"):
            server.call("git_show", repo_path=str(repository), revision="nowhere")


class Site(http.server.BaseHTTPRequestHandler):
    """A page, and robots that are told which ones they may not have."""

    def do_GET(self) -> None:
        status, kind, text = {
            "/robots.txt": (200, "text/plain", "User-agent: ModelContextProtocol\nDisallow: /private\n"),
            "/tides": (200, "text/html", f"<article><h1>Tides</h1><p>{'The sea rises and falls. ' * 20}</p></article>"),
            "/private": (200, "text/html", "<p>Only for people.</p>"),
        }.get(self.path, (404, "text/plain", "no such page"))
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@in_both("mcp-server-fetch")
class TestFetch:
    @pytest.fixture
    def server(self, opened: Open, generation: str, mode: str) -> lab.Server:
        return opened(python("mcp_server_fetch", "--allow-private-ips"), generation, mode=mode, env=WITHOUT_NODE)

    def test_a_page(self, server: lab.Server, site: str) -> None:
        text = server.call("fetch", url=f"{site}/tides").text
        assert "The sea rises and falls." in text
        assert "<p>" not in text
        assert "<h1>Tides</h1>" in server.call("fetch", url=f"{site}/tides", raw=True).text
        assert "The sea rises" in server.prompt("fetch", url=f"{site}/tides").text

    def test_one_that_robots_may_not_have(self, server: lab.Server, site: str) -> None:
        with pytest.raises(ToolError, match=r"robots\.txt .* autonomous fetching of this page is not allowed"):
            server.call("fetch", url=f"{site}/private")
        assert "Only for people." in server.prompt("fetch", url=f"{site}/private").text

    def test_one_that_is_not_there(self, server: lab.Server, site: str) -> None:
        run = server.task("fetch", url=f"{site}/nowhere")
        error = run.exception(timeout=20)
        assert isinstance(error, ToolError)
        assert "404" in error.message

    def test_one_that_is_none_of_its_business(self, opened: Open, generation: str, mode: str, site: str) -> None:
        server = opened(python("mcp_server_fetch"), generation, mode=mode, env=WITHOUT_NODE)
        with pytest.raises(ToolError, match="not a public address"):
            server.call("fetch", url=f"{site}/tides")
