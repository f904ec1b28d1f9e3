"""The wire of skills: URIs, entries, what is verified, and what each generation is answered."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_lab.protocol.skill_uri import InvalidSkill, SkillUri, skill_root
from pmcp_lab.protocol.skills import (
    MAX_BYTES,
    MAX_FILES,
    Caching,
    DirectoryItem,
    SkillEntry,
    SkillFile,
    content_bytes,
    decode_directory,
    decode_entry,
    encode_content,
    encode_directory,
    encode_entry,
    encode_got,
    encode_listed,
    entry_problems,
)

DIGEST = f"sha256:{'0' * 64}"


def file(path: str, **changes: Any) -> dict[str, Any]:
    return {"uri": f"skill://acme/refunds/{path}", "digest": DIGEST, "size": 1} | changes


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "uri": "skill://acme/refunds/SKILL.md",
        "frontmatter": {"name": "refunds", "description": "Pay money back"},
        "resources": [file("SKILL.md"), file("examples/mail.md")],
    } | changes


# --- URIs ---


@pytest.mark.parametrize(
    ("uri", "segments"),
    [
        ("skill://refunds/SKILL.md", ["refunds", "SKILL.md"]),
        ("SKILL://acme/a%20b/%C3%A9", ["acme", "a b", "é"]),
        ("skill://acme/é", ["acme", "é"]),
        ("skill://acme/a%2Eb", ["acme", "a.b"]),
        ("file:///home/skills/a", ["home", "skills", "a"]),
        ("https://example.org:8443/a", ["example.org:8443", "a"]),
        ("repo:skills/a", ["skills", "a"]),
        ("skill://acme/...", ["acme", "..."]),
    ],
)
def test_a_uri_is_its_decoded_segments(uri: str, segments: list[str]) -> None:
    parsed = SkillUri.parse(uri)
    assert parsed.segments == tuple(segments)
    assert SkillUri.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "refunds/SKILL.md",
        "skill:///refunds",
        "skill://",
        "skill://acme/",
        "skill://acme//a",
        "skill://acme/../a",
        "skill://acme/%2e%2E/a",
        "skill://acme/./a",
        "skill://acme/a?b",
        "skill://acme/a#b",
        "skill://acme/a\\b",
        "skill://acme/a%5Cb",
        "skill://acme/a%2fb",
        "skill://acme/a%00b",
        "skill://acme/a%0Ab",
        "skill://acme/a\nb",
        "skill://acme/a%",
        "skill://acme/a%zz",
        "skill://acme/%ff",
        "skill://acme/\ud800",
        "file://",
        "file:",
        f"skill://acme/{'a' * 16_384}",
    ],
    ids=range(24),
)
def test_what_is_no_uri_of_a_skill(uri: str) -> None:
    with pytest.raises(InvalidSkill) as caught:
        SkillUri.parse(uri)
    assert caught.value.code == "uri"


@given(st.lists(st.text(min_size=1), min_size=1))
def test_segments_are_quoted_so_that_they_come_back(segments: list[str]) -> None:
    uri = SkillUri("skill", ("acme",))
    try:
        below = uri.below("/".join(segments))
    except InvalidSkill:
        return
    assert SkillUri.parse(str(below)) == below
    assert uri.path_of(below) == "/".join(segments)
    assert str(below).isascii()


@pytest.mark.parametrize("root", ["file:///home/skills/a", "file://home/skills/a", "repo:skills/a", "repo:/skills/a"])
def test_other_schemes_stay_as_they_are(root: str) -> None:
    parsed = skill_root(f"{root}/SKILL.md")
    assert str(parsed) == root
    assert str(parsed.below("b c/d")) == f"{root}/b%20c/d"
    assert parsed.path_of(SkillUri.parse(f"{root}/b%20c/d")) == "b c/d"
    assert not parsed.holds(SkillUri.parse("file:///other/skills/a/b"))


def test_marks_of_an_authority_are_quoted() -> None:
    assert str(SkillUri("skill", ("a:b@c", "d:e"))) == "skill://a%3Ab%40c/d%3Ae"


def test_the_root_of_a_skill() -> None:
    assert str(skill_root("skill://acme/refunds/SKILL.md")) == "skill://acme/refunds"
    assert skill_root("skill://refunds/SKILL.md").name == "refunds"
    for uri in ("skill://SKILL.md", "skill://acme/refunds", "skill://acme/skill.md"):
        with pytest.raises(InvalidSkill):
            skill_root(uri)


def test_paths_stay_below() -> None:
    root = SkillUri.parse("skill://acme/refunds")
    assert str(root.below("a b/c.md")) == "skill://acme/refunds/a%20b/c.md"
    assert root.path_of(SkillUri.parse("skill://acme/refunds/a%20b/c.md")) == "a b/c.md"
    for path in ("", "../x", "/x", "x/", "a//b", "a\\b", "./a"):
        with pytest.raises(InvalidSkill):
            root.below(path)
    for uri in ("skill://acme/refunds", "skill://acme/refunds2/a", "skill://acme/other/a", "other://acme/refunds/a"):
        with pytest.raises(InvalidSkill) as caught:
            root.path_of(SkillUri.parse(uri))
        assert caught.value.code == "outside"


# --- entries ---


def test_an_entry_goes_there_and_back() -> None:
    decoded = decode_entry(entry(more=1))
    assert (decoded.name, decoded.description, decoded.dynamic, decoded.size) == ("refunds", "Pay money back", False, 2)
    assert str(decoded.root) == "skill://acme/refunds"
    assert encode_entry(decoded) == entry()
    assert encode_entry(decode_entry(entry(resources="dynamic"))) == entry(resources="dynamic")


def test_a_file_is_found_by_its_decoded_segments() -> None:
    decoded = decode_entry(entry(resources=[file("SKILL.md"), file("a%20b.md")]))
    found = decoded.file("skill://acme/refunds/%61%20b.md")
    assert found is not None
    assert found.uri == "skill://acme/refunds/a%20b.md"
    assert decoded.file(decoded.root.below("a b.md")) == found
    assert decoded.file("skill://acme/refunds/other.md") is None
    assert decode_entry(entry(resources="dynamic")).file("skill://acme/refunds/SKILL.md") is None


@pytest.mark.parametrize(
    ("raw", "codes"),
    [
        (None, ["uri"]),
        ({}, ["uri", "frontmatter", "incomplete"]),
        (entry(uri="skill://acme/refunds"), ["uri"]),
        (entry(uri="skill://acme/other/SKILL.md"), ["name", "outside", "outside", "incomplete"]),
        (entry(frontmatter=[]), ["frontmatter"]),
        (entry(frontmatter={"name": "refunds"}), ["description"]),
        (entry(frontmatter={"name": "Refunds", "description": "d"}), ["name", "name"]),
        (entry(resources=None), ["incomplete"]),
        (entry(resources="static"), ["incomplete"]),
        (entry(resources=[]), ["incomplete"]),
        (entry(resources=[file("a.md")]), ["incomplete"]),
        (entry(resources=[file("SKILL.md"), {}]), ["incomplete"]),
        (entry(resources=[file("SKILL.md"), file("%53KILL.md")]), ["twice"]),
        (entry(resources=[file("SKILL.md"), file("a", uri="skill://acme/refunds2/a")]), ["outside"]),
        (entry(resources=[file("SKILL.md"), file("../a")]), ["uri"]),
        (entry(resources=[file("SKILL.md", digest=f"sha256:{'A' * 64}")]), ["digest"]),
        (entry(resources=[file("SKILL.md", digest=f"sha1:{'0' * 40}")]), ["digest"]),
        (entry(resources=[file("SKILL.md", size=-1)]), ["size"]),
        (entry(resources=[file("SKILL.md", size=True)]), ["size"]),
        (entry(resources=[file("SKILL.md", size=1.5)]), ["size"]),
        (entry(resources=[file("SKILL.md", size=MAX_BYTES + 1)]), ["limit"]),
        (entry(resources=[file("SKILL.md"), *(file(f"{n}.md") for n in range(MAX_FILES))]), ["limit"]),
    ],
    ids=range(22),
)
def test_what_is_wrong_with_an_entry(raw: Any, codes: list[str]) -> None:
    assert [problem.code for problem in entry_problems(raw)] == codes
    with pytest.raises(InvalidSkill) as caught:
        decode_entry(raw)
    assert caught.value.code == codes[0]


def test_as_much_as_a_host_must_take() -> None:
    most = [file("SKILL.md", size=MAX_BYTES - MAX_FILES + 1), *(file(f"{n}.md") for n in range(MAX_FILES - 1))]
    assert entry_problems(entry(resources=most)) == []


def test_bytes_are_compared_with_the_entry() -> None:
    listed = SkillFile.of("skill://a/SKILL.md", b"one")
    assert listed.digest == f"sha256:{hashlib.sha256(b'one').hexdigest()}"
    assert listed.mismatch(b"one") is None
    for data, code in ((b"two", "digest"), (b"three", "size")):
        wrong = listed.mismatch(data)
        assert wrong is not None
        assert wrong.code == code


# --- answers ---


def test_answers_of_both_generations() -> None:
    decoded = decode_entry(entry())
    caching = Caching(300_000, "public")
    fields = {"ttlMs": 300_000, "cacheScope": "public"}
    assert encode_listed([decoded], next_cursor="n", caching=caching) == {
        "resultType": "complete",
        "skills": [entry()],
        "nextCursor": "n",
        **fields,
    }
    assert encode_listed([], caching=None) == {"skills": []}
    assert encode_got(decoded, caching=caching) == {"resultType": "complete", "skill": entry(), **fields}
    assert encode_got(decoded, caching=None) == {"skill": entry()}
    items = [DirectoryItem("skill://a/x", "x", "inode/directory"), DirectoryItem("skill://a/y", "y", None, 0)]
    raw = encode_directory(items, caching=None)
    assert raw == {
        "resources": [
            {"uri": "skill://a/x", "name": "x", "mimeType": "inode/directory"},
            {"uri": "skill://a/y", "name": "y", "size": 0},
        ]
    }
    assert decode_directory(raw) == items
    assert [item.is_directory for item in items] == [True, False]
    assert decode_directory({"resources": [{}, 1]}) == decode_directory({}) == []
    odd = {"uri": "skill://a/z", "name": 1, "mimeType": [], "size": -1}
    assert decode_directory({"resources": [odd]}) == [DirectoryItem("skill://a/z", "skill://a/z")]


@pytest.mark.parametrize(
    ("raw", "caching"),
    [
        ({"ttlMs": 5, "cacheScope": "public"}, Caching(5, "public")),
        ({}, Caching(0, "private")),
        ({"ttlMs": -1, "cacheScope": "all"}, Caching(0, "private")),
        ({"ttlMs": True}, Caching(0, "private")),
        ({"ttlMs": float("inf")}, Caching(0, "private")),
        ({"ttlMs": float("nan")}, Caching(0, "private")),
    ],
)
def test_for_how_long_an_answer_may_be_kept(raw: dict[str, Any], caching: Caching) -> None:
    assert Caching.decode(raw) == caching


@pytest.mark.parametrize("data", [b"", b"a\r\nb\n", b"\xef\xbb\xbfmark", b"\x00\x01", "é".encode()])
def test_text_is_what_is_utf_8(data: bytes) -> None:
    content = encode_content("skill://a/b", data, "text/plain")
    assert "text" in content
    assert content_bytes(content) == data


@given(st.binary())
def test_contents_are_served_byte_for_byte(data: bytes) -> None:
    content = encode_content("skill://a/b", data, "application/octet-stream")
    assert content_bytes(content) == data
    assert ("blob" in content) is (data.decode(errors="ignore").encode() != data)


@pytest.mark.parametrize("content", [{}, {"text": 1}, {"blob": "%"}, {"text": "\ud800"}, {"blob": "YQ"}])
def test_contents_that_are_none(content: dict[str, Any]) -> None:
    with pytest.raises(InvalidSkill):
        content_bytes(content)


def test_blobs_of_the_standard_alphabet() -> None:
    assert content_bytes({"blob": base64.b64encode(b"\xff\xfe").decode()}) == b"\xff\xfe"


def test_an_entry_of_ones_own() -> None:
    data = b"---\nname: a\ndescription: d\n---\n"
    own = SkillEntry(
        "skill://a/SKILL.md", {"name": "a", "description": "d"}, (SkillFile.of("skill://a/SKILL.md", data),)
    )
    assert decode_entry(encode_entry(own)) == own
