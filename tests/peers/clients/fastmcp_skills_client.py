"""fastmcp's client of skills: lists them, reads and verifies every file. In an environment of its own; prints JSON."""

import asyncio
import json
import os
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp.skills.client import SkillsClientExtension
from mcp.shared.exceptions import MCPError


def target(where):
    if where.startswith("http"):
        return where
    command, *args = json.loads(where)
    return StdioTransport(command=command, args=args, env=dict(os.environ))


async def main():
    async with Client(target(sys.argv[1]), extensions=[SkillsClientExtension()]) as client:
        first = await client.list_skills_mcp()
        entries = await client.list_skills()
        report = {
            "version": client.protocol_version,
            "hints": [first.ttl_ms, first.cache_scope],
            "read": {},
            "same": True,
        }
        for entry in entries:
            report["same"] &= await client.get_skill(entry.uri) == entry
            skill = await client.read_skill(entry.uri)
            report["read"][entry.uri] = [len(skill.files), len(entry.resources)]
        report["resources"] = [str(resource.uri) for resource in await client.list_skill_resources()]
        try:
            await client.get_skill("skill://acme/other/SKILL.md")
        except MCPError as error:
            report["unknown"] = error.error.code
        print(json.dumps(report))


asyncio.run(main())
