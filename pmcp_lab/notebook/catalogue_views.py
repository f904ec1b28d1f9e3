"""A server's tools, resources, prompts and skills as a cell shows them: to be searched, unfolded and copied from.

Nothing is sent after the first time: the page has it all, so it works without a kernel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from keyword import iskeyword
from typing import Any

import traitlets as t

from pmcp_lab.client import (
    Item,
    Listing,
    Prompt,
    Resource,
    SetAside,
    Skill,
    Skills,
    Tool,
    badges,
    first_line,
    size_text,
    type_of,
)
from pmcp_lab.host import built
from pmcp_lab.notebook.arguments import kinds_of, referred, values_of
from pmcp_lab.notebook.live import SavedWidget, script
from pmcp_lab.notebook.saved_html import ROWS, TEXT, block, table, text

DEPTH = 3
"""Objects within objects that are spelt out."""
MOST_FILES = 100
"""Of one skill that are shown; `skill.files` has all."""
_ABOUT = ("name", "type", "about")
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "format": "{}",
    "pattern": "matches {}",
}
_TOLD = ("name", "description")
_EMPTY = {"integer": 0, "number": 0.0, "string": "", "boolean": False, "array": [], "object": {}, "null": None}


class Catalogue(SavedWidget):
    """What a listing of a server shows itself as."""

    _esm = script("cards")
    _css = built("views.css")

    _card = t.Unicode("catalogue").tag(sync=True)
    _catalogue = t.Dict().tag(sync=True)

    def __init__(self, listing: Listing[Any]) -> None:
        self._listing = listing
        if isinstance(listing, Skills):
            items = [*(_skill(each, listing) for each in listing.values()), *map(_set_aside, listing.aside)]
        else:
            items = list(map(_item, listing.values()))
        super().__init__(_catalogue={"server": listing.server, "noun": listing.noun, "items": items})

    def saved(self) -> str:
        return static_catalogue(self._catalogue)

    def __repr__(self) -> str:
        return repr(self._listing)


def _item(item: Item) -> dict[str, Any]:
    tables: list[dict[str, Any]] = []
    code: list[dict[str, str]] = []
    tags: list[str] = []
    match item:
        case Tool():
            output = [{**field, "required": False} for field in fields_of(item.output_schema)]
            tables = _tables(("Arguments", _ABOUT, fields_of(item.input_schema)), ("Result", _ABOUT, output))
            tags = [*badges(item), *_hints(item)]
            ways = ["call", *(["task"] if item.task_support != "forbidden" else [])]
            ways += ["app"] if item.ui.resource_uri else []
            code = [_code(item.server, way, item.name, _examples(item)) for way in ways]
        case Resource():
            tags = [*(["template"] if item.template else []), *([item.mime_type] if item.mime_type else [])]
            code = [_code(item.server, "read", item.uri, dict.fromkeys(item.variables, ""))]
        case Prompt():
            fields = [
                _field(name, "text", str(each.get("description") or ""), required=bool(each.get("required")))
                for name, each in item.arguments.items()
            ]
            tables = _tables(("Arguments", _ABOUT, fields))
            needed = {name: "" for name, each in item.arguments.items() if each.get("required")}
            code = [_code(item.server, "prompt", item.name, needed)]
    return {
        "name": item.key,
        "title": item.title,
        "summary": first_line(item.description or item.title),
        "description": item.description,
        "badges": tags,
        "trouble": "",
        "tables": tables,
        "code": code,
    }


def _skill(skill: Skill, listing: Skills) -> dict[str, Any]:
    more = [_field(key, "", _text(value)) for key, value in skill.frontmatter.items() if key not in _TOLD]
    files = [_field(path, size_text(file.size), "", notes=file.digest) for path, file in skill.files.items()]
    if left := len(files) - MOST_FILES:
        files = [*files[:MOST_FILES], *([_field(f"{left} more", "", "skill.files has them all")] if left > 0 else [])]
    way = f"import pmcp_lab as lab\n\nlab.connected({skill.server!r}).skills[{listing.shortest(skill)!r}].read()"
    return {
        "name": skill.path,
        "title": skill.uri,
        "summary": first_line(skill.description),
        "description": skill.description,
        "badges": [
            skill.extent,
            *(["verified"] if skill.verified else []),
            *(["asks for tools"] if skill.allowed_tools else []),
        ],
        "trouble": "not verified" if skill.verified is False else "",
        "tables": _tables(
            ("Front matter", ("field", "", "value"), more),
            ("Problems", ("", "", "what"), [_field("", "", each) for each in skill.problems]),
            ("Files", ("file", "size", "digest"), files),
        ),
        "code": [{"label": "Read it", "text": way}],
    }


def _set_aside(each: SetAside) -> dict[str, Any]:
    why = "; ".join(each.problems)
    return {
        "name": each.uri or "skills/list",
        "title": each.uri or "skills/list",
        "summary": first_line(why),
        "description": f"The server lists this, and it can't be used: {why}.",
        "badges": [],
        "trouble": "set aside",
        "tables": [],
        "code": [],
    }


def _tables(*tables: tuple[str, Sequence[str], Iterable[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Those that have rows."""
    made = [{"caption": caption, "heads": list(heads), "rows": list(rows)} for caption, heads, rows in tables]
    return [table for table in made if table["rows"]]


