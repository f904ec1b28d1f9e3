"""What `app check` finds, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from pmcp_lab.apps.check import check
from pmcp_lab.apps.check_origins import allows, read_document
from pmcp_lab.apps.finding import Finding
from pmcp_lab.apps.served import Answer, Call, Page, Served, ServedSkills
from pmcp_lab.protocol.skills import SkillFile, encode_content

URI = "ui://shop/cart"
HTML = "<!doctype html><title>Cart</title><script>parent.postMessage({method: 'ui/initialize'}, '*')</script>"
MIME = "text/html;profile=mcp-app"


def tool(**more: Any) -> dict[str, Any]:
    plain = {"name": "cart", "description": "The cart.", "inputSchema": {"type": "object"}}
    return {**plain, "_meta": {"ui": {"resourceUri": URI}}, **more}


def page(html: str = HTML, *, mime: str = MIME, ui: Any = None, **more: Any) -> Page:
    content = {"uri": URI, "mimeType": mime, "text": html} | ({"_meta": {"ui": ui}} if ui is not None else {})
    return Page(**{"uri": URI, "listed": {"uri": URI, "mimeType": mime}, "content": content, **more})


def codes(*tools: dict[str, Any], pages: Page | None = None, **more: Any) -> list[tuple[str, str]]:
    shown = pages or page()
    served = Served(
        **{"name": "shop", "announces_ui": True, "tools": tools or (tool(),), "pages": {URI: shown}, **more}
    )
    return [(finding.level, finding.code) for finding in check(served)]


def ui(**more: Any) -> dict[str, Any]:
    return {"ui": {"resourceUri": URI, **more}}


def test_a_good_app_has_nothing() -> None:
    assert codes() == []
    assert codes(tool(_meta=ui(visibility=["app"]) | {"ui/resourceUri": URI})) == []


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (tool(name="two words"), ("error", "tool-name")),
        (tool(name="x" * 129), ("error", "tool-name")),
        (tool(inputSchema=None), ("error", "schema")),
        (tool(inputSchema={"type": "object", "properties": {"a": {"type": "nmber"}}}), ("error", "schema")),
        (tool(outputSchema={"type": "string"}), ("error", "schema")),
        (tool(inputSchema={"type": "object", "allOf": [{"minimum": 0}] * 50_000}), ("error", "schema")),
        (tool(description=""), ("warning", "no-description")),
        (tool(_meta={"ui": "cart"}), ("error", "ui-meta")),
        (tool(_meta={"ui": {"resourceUri": "http://shop/cart"}}), ("error", "uri-scheme")),
        (tool(_meta={"ui": {"resourceUri": 7}}), ("error", "uri-scheme")),
        (tool(_meta={"ui/resourceUri": URI}), ("warning", "uri-old-key")),
        (tool(_meta={"openai/outputTemplate": URI}), ("error", "uri-old-key")),
        (tool(_meta=ui() | {"ui/resourceUri": "ui://shop/other"}), ("error", "uri-conflict")),
        (tool(_meta=ui(visibility="app")), ("error", "visibility")),
        (tool(_meta=ui(visibility=[])), ("error", "visibility")),
        (tool(_meta=ui(visibility=["user"])), ("error", "visibility")),
        (tool(_meta=ui(csp={"connectDomains": []})), ("warning", "meta-on-tool")),
        (tool(_meta=None), ("warning", "resource-unused")),
    ],
)
def test_tools(given: dict[str, Any], found: tuple[str, str]) -> None:
    assert found in codes(given)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (page(mime="text/html"), ("error", "mime")),
        (page(listed={"uri": URI, "mimeType": "text/html"}), ("warning", "mime-listed")),
        (page(listed=None), ("note", "resource-unlisted")),
        (page(content=None, trouble="no such file"), ("error", "resource-missing")),
        (page("cart"), ("error", "no-html")),
        (page(content={"uri": URI, "mimeType": MIME, "blob": "!"}), ("error", "no-html")),
        (page(ui={"csp": {"connectDomains": ["https://a.example/path"]}}), ("error", "csp-domain")),
        (page(ui={"csp": {"connectDomains": ["http://localhost:3000"]}}), ("error", "csp-domain")),
        (page(ui={"csp": {"connectDomains": "https://a.example"}}), ("error", "csp")),
        (page(ui={"csp": {"connect_domains": []}}), ("error", "csp")),
        (page(ui={"csp": []}), ("error", "csp")),
        (page(ui={"csp": {"connectDomains": ["https://a.example"]}}), ("warning", "csp-unused")),
        (page(ui={"permissions": {"usb": {}}}), ("error", "permission")),
        (page(ui={"permissions": ["camera"]}), ("error", "permission")),
        (page(ui={"prefersBorder": "yes"}), ("error", "ui-meta")),
        (page("<p>no bridge</p>"), ("warning", "no-bridge")),
        (page(HTML + "<script>eval('1')</script>"), ("warning", "eval")),
        (page(HTML + '<script src="./app.js"></script>'), ("error", "relative-url")),
        (page(HTML + '<script src="https://cdn.example/a.js"></script>'), ("error", "csp-undeclared")),
        (page(HTML + "<script>const home = 'https://a.example/'</script>"), ("note", "csp-perhaps")),
    ],
)
def test_resources(given: Page, found: tuple[str, str]) -> None:
    assert found in codes(pages=given)


def test_servers() -> None:
    assert ("note", "ui-not-announced") in codes(announces_ui=False)
    assert ("error", "tool-twice") in codes(tool(), tool())


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TEXT = [{"type": "text", "text": "one"}]


@pytest.mark.parametrize(
    ("result", "found"),
    [
        ({"content": TEXT, "structuredContent": {"n": 1}}, []),
        ({"content": TEXT}, [("error", "structured-missing")]),
        ({"content": TEXT, "structuredContent": {"n": "1"}}, [("error", "structured-mismatch")]),
        ({"content": [], "structuredContent": {"n": 1}}, [("warning", "no-text")]),
        ({"content": TEXT, "isError": True}, [("error", "call-failed")]),
    ],
)
def test_results(result: dict[str, Any], found: list[tuple[str, str]]) -> None:
    call = Call(tool="cart", arguments={}, result=result)
    assert codes(tool(outputSchema=SCHEMA), calls=(call,)) == found


@pytest.mark.parametrize(
    ("html", "kind", "origin", "line"),
    [
        ('<script src="https://a.example/x.js"></script>', "resource", "https://a.example", 1),
        ("\n<link rel=stylesheet href=//a.example/x.css>", "resource", "https://a.example", 2),
        ('<img srcset="https://a.example/1.png 1x, https://b.example/2.png 2x">', "resource", "https://b.example", 1),
        ("<p style=\"background:url('https://a.example/x.png')\">", "resource", "https://a.example", 1),
        ("<style>\n@import 'https://a.example/x.css';</style>", "resource", "https://a.example", 2),
        ("<style>@font-face{src:url(https://a.example/f.woff2)}</style>", "resource", "https://a.example", 1),
        ('<iframe src="https://a.example/"></iframe>', "frame", "https://a.example", 1),
        ('<video poster="https://A.example:8443/x.png"></video>', "resource", "https://a.example:8443", 1),
        ("<script>\n\nfetch('https://a.example/api')</script>", "connect", "https://a.example", 3),
        ("<script>fetch(`https://a.example/${id}`)</script>", "connect", "https://a.example", 1),
        ("<script>x.open('GET', 'https://a.example/')</script>", "connect", "https://a.example", 1),
        ("<script>new EventSource('https://a.example/')</script>", "connect", "https://a.example", 1),
        ("<script>const live = 'wss://a.example/'</script>", "connect", "wss://a.example", 1),
        ("<script type=module>import {a} from 'https://a.example/a.js'</script>", "resource", "https://a.example", 1),
        ("<script type=module>await import('https://a.example/a.js')</script>", "resource", "https://a.example", 1),
        ("<script>image.src = 'https://a.example/a.png'</script>", "resource", "https://a.example", 1),
        ('<script type=importmap>{"a": "https://a.example/a.js"}</script>', "resource", "https://a.example", 1),
        ("<p onclick=\"fetch('https://a.example/')\">", "connect", "https://a.example", 1),
    ],
)  # fmt: skip
def test_origins_that_are_asked_for(html: str, kind: str, origin: str, line: int) -> None:
    assert (kind, origin, line) in [(use.kind, use.origin, use.line) for use in read_document(html).uses]


@pytest.mark.parametrize(
    "html",
    [
        "<!-- <script src='https://a.example/x.js'></script> -->",
        "<script>// fetch('https://a.example/')\n/* fetch('https://a.example/') */</script>",
        "<style>/* url(https://a.example/x.png) */</style>",
        "<a href='https://a.example/'>shown</a>",
        "<script>document.createElementNS('http://www.w3.org/2000/svg', 'svg')</script>",
        "<img src='data:image/png;base64,AAAA'><img src='#x'>",
        '<script type=\'application/json\'>{"at": "https://a.example/"}</script>',
        "<script>fetch(`${base}/x`)</script>",
    ],
)
def test_origins_that_are_not(html: str) -> None:
    assert read_document(html).uses == []


def test_code_made_from_text() -> None:
    assert read_document("<p>eval(1)</p>\n<script>\nnew Function('return 1')</script>").evaluates == (3, False)
    assert read_document("<script>// eval(1)\nmedieval(1); x = 'eval(1)'</script>").evaluates is None
    bundled = "a();" * 300
    assert read_document(f"<script>{bundled}eval('1')</script>").evaluates == (1, True)


@pytest.mark.parametrize(
    ("declared", "origin", "through"),
    [
        ("https://a.example", "https://a.example", True),
        ("https://a.example", "https://b.example", False),
        ("https://*.example", "https://a.example", True),
        ("https://*.a.example", "https://a.example", False),
        ("https://a.example", "http://a.example", False),
        ("http://a.example", "https://a.example", True),
        ("https://a.example", "wss://a.example", True),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example:8443", "https://a.example:8443", True),
    ],
)
def test_what_a_declared_domain_lets_through(declared: str, origin: str, through: bool) -> None:
    assert allows(declared, origin) is through


# --- skills ---

SKILL = "skill://acme/refunds/SKILL.md"
TEXT_OF_IT = b"---\nname: refunds\ndescription: Pay money back\n---\n"
NOTE = b"two\r\nlines"
FIELDS = {"name": "refunds", "description": "Pay money back"}
HINTS = {"ttlMs": 0, "cacheScope": "private"}


def listed(path: str, data: bytes) -> dict[str, Any]:
    file = SkillFile.of(f"skill://acme/refunds/{path}", data)
    return {"uri": file.uri, "digest": file.digest, "size": file.size}


def entry(**more: Any) -> dict[str, Any]:
    files = [listed("SKILL.md", TEXT_OF_IT), listed("notes/a.md", NOTE)]
    return {"uri": SKILL, "frontmatter": FIELDS, "resources": files} | more


def shown(*entries: Any, **more: Any) -> ServedSkills:
    """A good server of one good skill, with what is wrong about it."""
    given = entries or (entry(),)
    children = [
        {"uri": SKILL, "name": "SKILL.md", "mimeType": "text/markdown"},
        {"uri": "skill://acme/refunds/notes", "name": "notes", "mimeType": "inode/directory"},
    ]
    plain: dict[str, Any] = {
        "modern": True,
        "settings": {"directoryRead": True},
        "pages": (Answer({"skills": list(given), **HINTS}),),
        "got": {SKILL: Answer({"skill": given[0], **HINTS})},
        "unknown": Answer(code=-32602, trouble="there is none"),
        "directories": {"skill://acme/refunds": Answer({"resources": children, **HINTS})},
        "files": {each["uri"]: read(each["uri"], data) for each, data in FILES},
        "listed": ({"uri": SKILL, "mimeType": "text/markdown", **FIELDS},),
    }
    return ServedSkills(**plain | more)


def read(uri: str, data: bytes, mime: str = "text/markdown") -> Answer:
    return Answer({"contents": [encode_content(uri, data, mime)]})


def skill_with(head: str, fields: dict[str, Any] | None = None) -> ServedSkills:
    """The skill with another front matter; its entry says `fields`, or what it was."""
    data = f"---\n{head}\n---\n".encode()
    changed = entry(frontmatter=fields or FIELDS, resources=[listed("SKILL.md", data)])
    return shown(changed, files={SKILL: read(SKILL, data)})


def folder_of(*children: Any) -> dict[str, Any]:
    return {"directories": {"skill://acme/refunds": Answer({"resources": list(children), **HINTS})}}


FILES = [(listed("SKILL.md", TEXT_OF_IT), TEXT_OF_IT), (listed("notes/a.md", NOTE), NOTE)]
OWN, OTHER = (each for each, _ in FILES)
HEAD = "name: refunds\ndescription: Pay money back"
NOT_THERE = Answer(code=-32601, trouble="Method not found")
BARE = Answer({"skills": [entry()]})
OLD = {"modern": False, "unknown": None, "got": {}, "directories": {}}


def check_of(skills: ServedSkills) -> list[Finding]:
    return check(Served(name="lab", skills=skills))


def found_of(skills: ServedSkills) -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in check_of(skills)]


def test_a_good_skill_has_nothing() -> None:
    assert found_of(shown()) == []
    assert found_of(shown(**OLD, pages=(BARE,))) == []
    assert found_of(shown(listed=(), files={}, directories={})) == []
    assert codes(skills=shown()) == []


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (shown(resources=False), ("error", "skills-no-resources")),
        (shown(pages=(NOT_THERE,)), ("error", "skills-no-list")),
        (shown(pages=(Answer({**HINTS}),)), ("error", "skills-no-list")),
        (shown(pages=(Answer({"skills": [], "nextCursor": "a", **HINTS}),) * 2), ("error", "skills-no-list")),
        (shown(got={SKILL: NOT_THERE}), ("error", "skills-no-get")),
        (shown(got={SKILL: Answer({"skill": entry(frontmatter={}), **HINTS})}), ("error", "skills-no-get")),
        (shown(unknown=Answer({"skill": entry()})), ("error", "skills-no-get")),
        (shown(unknown=Answer(code=-32603, trouble="a crash")), ("error", "skills-no-get")),
        (shown(entry(), entry()), ("error", "skill-twice")),
        (shown(entry(resources=[OWN, OTHER, OTHER])), ("error", "skill-twice")),
        (shown(entry(uri="skill://acme/refunds")), ("error", "skill-uri")),
        (shown(entry(resources=[OWN, {**OTHER, "uri": "skill://acme/refunds/../a"}])), ("error", "skill-uri")),
        (shown("skill"), ("error", "skill-uri")),
        (shown(entry(frontmatter={**FIELDS, "name": "Refunds"})), ("error", "skill-name")),
        (shown(entry(frontmatter={**FIELDS, "name": "other"})), ("error", "skill-name")),
        (shown(entry(frontmatter={"name": "refunds"})), ("error", "skill-description")),
        (shown(entry(frontmatter=None)), ("error", "skill-frontmatter")),
        (shown(entry(resources=[OTHER])), ("error", "skill-incomplete")),
        (shown(entry(resources=None)), ("error", "skill-incomplete")),
        (shown(entry(resources=[OWN, {**OTHER, "uri": "skill://acme/a"}])), ("error", "skill-outside")),
        (shown(entry(resources=[OWN, {**OTHER, "digest": "md5:0"}])), ("error", "skill-digest")),
        (shown(entry(resources=[OWN, {**OTHER, "size": "9"}])), ("error", "skill-size")),
        (shown(files={OTHER["uri"]: read(OTHER["uri"], b"two\nlines")}), ("error", "skill-size")),
        (shown(files={OTHER["uri"]: read(OTHER["uri"], b"two\n\nlines")}), ("error", "skill-digest")),
        (shown(files={OTHER["uri"]: NOT_THERE}), ("error", "skill-read")),
        (shown(files={OTHER["uri"]: Answer({"contents": []})}), ("error", "skill-read")),
        (shown(files={OTHER["uri"]: Answer({"contents": [{"blob": "!"}]})}), ("error", "skill-read")),
        (skill_with(f"{HEAD}\nlicense: MIT"), ("error", "skill-frontmatter")),
        (skill_with("no yaml"), ("error", "skill-frontmatter")),
        (skill_with(f"{HEAD}\ndraft: yes", {**FIELDS, "draft": True}), ("error", "skill-yaml")),
        (skill_with(f"{HEAD}\ndraft: yes", {**FIELDS, "draft": "yes"}), ("error", "skill-yaml")),
        (shown(directories={"skill://acme/refunds": NOT_THERE}), ("error", "skill-directory")),
        (shown(**folder_of()), ("error", "skill-directory")),
        (shown(**folder_of({"name": "SKILL.md"})), ("error", "skill-directory")),
        (shown(**folder_of({"uri": SKILL}, {"uri": "skill://acme/refunds/notes"})), ("error", "skill-directory")),
        (shown(pages=(BARE,)), ("error", "skill-cache-hints")),
        (shown(got={SKILL: Answer({"skill": entry()})}), ("error", "skill-cache-hints")),
        (
            shown(directories={"skill://acme/refunds": Answer({"resources": [{"uri": SKILL}]})}),
            ("warning", "skill-cache-hints"),
        ),
        (shown(entry(resources=[{**OWN, "size": 2**24}, OTHER])), ("warning", "skill-limit")),
        (shown(entry(resources="dynamic")), ("warning", "skill-dynamic")),
        (shown(listed=({"uri": SKILL[:5] + SKILL[5:], **FIELDS},)), ("warning", "skill-mime")),
        (shown(files={SKILL: read(SKILL, TEXT_OF_IT, "text/plain")}), ("warning", "skill-mime")),
        (shown(listed=({"uri": SKILL, "name": "x/SKILL.md"},)), ("warning", "skill-resource-name")),
        (shown(listed=({"uri": SKILL, "_meta": {"fastmcp": {}}},)), ("warning", "skill-meta-prefix")),
        (shown(entry(frontmatter={**FIELDS, "metadata": {"a": 1}})), ("warning", "skill-metadata")),
        (shown(**OLD, settings=None, pages=(BARE,)), ("warning", "skills-legacy-hidden")),
        (shown(**OLD), ("warning", "skills-cache-leak")),
        (shown(entry(frontmatter={**FIELDS, "allowed-tools": "Bash Read"})), ("note", "skill-allowed-tools")),
        (shown(entry(resources=[OWN, listed("scripts/a.py", b"")])), ("note", "skill-scripts")),
        (shown(listed=({"uri": "skill://index.json"},)), ("note", "skills-old-index")),
    ],
)
def test_skills(given: ServedSkills, found: tuple[str, str]) -> None:
    assert found in found_of(given)


def test_what_is_said_of_skills() -> None:
    scripts = shown(entry(resources=[OWN, *(listed(f"scripts/{n}.py", b"") for n in range(7))]))
    told = [
        finding.what for skills in (scripts, shown(unknown=Answer({"skill": entry()}))) for finding in check_of(skills)
    ]
    assert "has scripts: 0.py, 1.py, 2.py, 3.py, 4.py and 2 more" in told
    assert "answers skills/get of a skill that there is not with a result" in told
