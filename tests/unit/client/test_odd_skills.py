"""Skills of servers that are odd in one way each: nothing that fails is used, and nothing good is hidden by it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pmcp_lab as lab
from pmcp_lab.errors import AmbiguousSkill, NotOffered, PeerError, SkillUnverified, UnknownSkill

SERVER = Path(__file__).parents[2] / "servers" / "odd_skills.py"
REFUNDS = "skill://refunds/SKILL.md"

Odd = Callable[[str], lab.Server]


@pytest.fixture(params=["legacy", "2026-07-28"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "requests"


@pytest.fixture
def odd(mode: str, notes: Path) -> Iterator[Odd]:
    opened: list[lab.Server] = []

    def connect(way: str) -> lab.Server:
        opened.append(lab.connect([sys.executable, str(SERVER), way, str(notes)], name="odd", mode=mode))
        return opened[-1]

    yield connect
    for server in opened:
        server.close()


def asked(notes: Path, *methods: str) -> list[str]:
    lines = notes.read_text().splitlines()
    return [line.strip() for line in lines if line.split(" ")[0] in methods]


def skill_requests(notes: Path) -> list[str]:
    return asked(notes, "skills/list", "skills/get", "resources/read", "resources/directory/read")


def test_nothing_is_fetched_ahead(odd: Odd, notes: Path) -> None:
    server = odd("tampered")
    assert server.version
    assert list(server.resources) == []
    assert asked(notes, "initialize", "server/discover")[-1].endswith(" {}"), "it says that it knows skills"
    assert skill_requests(notes) == []
    skill = server.skills["refunds"]
    assert (skill.description, skill.files["notes.md"].size) == ("What it is for", 8)
    assert server.skills.df.name.tolist() == ["refunds"]
    repr(skill), skill._repr_mimebundle_()
    assert set(skill_requests(notes)) == {"skills/list"}


@pytest.mark.parametrize(
    ("way", "path", "reason", "said"),
    [
        ("tampered", "SKILL.md", "digest", "has the digest sha256:"),
        ("tampered", "notes.md", "digest", "has the digest sha256:"),
        ("longer", "SKILL.md", "size", "has 58 bytes; its skill's entry says 57"),
        ("longer", "notes.md", "size", "has 9 bytes; its skill's entry says 8"),
        ("masked", "SKILL.md", "frontmatter", "differs from the entry's: description"),
    ],
)
def test_what_is_not_what_the_entry_says_is_not_used(
    odd: Odd, notes: Path, way: str, path: str, reason: str, said: str
) -> None:
    skill = odd(way).skills["refunds"]
    with pytest.raises(SkillUnverified, match=said) as refused:
        skill.read(path)
    assert refused.value.reason == reason
    text = str(refused.value)
    assert f"{path} of skill 'refunds' of server 'odd' is not what its entry says" in text
    assert "Evil" not in text
    assert "Do ill" not in text
    uri = skill.files[path].uri
    assert skill_requests(notes) == [
        "skills/list",
        f"resources/read {uri}",
        f"skills/get {REFUNDS}",
        f"resources/read {uri}",
    ]
    assert skill.verified is False
    assert said in skill.problems[0]


def test_an_old_answer_is_asked_for_once_more(odd: Odd, notes: Path) -> None:
    skill = odd("stale").skills["refunds"]
    assert skill.read("notes.md").text == "pay back"
    assert len(asked(notes, "resources/read")) == 2
    assert (skill.verified, skill.problems) == (True, [])
    assert skill.read("notes.md").text == "pay back"
    assert len(asked(notes, "skills/get")) == 1, "what was right is not doubted"


def test_one_that_changed_is_taken_as_it_is_now(odd: Odd) -> None:
    skill = odd("updated").skills["refunds"]
    assert skill.read("notes.md").text == "pay back twice"
    assert repr(skill.changes) == "added: new.md; changed: notes.md; removed: old.md"
    with pytest.raises(SkillUnverified, match="lists no file 'old.md'"):
        skill.read("old.md")


def test_a_file_that_is_gone_is_not_asked_for_twice(odd: Odd, notes: Path) -> None:
    skill = odd("updated").skills["refunds"]
    with pytest.raises(SkillUnverified) as refused:
        skill.read("old.md")
    assert refused.value.reason == "unlisted"
    assert len(asked(notes, "resources/read")) == 1


def test_what_is_not_listed_is_refused_before_it_is_asked_for(odd: Odd, notes: Path) -> None:
    skill = odd("updated").skills["refunds"]
    for path in ("new.md", "../other/SKILL.md", "skill://other/SKILL.md"):
        with pytest.raises(SkillUnverified) as refused:
            skill.read(path)
        assert refused.value.reason == "unlisted"
    assert skill_requests(notes) == ["skills/list"]


def test_pages_that_go_in_a_circle_end(odd: Odd, notes: Path) -> None:
    skills = odd("circle").skills
    assert [skill.name for skill in skills.values()] == ["first", "second"]
    assert "go in a circle: the cursor 'page-1' came before" in repr(skills)
    assert asked(notes, "skills/list") == ["skills/list", "skills/list page-1"]


def test_those_that_are_there_twice(odd: Odd) -> None:
    server = odd("doubled")
    skills = server.skills
    assert list(skills) == ["skill://same/SKILL.md", "skill://a/twin/SKILL.md", "skill://b/twin/SKILL.md"]
    assert [(each.uri, each.problems[0].partition(",")[0]) for each in skills.aside] == [
        ("skill://same/SKILL.md", "it is listed twice"),
        ("skill://torn/SKILL.md", "it is listed more than once"),
    ]
    assert skills.df.problems.str.startswith("not usable").sum() == 2
    assert "set aside: skill://torn/SKILL.md" in repr(skills)
    assert "Set aside: <code>skill://torn/SKILL.md</code>" in skills._repr_html_()
    assert server.skill("skill://torn/SKILL.md").read().digest
    with pytest.raises(AmbiguousSkill):
        skills["twin"]


def test_what_is_no_skill_hides_none(odd: Odd) -> None:
    skills = odd("mixed").skills
    assert list(skills) == ["skill://first/SKILL.md", "skill://last/SKILL.md"]
    reasons = [each.problems[0] for each in skills.aside]
    assert len(reasons) == 12
    for number, words in {
        0: "the entry is no object",
        1: "it has no uri",
        2: "does not end in the skill's name and /SKILL.md",
        3: "has a segment '..'",
        4: "its name is 'odd', but the last folder of its URI 'other'",
        5: "it has no description",
        6: 'its resources are neither a list nor "dynamic"',
        7: "do not have its own SKILL.md",
        8: "is not in its directory",
        9: "no number of bytes",
        10: "is not sha256:",
        11: "a name has 1 to 64 of a-z",
    }.items():
        assert words in reasons[number], (number, reasons[number])
    assert skills.df.name.dropna().tolist() == ["first", "last"]
    assert [len(found.aside) for found in (skills.search("last"), skills.search("nothing"))] == [12, 12]


def test_a_dynamic_one_has_nothing_to_verify_it_with(odd: Odd) -> None:
    skills = odd("dynamic").skills
    live = skills["live"]
    assert (live.dynamic, dict(live.files), live.extent) == (True, {}, "dynamic")
    assert live.read().text.startswith("---")
    assert live.read("a b.md").text == "with a space"
    assert live.read("notes.md").digest is None
    assert "nothing to verify it with" in live.read("notes.md").as_html()
    assert live.verified is None
    for outside in ("../false/SKILL.md", "skill://false/SKILL.md", "skill://live", "file:///etc/passwd"):
        with pytest.raises(SkillUnverified) as refused:
            live.read(outside)
        assert refused.value.reason == "unlisted"
    with pytest.raises(PeerError, match="no such thing"):
        live.read("nothing.md")
    with pytest.raises(SkillUnverified) as refused:
        skills["false"].read()
    assert refused.value.reason == "frontmatter"
    assert skills["false"].verified is False
    row = skills.df.set_index("name").loc["live"]
    assert row.dynamic
    assert row.isna()["files"]


def test_as_many_files_as_a_host_must_take(odd: Odd) -> None:
    skills = odd("many").skills
    assert len(skills["full"].files) == 512
    assert skills["full"].read("510.md").text == "510"
    assert skills.aside[0].uri == "skill://over/SKILL.md"
    assert "it has 513 files" in skills.aside[0].problems[0]


def test_more_bytes_than_a_host_must_take(odd: Odd) -> None:
    skills = odd("heavy").skills
    assert list(skills) == []
    assert "16,777,271 bytes" in skills.aside[0].problems[0]
    assert "no skills" in repr(skills)


def test_bytes_and_names_are_as_they_are(odd: Odd) -> None:
    skill = odd("raw").skills["raw"]
    assert list(skill.files) == ["SKILL.md", "mail.md", "latin.txt", "empty.md", "A b%.md", "100%.md", "café.md"]
    read = {path: skill.read(path).bytes for path in skill.files}
    assert read["SKILL.md"].startswith(b"\xef\xbb\xbf---\r\n")
    assert read["mail.md"] == b"Dear all,\r\n\r\n"
    assert read["latin.txt"] == b"\xe9"
    assert skill.verified is True
    assert skill.read("A%20b%25.md").text == "A b%"


def test_yaml_may_be_read_either_way(odd: Odd) -> None:
    skills = odd("yaml").skills
    for name in ("core", "old"):
        assert skills[name].read().digest
    with pytest.raises(SkillUnverified, match="differs from the entry's: agree"):
        skills["neither"].read()


def test_what_agent_skills_do_not_allow_is_told_and_used(odd: Odd, notes: Path) -> None:
    skill = odd("loose").skills["loose"]
    assert [problem.split()[1] for problem in skill.problems] == ["license", "metadata"]
    assert (skill.license, skill.compatibility) == (None, "Python")
    assert skill.allowed_tools == ["Bash(git:*)", "Read"]
    assert "x: [1]" in skill._repr_mimebundle_()["text/plain"]
    assert asked(notes, "tools/list", "tools/call") == []


def test_a_skill_within_another_is_compared_with_its_own_entry(odd: Odd) -> None:
    skills = odd("nested").skills
    with pytest.raises(SkillUnverified) as refused:
        skills["outer"].read("inner/SKILL.md")
    assert refused.value.reason == "frontmatter"


def test_a_list_is_kept_where_the_server_says_so(odd: Odd, notes: Path, mode: str) -> None:
    server = odd("kept")
    for _ in range(3):
        assert "refunds" in server.skills
    assert len(asked(notes, "skills/list")) == (3 if mode == "legacy" else 1)


def test_one_that_ends_when_it_is_asked_is_not_asked_again(odd: Odd, notes: Path) -> None:
    server = odd("ends-on-list")
    with pytest.raises(
        NotOffered, match=r"ended when it was asked for its skills .*\n[\s\S]*a method that I do not know"
    ):
        server.skills  # noqa: B018
    assert list(server.resources) == [], "it was started again"
    with pytest.raises(NotOffered, match=r"not asked again before server.refresh\(\)"):
        server.skills  # noqa: B018
    assert asked(notes, "skills/list") == ["skills/list"]
    server.refresh()
    with pytest.raises(NotOffered):
        server.skills  # noqa: B018
    assert asked(notes, "skills/list") == ["skills/list"] * 2


def test_one_that_declares_what_it_does_not_know(odd: Odd) -> None:
    server = odd("unknown")
    assert list(server.skills) == []
    assert "the server declares skills and does not know skills/list" in repr(server.skills)
    with pytest.raises(NotOffered, match="does not know skills/get"):
        server.skill(REFUNDS)


def test_who_declares_none_is_not_asked(odd: Odd, notes: Path) -> None:
    server = odd("undeclared")
    assert list(server.skills) == []
    with pytest.raises(NotOffered):
        server.skill(REFUNDS)
    assert skill_requests(notes) == []


def test_an_answer_that_is_no_list(odd: Odd) -> None:
    assert "has no list of skills" in repr(odd("no-list").skills)


def test_an_entry_that_was_not_asked_for_is_not_taken(odd: Odd) -> None:
    server = odd("imposes")
    skill = server.skills["refunds"]
    with pytest.raises(SkillUnverified, match=r"it is that of skill://other/SKILL.md") as refused:
        skill.refresh()
    assert refused.value.reason == "entry"
    assert skill.name == "refunds"
    with pytest.raises(SkillUnverified, match="it has no uri"):
        server.skill("skill://broken/SKILL.md")


def test_one_that_is_not_listed_is_there_by_its_uri(odd: Odd) -> None:
    server = odd("unlisted")
    assert list(server.skills) == []
    assert server.skill("skill://secret/SKILL.md").read("notes.md").text == "x"
    with pytest.raises(UnknownSkill, match="has no skill 'skill://nothing/SKILL.md'"):
        server.skill("skill://nothing/SKILL.md")


def test_contents_that_are_none(odd: Odd) -> None:
    skill = odd("odd-contents").skills["refunds"]
    assert skill.read("two.md").text == "two"
    for path in ("none.md", "blob.md"):
        with pytest.raises(SkillUnverified) as refused:
            skill.read(path)
        assert refused.value.reason == "digest"
