"""Folders of skills: what is refused before anything is served, and what becomes of one that changes."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

from pmcp_lab.errors import SkillInvalid
from pmcp_lab.server import Skill, Skills
from pmcp_lab.server.skills.library import Library, Written
from pmcp_lab.server.skills.skill import PlacedSkill
from tests.unit.jsonrpc import legacy
from tests.unit.skill_folders import Files, skill_md, write

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links and pipes")


def uris(skills: Skills) -> list[str]:
    return [entry.uri for entry in skills.entries()]


def digests(skills: Skills) -> dict[str, str]:
    return {file.uri: file.digest for entry in skills.entries() for file in entry.files or ()}


# --- what is refused ---


@pytest.mark.parametrize(
    ("files", "problems"),
    [
        ({"a/readme.md": ""}, {"": "there is no SKILL.md in it"}),
        ({"a/skill.md": skill_md("a")}, {"a/skill.md": "has to be named SKILL.md"}),
        ({"a/SKILL.md": skill_md("b")}, {"a/SKILL.md": "its name is 'b', but its folder 'a'"}),
        ({"c/d/SKILL.md": skill_md("b")}, {"c/d/SKILL.md": "its name is 'b', but its folder 'd'"}),
        ({"A/SKILL.md": skill_md("A")}, {"A/SKILL.md": "a name has 1 to 64"}),
        ({"a/SKILL.md": "no front matter"}, {"a/SKILL.md": "does not begin with a line ---"}),
        ({"a/SKILL.md": b"---\nname: \xff\n---\n"}, {"a/SKILL.md": "no UTF-8"}),
        ({"a/SKILL.md": "---\nname: a\n---\n"}, {"a/SKILL.md": "it has no description"}),
        ({"a/SKILL.md": skill_md("a", "draft: yes")}, {"a/SKILL.md": "draft is True to YAML 1.1 readers and 'yes'"}),
        ({"a/SKILL.md": skill_md("a", "released: 2026-01-31")}, {"a/SKILL.md": "a date"}),
        ({"a/SKILL.md": skill_md("a", "x: &x y")}, {"a/SKILL.md": "anchors"}),
        ({"a/SKILL.md": skill_md("a", "x: .nan")}, {"a/SKILL.md": "no number of JSON"}),
        ({"a/SKILL.md": skill_md("a", "name: a")}, {"a/SKILL.md": "there twice"}),
        ({"a/SKILL.md": skill_md("a", "metadata: {n: 1}")}, {"a/SKILL.md": "no text: n"}),
        ({"a/SKILL.md": skill_md("a"), "a/in/SKILL.md": skill_md("out")}, {"a/in/SKILL.md": "its folder 'in'"}),
        (
            {"a/SKILL.md": "no", "b/SKILL.md": skill_md("b"), "c/d/SKILL.md": skill_md("D")},
            {"a/SKILL.md": "front matter", "c/d/SKILL.md": "a name has"},
        ),
        ({"a/SKILL.md": skill_md("a"), **{f"a/{n}": "" for n in range(512)}}, {"a": "more than 512 files"}),
        ({"a/SKILL.md": skill_md("a"), "a/large": bytes(16_777_216)}, {"a": "16,777,216 bytes"}),
    ],
    ids=range(18),
)
def test_what_can_not_be_served(files: Files, problems: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, files)
    with pytest.raises(SkillInvalid) as caught:
        Skills(tmp_path)
    assert str(tmp_path) in caught.value.message
    found = dict(caught.value.problems)
    assert found.keys() == problems.keys()
    for where, said in problems.items():
        assert said in found[where]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names that the file system refuses")
@pytest.mark.parametrize("name", ["a\\b", "a\nb", os.fsdecode(b"a\xffb")])
def test_names_that_no_uri_has(name: str, tmp_path: Path) -> None:
    write(tmp_path, {"a/SKILL.md": skill_md("a"), f"a/{name}": ""})
    with pytest.raises(SkillInvalid) as caught:
        Skills(tmp_path)
    ((where, _),) = caught.value.problems
    assert where == f"a/{name}"
    caught.value.message.encode(errors="surrogateescape")


@needs_links
@pytest.mark.parametrize("kind", ["file", "folder", "dangling", "skill", "skill file", "pipe", "socket"])
def test_links_and_what_is_no_file(kind: str, tmp_path: Path) -> None:
    secret = write(tmp_path / "elsewhere", {"SKILL.md": skill_md("linked"), "secret": "s"})
    write(tmp_path / "skills", {"a/SKILL.md": skill_md("a"), "b/x": ""})
    skills = tmp_path / "skills"
    match kind:
        case "file":
            (skills / "a/x").symlink_to(secret / "secret")
        case "folder":
            (skills / "a/x").symlink_to(secret)
        case "dangling":
            (skills / "a/x").symlink_to("nowhere")
        case "skill":
            (skills / "linked").symlink_to(secret)
        case "skill file":
            (skills / "b/SKILL.md").symlink_to(secret / "SKILL.md")
        case "pipe":
            os.mkfifo(skills / "a/x")
        case "socket":
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(os.path.relpath(skills / "a/x"))
    with pytest.raises(SkillInvalid, match="symbolic link" if kind not in ("pipe", "socket") else "no file"):
        Skills(skills)


def test_many_problems_are_some_lines(tmp_path: Path) -> None:
    write(tmp_path, {f"s{n}/SKILL.md": "no" for n in range(100)})
    with pytest.raises(SkillInvalid) as caught:
        Skills(tmp_path)
    assert len(caught.value.problems) == 100
    assert caught.value.message.splitlines()[-1] == "  and 80 more"
    assert len(caught.value.message.splitlines()) == 22


@needs_links
def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    """What is deployed is often a link that is changed, and another version is served."""
    for version in ("one", "two"):
        write(tmp_path / version, {"a/SKILL.md": skill_md("a", body=version)})
    current = tmp_path / "current"
    current.symlink_to("one")
    skills = Skills(current)
    before = digests(skills)
    current.unlink()
    current.symlink_to("two")
    assert digests(skills) != before


def test_there_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(SkillInvalid, match="there is no such file or folder"):
        Skills(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(SkillInvalid, match="it is no folder"):
        Skills(str(tmp_path / "file"))


def test_no_folder_of_skills_but_somebodys_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pmcp_lab.server.skills.folder.MOST_ENTRIES", 10)
    write(tmp_path, {f"{n}/x": "" for n in range(20)})
    with pytest.raises(SkillInvalid, match="name the folder that the skills are in"):
        Skills(tmp_path)


def test_two_in_one_place(tmp_path: Path) -> None:
    write(
        tmp_path, {"one/a/SKILL.md": skill_md("a"), "two/a/SKILL.md": skill_md("a"), "three/b/SKILL.md": skill_md("b")}
    )
    with pytest.raises(SkillInvalid, match="another prefix"):
        Skills(tmp_path / "one", tmp_path / "two")
    with pytest.raises(SkillInvalid, match="inside"):
        Skills(tmp_path / "one").add(tmp_path / "three", prefix="a")
    skills = Skills(tmp_path / "one", prefix="x").add(tmp_path / "two", prefix="y/z")
    assert uris(skills) == ["skill://x/a/SKILL.md", "skill://y/z/a/SKILL.md"]


def test_a_folder_that_is_a_skill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", {"SKILL.md": skill_md("a")})
    assert uris(Skills(tmp_path / "a")) == ["skill://a/SKILL.md"]
    monkeypatch.chdir(tmp_path / "a")
    assert uris(Skills(".", prefix="p")) == ["skill://p/a/SKILL.md"]


def test_as_much_as_hosts_must_take(tmp_path: Path) -> None:
    head = skill_md("a")
    large = bytes(16_777_216 - len(head.encode()))
    write(tmp_path, {"a/SKILL.md": head, "a/large": large, **{f"a/{n}": "" for n in range(510)}})
    (entry,) = Skills(tmp_path).entries()
    assert (len(entry.files or ()), entry.size) == (512, 16_777_216)


def test_skills_in_memory() -> None:
    skill = Skill({"SKILL.md": skill_md("a"), "b.txt": b"\x00"})
    assert repr(skill) == "<Skill 'a': 2 files>"
    for files, said in (
        ({}, "it has no SKILL.md"),
        ({"SKILL.md": skill_md("a"), "../b": ""}, "'..'"),
        ({"SKILL.md": skill_md("a"), "/b": ""}, "empty segment"),
        ({"SKILL.md": skill_md("a", "x: 010")}, "skill 'a' can't be served"),
        ({"SKILL.md": skill_md("a"), **{f"{n}": "" for n in range(512)}}, "513 files"),
        ({"SKILL.md": skill_md("a"), "x": bytes(16_777_216)}, "bytes"),
    ):
        with pytest.raises(SkillInvalid, match=said):
            Skill(files)  # type: ignore[arg-type]


# --- what changes ---


def test_what_changes_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, {"a/SKILL.md": skill_md("a"), "a/x": "one", "b/SKILL.md": skill_md("b")})
    skills = Skills(tmp_path)
    before = digests(skills)
    (tmp_path / "a/x").write_text("two")
    after = digests(skills)
    assert [uri for uri in after if after[uri] != before[uri]] == ["skill://a/x"]
    (tmp_path / "a/x").rename(tmp_path / "a/y")
    write(tmp_path, {"c/d/SKILL.md": skill_md("d")})
    shutil.rmtree(tmp_path / "b")
    assert digests(skills).keys() == {"skill://a/SKILL.md", "skill://a/y", "skill://c/d/SKILL.md"}
    shutil.rmtree(tmp_path / "a")
    shutil.rmtree(tmp_path / "c")
    assert uris(skills) == []


def test_a_change_within_a_tick_of_the_clock(tmp_path: Path) -> None:
    """Same size, same time: a file that is young is read again, one that is old is known by its inode's time."""
    write(tmp_path, {"a/SKILL.md": skill_md("a"), "a/x": "one"})
    skills = Skills(tmp_path)
    before = digests(skills)
    status = (tmp_path / "a/x").stat()
    (tmp_path / "a/x").write_text("two")
    os.utime(tmp_path / "a/x", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digests(skills) != before


async def test_requests_see_what_changed(tmp_path: Path) -> None:
    """And a folder that takes long to look at is not looked at for each of them."""
    folder = write(tmp_path / "skills", {"a/SKILL.md": skill_md("a"), "a/x": "one"})
    skills = Skills(folder)
    server: MCPServer[Any] = MCPServer("lab", extensions=[skills], middleware=[skills])
    async with legacy(server) as peer:
        (folder / "a/x").write_text("two")
        write(folder, {"b/SKILL.md": skill_md("b")})
        async with asyncio.timeout(10):
            while len((await peer.call("skills/list"))["skills"]) < 2:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        assert (await peer.call("resources/read", {"uri": "skill://a/x"}))["contents"][0]["text"] == "two"


def test_looking_takes_a_tenth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, looks = 0.0, 0

    class Slow(Written):
        def look(self) -> list[PlacedSkill]:
            nonlocal now, looks
            now, looks = now + 0.05, looks + 1
            return self.skills

    monkeypatch.setattr("pmcp_lab.server.skills.library.time.monotonic", lambda: now)
    library = Library()
    library.add([Slow([])])
    for _ in range(1000):
        library.look()
        now += 0.01
    assert looks * 0.05 <= now / 10 + 0.05
    assert looks > 15


def test_nobody_waits_for_a_folder_that_does_not_answer() -> None:
    """A disk of the network that hangs holds up one look, not the server."""
    hangs, goes_on = threading.Event(), threading.Event()

    class Hanging(Written):
        def look(self) -> list[PlacedSkill]:
            hangs.set()
            assert goes_on.wait(10)
            return self.skills

    library = Library()
    library.add([Hanging([PlacedSkill.below((), Skill({"SKILL.md": skill_md("a")}))])])
    first = threading.Thread(target=library.look)
    first.start()
    assert hangs.wait(10)
    assert len(library.look().entries) == 1
    goes_on.set()
    first.join(10)


@pytest.mark.parametrize("ahead", [0, 86_400])
def test_what_did_not_change_is_not_read(ahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where somebody wrote a time on a file that is yet to come. A young file is read, for its clock is coarse."""
    write(tmp_path, {"a/SKILL.md": skill_md("a")})
    os.utime(tmp_path / "a/SKILL.md", (0, time.time() + ahead))
    skills = Skills(tmp_path)
    reads: list[object] = []
    opened = os.open
    monkeypatch.setattr(os, "open", lambda *args, **kwargs: reads.append(args) or opened(*args, **kwargs))
    now = time.time()
    monkeypatch.setattr("pmcp_lab.server.skills.folder.time.time", lambda: now)
    uris(skills)
    uris(skills)
    assert len(reads) == 2
    now += 10
    uris(skills)
    reads.clear()
    uris(skills)
    assert reads == []
    (tmp_path / "a/SKILL.md").write_text(skill_md("a", body="new"))
    uris(skills)
    assert len(reads) == 1


def test_a_skill_that_is_broken_stays_as_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, {"a/SKILL.md": skill_md("a"), "b/SKILL.md": skill_md("b")})
    skills = Skills(tmp_path)
    before = digests(skills)
    with caplog.at_level(logging.WARNING):
        write(
            tmp_path, {"a/SKILL.md": "half writ", "b/SKILL.md": skill_md("b", body="new"), "c/SKILL.md": "new, broken"}
        )
        for _ in range(3):
            after = digests(skills)
    assert after["skill://a/SKILL.md"] == before["skill://a/SKILL.md"]
    assert after["skill://b/SKILL.md"] != before["skill://b/SKILL.md"]
    assert after.keys() == before.keys()
    # Once each, not with every request.
    assert ["stays as it was" in each.message for each in caplog.records] == [True, False]
    write(tmp_path, {"a/SKILL.md": skill_md("a", body="mended"), "c/SKILL.md": skill_md("c")})
    assert uris(skills) == ["skill://a/SKILL.md", "skill://b/SKILL.md", "skill://c/SKILL.md"]
    assert digests(skills)["skill://a/SKILL.md"] != before["skill://a/SKILL.md"]


def test_a_folder_that_is_away_for_a_moment(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write(tmp_path / "skills", {"a/SKILL.md": skill_md("a")})
    skills = Skills(folder)
    folder.rename(tmp_path / "away")
    for _ in range(3):
        assert uris(skills) == ["skill://a/SKILL.md"]
    assert len(caplog.records) == 1
    (tmp_path / "away").rename(folder)
    write(folder, {"b/SKILL.md": skill_md("b")})
    assert len(uris(skills)) == 2


@needs_links
def test_a_link_that_comes_later_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, {"s/a/SKILL.md": skill_md("a"), "s/a/x": "one", "secret": "s"})
    skills = Skills(tmp_path / "s")
    before = digests(skills)
    (tmp_path / "s/a/x").unlink()
    (tmp_path / "s/a/x").symlink_to(tmp_path / "secret")
    assert digests(skills) == before
    assert "symbolic link" in caplog.text


@needs_links
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_takes_a_files_place_while_it_is_read(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link would be followed, a pipe waited for."""
    write(tmp_path, {"s/a/SKILL.md": skill_md("a"), "s/a/x": "one", "secret": "s"})
    opened = os.open

    def exchange(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith("/x"):
            Path(path).unlink()
            Path(path).symlink_to(tmp_path / "secret") if kind == "link" else os.mkfifo(path)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", exchange)
    with pytest.raises(SkillInvalid, match="can't be read|no file any more"):
        Skills(tmp_path / "s")


def test_two_that_come_to_one_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, {"one/a/SKILL.md": skill_md("a"), "two/b/SKILL.md": skill_md("b")})
    skills = Skills(tmp_path / "one", tmp_path / "two")
    write(tmp_path, {"two/a/SKILL.md": skill_md("a", description="the other")})
    for _ in range(2):
        assert [entry.description for entry in skills.entries()] == ["What it is for"] * 2
    assert [each.message.count("left out") for each in caplog.records] == [1]
