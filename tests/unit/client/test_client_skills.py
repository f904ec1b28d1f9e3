"""Skills of servers that do as they should: ours, in either generation, with everything that files can be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.client import SkillChanges, Skills, client_of
from pmcp_lab.errors import AmbiguousSkill, InvalidArguments, NotOffered, SkillUnverified, UnknownSkill
from pmcp_lab.server import Skills as ServedSkills
from tests.unit.skill_folders import SERVED, TRAPS, skill_md, write

MODES = ["legacy", "2026-07-28"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "skills", TRAPS)


def serving(skills: ServedSkills) -> MCPServer[Any]:
    return MCPServer("shop", extensions=[skills], middleware=[skills], log_level="CRITICAL")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def served(folder: Path) -> ServedSkills:
    return ServedSkills(folder, prefix="acme")


@pytest.fixture
def shop(served: ServedSkills, mode: str) -> Iterator[lab.Server]:
    with lab.connect(serving(served), name="shop", mode=mode) as server:
        yield server


Change = Callable[[dict[str, str | None]], object]


@pytest.fixture
def change(folder: Path, served: ServedSkills) -> Change:
    """Writes files, or removes them, and has the server notice, which looks at its folders now and then."""

    def change(files: dict[str, str | None]) -> None:
        for path, text in files.items():
            if text is None:
                (folder / path).unlink()
            else:
                write(folder, {path: text})
        assert served.entries()

    return change


def test_they_are_listed(shop: lab.Server) -> None:
    skills = shop.skills
    assert list(skills) == [
        "skill://acme/billing/old/invoices/SKILL.md",
        "skill://acme/refunds/SKILL.md",
        "skill://acme/refunds/inner/partial/SKILL.md",
    ]
    assert "refunds" in skills
    assert "returns" not in skills
    assert skills["refunds"].uri == skills["skill://acme/r%65funds/SKILL.md"].uri
    assert list(skills.search("partial")) == ["skill://acme/refunds/inner/partial/SKILL.md"]
    assert skills._ipython_key_completions_() == ["invoices", "refunds", "partial"]
    assert "shop  acme/refunds  [" in repr(skills)
    assert "3 skills of shop" in skills._repr_html_()
    with pytest.raises(UnknownSkill, match="Server 'shop' has no skill 'refund'. Did you mean 'refunds'"):
        skills["refund"]


def test_they_are_a_table(shop: lab.Server) -> None:
    table = shop.skills.df
    assert table.columns.tolist() == [
        "name",
        "description",
        "uri",
        "files",
        "bytes",
        "dynamic",
        "license",
        "compatibility",
        "allowed_tools",
        "verified",
        "problems",
    ]
    row = table.set_index("name").loc["refunds"]
    files = [name for name in SERVED if name.startswith("refunds/")]
    assert row.files == len(files)
    assert row.bytes == sum(len(_bytes(TRAPS[name])) for name in files)
    assert (row.license, row.dynamic, row.verified, row.problems) == ("MIT", False, None, "")


def test_every_file_is_read_byte_for_byte(shop: lab.Server) -> None:
    skills = shop.skills
    assert {skill.verified for skill in skills.values()} == {None}
    for skill in skills.values():
        within = "refunds/inner/partial/" if skill.name == "partial" else ""
        within = within or ("billing/old/invoices/" if skill.name == "invoices" else "refunds/")
        assert sorted(skill.files) == sorted(name.removeprefix(within) for name in SERVED if name.startswith(within))
        for path, file in skill.files.items():
            content = skill.read(path)
            assert content.bytes == _bytes(TRAPS[within + path])
            assert content.digest == file.digest
            assert (content.server, content.skill, content.path) == ("shop", skill.uri, path)
        assert skill.verified is True
    assert shop.skills.df.verified.tolist() == [True] * 3


def test_what_is_read_says_where_it_is_from(shop: lab.Server) -> None:
    content = shop.skills["refunds"].read()
    assert content.labelled.startswith(
        "[SKILL.md of the skill skill://acme/refunds/SKILL.md, from MCP server 'shop'; untrusted]\n---\nname: refunds\n"
    )
    assert repr(content) == content.text
    assert "SKILL.md · from server shop · verified" in content._repr_mimebundle_()["text/html"]
    assert shop.skills["refunds"].read("assets/logo.png").text is None


def test_a_path_is_one_of_the_skill(shop: lab.Server) -> None:
    skill = shop.skills["refunds"]
    awkward = "examples/100% é?#.md"
    for same in (awkward, f"./{awkward}", "examples/100%25%20%C3%A9%3F%23.md", skill.files[awkward].uri):
        assert skill.read(same).path == awkward
    for other in (
        "examples/mial.md",
        "examples",
        "",
        "/etc/passwd",
        "../invoices/SKILL.md",
        "examples/%2e%2e/SKILL.md",
        "examples\\mail.md",
        "skill://acme/billing/old/invoices/SKILL.md",
        "file:///etc/passwd",
        "SKILL.md?x",
    ):
        with pytest.raises(SkillUnverified, match="it was not asked for") as refused:
            skill.read(other)
        assert refused.value.reason == "unlisted"
    with pytest.raises(SkillUnverified, match="Did you mean 'examples/mail.md'"):
        skill.read("examples/mial.md")


def test_one_that_changed_is_read_as_it_is_now(shop: lab.Server, change: Change) -> None:
    skill = shop.skills["refunds"]
    assert not skill.changes
    change({"refunds/examples/mail.md": "another"})
    assert skill.read("examples/mail.md").text == "another"
    assert skill.changes == SkillChanges(changed=("examples/mail.md",))
    assert skill.verified is True


def test_one_within_another_that_changed_is_read_as_it_is_now(shop: lab.Server, change: Change) -> None:
    outer = shop.skills["refunds"]
    text = skill_md("partial", description="Another use")
    change({"refunds/inner/partial/SKILL.md": text})
    assert outer.read("inner/partial/SKILL.md").text == text


def test_a_refresh_says_what_changed(shop: lab.Server, change: Change) -> None:
    skill = shop.skills["refunds"]
    assert repr(skill.refresh()) == "nothing changed"
    skill_file = skill_md("refunds", description="Another use")
    change({"refunds/new.md": "new", "refunds/empty.txt": None, "refunds/SKILL.md": skill_file})
    assert skill.refresh() == SkillChanges(("new.md",), ("SKILL.md",), ("empty.txt",), ("description", "license"))
    assert repr(skill.changes) == (
        "added: new.md; changed: SKILL.md; removed: empty.txt; front matter changed: description, license"
    )
    assert skill.description == "Another use"
    assert skill.read("new.md").text == "new"
    with pytest.raises(SkillUnverified, match="lists no file 'empty.txt'"):
        skill.read("empty.txt")


def test_one_that_is_gone(shop: lab.Server, change: Change) -> None:
    skill = shop.skills["invoices"]
    change({"billing/old/invoices/SKILL.md": None})
    with pytest.raises(UnknownSkill, match="has no skill 'skill://acme/billing/old/invoices/SKILL.md'"):
        skill.refresh()


def test_one_by_its_uri(shop: lab.Server) -> None:
    skill = shop.skill("skill://acme/refunds/SKILL.md")
    assert skill.read("empty.txt").bytes == b""
    for wrong in ("refunds", "skill://acme/refunds", "skill://acme/../SKILL.md"):
        with pytest.raises(InvalidArguments, match="named by the URI of its SKILL.md"):
            shop.skill(wrong)
    with pytest.raises(UnknownSkill, match="Did you mean 'skill://acme/refunds/SKILL.md'"):
        shop.skill("skill://acme/refund/SKILL.md")


def test_names_alike_are_told_apart(tmp_path: Path, mode: str) -> None:
    files = {f"{place}/help/SKILL.md": skill_md("help", description=place) for place in ("a", "b")}
    with lab.connect(serving(ServedSkills(write(tmp_path / "twins", {**files}))), name="twins", mode=mode) as server:
        with pytest.raises(AmbiguousSkill, match="2 skills named 'help'") as refused:
            server.skills["help"]
        assert refused.value.uris == ("skill://a/help/SKILL.md", "skill://b/help/SKILL.md")
        assert "'skill://a/help/SKILL.md' or 'skill://b/help/SKILL.md'" in str(refused.value)
        assert server.skills["skill://b/help/SKILL.md"].description == "b"
        assert server.skills._ipython_key_completions_() == list(server.skills)
        assert "a/help" in repr(server.skills)


def test_a_server_without_skills(mode: str) -> None:
    with lab.connect(MCPServer("bare", log_level="CRITICAL"), name="bare", mode=mode) as server:
        assert list(server.skills) == []
        assert repr(server.skills) == "bare: no skills"
        assert server.skills.df.columns[0] == "name"
        with pytest.raises(NotOffered, match="Server 'bare' declares no skills"):
            server.skill("skill://a/SKILL.md")


@pytest.mark.parametrize(("ttl", "again"), [("1h", False), (0, True)])
def test_a_list_is_kept_for_as_long_as_its_server_says(folder: Path, ttl: Any, again: bool) -> None:
    served = ServedSkills(folder, ttl=ttl)
    with lab.connect(serving(served), name="shop", mode="2026-07-28") as server:
        assert "new" not in server.skills
        write(folder, {"new/SKILL.md": skill_md("new")})
        assert len(served.entries()) == 4
        assert ("new" in server.skills) is again
        server.refresh()
        assert "new" in server.skills


def test_the_list_is_that_of_before_where_the_resources_are(folder: Path) -> None:
    with lab.connect(serving(ServedSkills(folder, ttl="1h")), name="shop", mode="2026-07-28") as server:
        first = server.skills
        assert server.skills is first
        client_of(server).listings.forget("resources")
        assert server.skills is not first


def test_how_one_shows_itself(shop: lab.Server) -> None:
    skill = shop.skills["refunds"]
    shown = skill._repr_mimebundle_()
    assert repr(skill) == "<Skill shop skill://acme/refunds/SKILL.md>"
    for word in ("license: MIT", "from: server shop, skill://acme/refunds/SKILL.md", "assets/logo.png  10 B"):
        assert word in shown["text/plain"], word
    assert "sha256:" in shown["text/html"]
    assert skill.files["empty.txt"].digest in repr(skill.files)
    assert json.loads(json.dumps(skill.frontmatter))["name"] == "refunds"
    assert isinstance(shop.skills, Skills)


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
