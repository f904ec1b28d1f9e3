"""The demo server's skills: what they tell of its tools and its data is so."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from mcp import Client

from pmcp_lab.demo import build
from pmcp_lab.demo.skills import NAMES, demo_skills
from pmcp_lab.demo.workflows import REPORT
from pmcp_lab.protocol.skills import content_bytes, decode_entry
from tests.unit.jsonrpc import legacy

ENTRIES = {entry.name: entry for entry in demo_skills(REPORT).entries()}


async def files_of(client: Client, name: str) -> dict[str, str]:
    """The text of each file of a skill, by its path."""
    entry, texts = ENTRIES[name], {}
    for file in entry.files or ():
        result = await client.read_resource(file.uri)
        data = content_bytes(result.contents[0].model_dump(by_alias=True))
        assert file.mismatch(data) is None
        texts[file.uri.removeprefix(f"{entry.root}/")] = data.decode()
    return texts


async def test_they_are_offered() -> None:
    async with legacy(build()) as peer:
        listed = [decode_entry(raw) for raw in (await peer.call("skills/list"))["skills"]]
        assert [entry.uri for entry in listed] == [
            "skill://demo/asking-the-data/SKILL.md",
            "skill://demo/sales-report/SKILL.md",
            "skill://demo/training-runs/SKILL.md",
        ]
        assert {entry.name: entry for entry in listed} == ENTRIES


@pytest.mark.parametrize("name", NAMES)
async def test_links_lead_somewhere_and_tools_are_there(name: str) -> None:
    async with Client(build()) as client:
        files = await files_of(client, name)
        tools = {tool.name for tool in (await client.list_tools()).tools}
        head = files["SKILL.md"].split("---")[1]
        needed = re.search(r"tools? ([a-z and]+) of the same server", head)
        assert needed is not None
        assert tools.issuperset(needed[1].split(" and "))
        for link in re.findall(r"\]\(([^)]+)\)", files["SKILL.md"]):
            assert any(path == link or path.startswith(link) for path in files)


async def test_queries_can_be_asked() -> None:
    async with Client(build()) as client:
        files = await files_of(client, "asking-the-data")
        queries = [text for path, text in files.items() if path.endswith(".sql")]
        assert len(queries) == 2
        for query in queries:
            result = await client.call_tool("dataviz", {"sql": query})
            assert not result.is_error
            assert result.structured_content is not None
            assert result.structured_content["rows"]
        rows = re.findall(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", files["references/tables.md"], re.MULTILINE)
        described = {table: re.findall(r"`(\w+)`", columns) for table, columns in rows}
        for table, columns in described.items():
            result = await client.call_tool("dataviz", {"sql": f"SELECT * FROM {table} LIMIT 1"})
            assert result.structured_content is not None
            assert result.structured_content["columns"] == columns
        assert described.keys() == {"station", "day", "trip"}


async def test_losses_are_as_told() -> None:
    async with Client(build()) as client:

        async def losses(**arguments: Any) -> list[float]:
            result = await client.call_tool("train", {"seconds": 0, **arguments})
            assert result.structured_content is not None
            return list(result.structured_content["history"])

        files = await files_of(client, "training-runs")
        for told in json.loads(files["examples/histories.json"]):
            history = told.pop("history")
            assert await losses(**told) == history
        for epochs in (5, 10, 20):
            assert (await losses(lr=0.05, epochs=epochs))[-1] > 0.2
            for lr in (0.1, 0.2, 0.5):
                steady = await losses(lr=lr, epochs=epochs)
                assert 0.09 <= steady[-1] <= 0.13
        noisy = await losses(lr=2, epochs=20)
        assert any(after > before for before, after in itertools.pairwise(noisy))