def _field(name: str, kind: str, description: str, *, notes: str = "", required: bool = False) -> dict[str, Any]:
    return {"name": name, "type": kind, "required": required, "notes": notes, "description": description}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _hints(tool: Tool) -> list[str]:
    hints = tool.raw.get("annotations") or {}
    if hints.get("readOnlyHint") is True:
        return ["read-only"]
    return ["destructive"] if hints.get("destructiveHint") is True else []


def fields_of(
    schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, prefix: str = ""
) -> Iterator[dict[str, Any]]:
    """The fields of an object's schema, with those of objects in it, as `Field` of `js/MESSAGES.md`."""
    root = schema if root is None else root
    listed = schema.get("properties")
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    for name, described in listed.items() if isinstance(listed, Mapping) else ():
        if not isinstance(described, Mapping):
            continue
        found = {**(referred(described, root) or {}), **described} if "$ref" in described else dict(described)
        yield {
            "name": prefix + str(name),
            "type": type_of(_followed(found, root)),
            "required": name in required,
            "notes": "; ".join(_notes(found)),
            "description": str(found.get("description") or _title(str(name), found)),
        }
        if prefix.count(".") < DEPTH - 1 and isinstance(found.get("properties"), Mapping):
            yield from fields_of(found, root, f"{prefix}{name}.")


def _title(name: str, schema: Mapping[str, Any]) -> str:
    """A title that says more than the name, which is all that generated ones do."""
    title = str(schema.get("title") or "")
    return "" if title.lower().replace(" ", "_") == name.lower() else title


def _followed(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with the references of its alternatives and items followed, for a word on its type."""

    def follow(inner: Any) -> Any:
        return (referred(inner, root) or inner) if isinstance(inner, Mapping) and "$ref" in inner else inner

    found = dict(schema)
    for key in ("anyOf", "oneOf"):
        if isinstance(found.get(key), list):
            found[key] = [follow(each) for each in found[key]]
    if "items" in found:
        found["items"] = follow(found["items"])
    return found


def _notes(schema: Mapping[str, Any]) -> Iterator[str]:
    for key, said in _BOUNDS.items():
        if key in schema:
            yield said.format(schema[key])
    if "default" in schema:
        yield f"default {json.dumps(schema['default'], ensure_ascii=False)}"


def _examples(tool: Tool) -> dict[str, Any]:
    """Something to start from for every argument that is required."""
    schema = tool.input_schema
    found = {}
    for name in tool.required:
        described = tool.arguments.get(name, {})
        values = values_of(described, schema)
        kind = next(iter(sorted(kinds_of(described, schema))), "string")
        found[name] = described.get("default", values[0] if values else _EMPTY.get(kind))
    return found


def _code(server: str, way: str, what: str, arguments: Mapping[str, Any]) -> dict[str, str]:
    named = {key: value for key, value in arguments.items() if key.isidentifier() and not iskeyword(key)}
    rest = {key: value for key, value in arguments.items() if key not in named}
    given = [repr(what), *([repr(rest)] if rest else []), *(f"{key}={value!r}" for key, value in named.items())]
    text = f"import pmcp_lab as lab\n\nlab.connected({server!r}).{way}({', '.join(given)})"
    return {"label": {"read": "Read it", "prompt": "Get it"}.get(way, f"As {way}"), "text": text}


def static_catalogue(catalogue: Mapping[str, Any]) -> str:
    """The same as plain HTML, for where no widget runs. Everything from a server is escaped."""
    items = catalogue["items"]
    more = f"; the first {ROWS:,} are listed" if len(items) > ROWS else ""
    heading = f"<p><b>{len(items):,} {catalogue['noun']}</b> of <code>{text(catalogue['server'])}</code>{more}</p>"
    return heading + "".join(map(_static_item, items[:ROWS]))


def _static_item(item: Mapping[str, Any]) -> str:
    marks = [*item["badges"], *([item["trouble"]] if item["trouble"] else [])]
    tags = "".join(f" [{text(mark)}]" for mark in marks)
    head = f"<code>{text(item['name'])}</code>{tags} {text(item['summary'])}"
    about = f"<p style='white-space:pre-wrap'>{text(item['description'], TEXT)}</p>" if item["description"] else ""
    tables = "".join(map(_static_table, item["tables"]))
    code = "".join(block(each["text"]) for each in item["code"])
    return f"<details><summary>{head}</summary>{about}{tables}{code}</details>"


def _static_table(shown: Mapping[str, Any]) -> str:
    rows = [
        (
            f"<code>{text(field['name'])}</code>",
            f"{text(field['type'])}{' (required)' if field['required'] else ''}",
            text("; ".join(filter(None, (field["description"], field["notes"])))),
        )
        for field in shown["rows"][:MOST_FILES]
    ]
    return f"<p><b>{text(shown['caption'])}</b></p>{table(('name', 'type', 'about'), rows)}"
