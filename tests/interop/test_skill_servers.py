"""Our client against other people's servers of skills."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import pmcp_lab as lab
from pmcp_lab.errors import UnknownSkill
from tests import peers
from tests.conftest import python_of
from tests.interop.table import peer
from tests.interop.test_skill_clients import READ
from tests.servers import started
from tests.unit.skill_folders import TRAPS, skill_md, write

REFUNDS = {path: content for path, content in TRAPS.items() if path.startswith("refunds/") and "/." not in path}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, {**REFUNDS, "typed/SKILL.md": skill_md("typed", "count: 12", "agree: true")})


@pytest.fixture
def fastmcp(folder: Path) -> Iterator[lab.Server]:
    command = [python_of(peers.FASTMCP_SKILLS), str(peers.SERVERS / "fastmcp_skills_server.py"), str(folder)]
    with lab.connect(command, name="fastmcp") as server:
        yield server


@peer("fastmcp, skills", "server", "2026-07-28", "stdio")
def test_every_file_of_fastmcps_is_verified(fastmcp: lab.Server, folder: Path) -> None:
    assert fastmcp.version == "2026-07-28"
    skills = fastmcp.skills
    assert [skill.name for skill in skills.values()] == ["refunds", "typed"]
    assert skills.aside == ()
    for skill in skills.values():
        for path in skill.files:
            assert skill.read(path).bytes == (folder / skill.name / path).read_bytes()
        assert skill.verified is True
    assert len(skills["refunds"].files) >= 7
    assert fastmcp.skill("skill://typed/SKILL.md").frontmatter == skills["typed"].frontmatter
    with pytest.raises(UnknownSkill):
        fastmcp.skill("skill://nothing/SKILL.md")


@peer("fastmcp, skills", "server", "2026-07-28", "stdio")
def test_one_of_fastmcps_that_changed_is_taken_as_it_is(fastmcp: lab.Server, folder: Path) -> None:
    skill = fastmcp.skills["refunds"]
    (folder / "refunds/examples/mail.md").write_text("quite another one")
    assert skill.read("examples/mail.md").text == "quite another one"
    assert skill.changes.changed == ("examples/mail.md",)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("transport", ["http", "stdio"])
def test_every_file_of_ours_is_verified(transport: str, mode: str) -> None:
    """The server that other people's clients are tried with, in `test_skill_clients`."""
    with ExitStack() as stack:
        command = [sys.executable, "-m", "tests.servers.conformance", "--stdio"]
        target = stack.enter_context(started("tests.servers.conformance")) if transport == "http" else command
        server = stack.enter_context(lab.connect(target, name="ours", mode=mode))
        read = {skill.uri: [skill.read(path).path for path in skill.files] for skill in server.skills.values()}
        assert {uri: [len(paths)] * 2 for uri, paths in read.items()} == READ
        assert server.skills.df.verified.all()
