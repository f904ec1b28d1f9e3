"""What a listing shows itself as."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.client import Prompt, Prompts, Resource, Resources, SetAside, Tool, Tools
from pmcp_lab.errors import SkillUnverified
from pmcp_lab.notebook import Catalogue
from pmcp_lab.notebook.catalogue_views import MOST_FILES
from pmcp_lab.server import Skills as ServedSkills
from tests.unit.skill_folders import skill_md, write

NASTY = "<img src=x onerror=alert(1)>"

TOOLS = Tools(
    "lab",
    [
        Tool(
            "lab",
            {
                "name": "fit",
                "title": "Fit a model",
                "description": f"Fits it.\nLong {NASTY}",
                "annotations": {"readOnlyHint": True},
                "execution": {"taskSupport": "optional"},
                "_meta": {"ui": {"resourceUri": "ui://lab/fit"}},
                "inputSchema": {
                    "type": "object",
                    "required": ["n", "kind", "class"],
                    "$defs": {
                        "Kind": {"enum": ["fast", "good"]},
                        "Options": {
                            "type": "object",
                            "description": "How",
                            "required": ["deep"],
                            "properties": {"deep": {"type": "object", "properties": {"er": {"type": "boolean"}}}},
                        },
                    },
                    "properties": {
                        "n": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How many"},
                        "kind": {"$ref": "#/$defs/Kind"},
                        "options": {"$ref": "#/$defs/Options"},
                        "tags": {"type": "array", "items": {"$ref": "#/$defs/Kind"}, "default": []},
                        "maybe": {"anyOf": [{"type": "string", "format": "uri"}, {"type": "null"}]},
                        "class": {"type": "string"},
                    },
                },
                "outputSchema": {"type": "object", "properties": {"loss": {"type": "number"}}},
            },
        ),
        Tool("lab", {"name": "plain", "inputSchema": {"type": "object"}}),
    ],
)


def shown(listing: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = Catalogue(listing)._catalogue["items"]
    return items


def test_a_schema_is_a_table() -> None:
    fields = {field["name"]: field for field in shown(TOOLS)[0]["tables"][0]["rows"]}
    assert list(fields) == ["n", "kind", "options", "options.deep", "options.deep.er", "tags", "maybe", "class"]
    assert fields["n"] == {
        "name": "n",
        "type": "integer",
        "required": True,
        "notes": "at least 1; at most 9",
        "description": "How many",
    }
    assert fields["kind"]["type"] == '"fast" | "good"'
    assert fields["tags"]["type"] == 'array of "fast" | "good"'
    assert fields["tags"]["notes"] == "default []"
    assert fields["maybe"]["type"] == "string | null"
    assert fields["options"]["description"] == "How"
    assert [fields[name]["required"] for name in ("options", "options.deep", "options.deep.er")] == [False, True, False]
    assert shown(TOOLS)[0]["tables"][1]["rows"][0]["name"] == "loss"


def test_a_schema_that_turns_in_circles_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    tools = Tools("lab", [Tool("lab", {"name": "walk", "inputSchema": {**node, "$defs": {"Node": node}}})])
    assert [field["name"] for field in shown(tools)[0]["tables"][0]["rows"]] == ["next", "next.next", "next.next.next"]


@pytest.mark.parametrize(
    "schema",
    [
        {"required": 5, "properties": []},
        {"required": ["x", None, {}], "properties": {"x": {"anyOf": 3}}},
        {"required": ["x"], "properties": {"x": True}},
        {"required": ["x"], "properties": {"x": {"enum": 3}}},
        {"required": ["x"], "properties": {"x": {"type": 5, "items": [1]}}},
        {"required": ["x"], "properties": {"x": {"$ref": 7}, "y": {"$ref": "#/nowhere"}, "z": {"$ref": "#"}}},
    ],
)
def test_a_schema_that_is_none_hides_no_tool(schema: dict[str, Any]) -> None:
    tools = Tools("lab", [Tool("lab", {"name": "odd", "inputSchema": schema}), *TOOLS.values()])
    assert [item["name"] for item in shown(tools)] == ["odd", "fit", "plain"]


def test_the_code_of_a_cell_is_python() -> None:
    item = shown(TOOLS)[0]
    assert [each["label"] for each in item["code"]] == ["As call", "As task", "As app"]
    assert item["badges"] == ["task", "app", "read-only"]
    for each in item["code"]:
        ast.parse(each["text"])
    assert item["code"][0]["text"].endswith("lab.connected('lab').call('fit', {'class': ''}, n=0, kind='fast')")


def test_resources_and_prompts() -> None:
    resources = Resources(
        "lab",
        [
            Resource("lab", {"uri": "thing://one", "name": "one", "mimeType": "text/plain"}),
            Resource("lab", {"uriTemplate": "thing://{kind}", "name": "many"}),
        ],
    )
    one, many = shown(resources)
    assert one["badges"] == ["text/plain"]
    assert many["badges"] == ["template"]
    assert many["code"][0]["text"].endswith(".read('thing://{kind}', kind='')")
    arguments = [{"name": "who", "required": True, "description": "Whom"}, {"name": "how"}]
    (greet,) = shown(Prompts("lab", [Prompt("lab", {"name": "greet", "arguments": arguments})]))
    assert [field["name"] for field in greet["tables"][0]["rows"]] == ["who", "how"]
    assert greet["code"][0]["text"].endswith(".prompt('greet', who='')")


def test_the_static_form_has_everything_and_trusts_nothing() -> None:
    data, _ = Catalogue(TOOLS)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    for word in ("2 tools</b> of <code>lab<", "fit", "task", "options.deep", "at least 1", "lab.connected("):
        assert word in data["text/html"], word
    assert NASTY not in data["text/html"]
    assert "fit" in data["text/plain"]
    assert TOOLS.search("model")._repr_mimebundle_()[0]["text/html"].count("<details>") == 1


def test_skills(tmp_path: Path) -> None:
    """With what is set aside among them, and no more files than can be looked at."""
    more = {f"shop/{number:03}.md": "x" for number in range(MOST_FILES)}
    head = skill_md("shop", "license: MIT", 'metadata: {a: "b"}', "allowed-tools: Bash", description=NASTY)
    skills = ServedSkills(write(tmp_path, {"shop/SKILL.md": head, **more, "other/SKILL.md": skill_md("other")}))
    server = MCPServer[Any]("lab", extensions=[skills], middleware=[skills], log_level="CRITICAL")
    with lab.connect(server, name="lab") as connected:
        listing = connected.skills
        listing.aside = (SetAside("skill://bad/SKILL.md", (f"it has {NASTY}",)),)
        other, shop, aside = shown(listing)
        assert (shop["name"], shop["title"]) == ("shop", "skill://shop/SKILL.md")
        assert shop["badges"] == ["101 files, 220 B", "asks for tools"]
        front, files = shop["tables"]
        assert [(row["name"], row["description"]) for row in front["rows"]] == [
            ("license", "MIT"),
            ("metadata", '{"a": "b"}'),
            ("allowed-tools", "Bash"),
        ]
        assert front["heads"] == ["field", "", "value"]
        assert len(files["rows"]) == MOST_FILES + 1
        assert files["rows"][0]["type"] == "1 B"
        assert files["rows"][0]["notes"].startswith("sha256:")
        assert files["rows"][-1]["name"] == "1 more"
        ast.parse(shop["code"][0]["text"])
        assert shop["code"][0]["text"].endswith("lab.connected('lab').skills['shop'].read()")
        assert [table["caption"] for table in other["tables"]] == ["Files"]
        assert (aside["name"], aside["trouble"], aside["code"]) == ("skill://bad/SKILL.md", "set aside", [])
        data, _ = Catalogue(listing)._repr_mimebundle_()
        assert "skill://bad/SKILL.md" in data["text/html"]
        assert "set aside: skill://bad/SKILL.md" in data["text/plain"]
        assert NASTY not in data["text/html"]
        listing["other"].read()
        assert "verified" in shown(listing)[0]["badges"]


def test_a_skill_that_is_not_what_it_says_is_marked() -> None:
    command = [sys.executable, str(Path(__file__).parents[2] / "servers" / "odd_skills.py"), "tampered"]
    with lab.connect(command, name="odd") as odd:
        listing = odd.skills
        assert shown(listing)[0]["trouble"] == ""
        with pytest.raises(SkillUnverified):
            listing["refunds"].read("notes.md")
        (item,) = shown(listing)
        assert item["trouble"] == "not verified"
        assert "verified" not in item["badges"]
        problems = {table["caption"]: table for table in item["tables"]}["Problems"]
        assert "has the digest sha256:" in problems["rows"][0]["description"]
        assert "[not verified]" in Catalogue(listing)._repr_mimebundle_()[0]["text/html"]
