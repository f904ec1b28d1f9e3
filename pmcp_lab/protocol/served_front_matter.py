"""What of a front matter only some readers take as it was meant; who serves a skill keeps clear of it. No I/O.

Readers are PyYAML (YAML 1.1), the core schema of YAML 1.2, and the TypeScript SDK's own parser for a part of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pmcp_lab.protocol.front_matter import LINE_BREAKS_OF_ONE, FrontMatter, same_json

_AMBIGUOUS: Final = (*LINE_BREAKS_OF_ONE, "\r", "\ufeff")
_SAFE_INTEGER: Final = 2**53 - 1


def served_problems(front_matter: FrontMatter) -> list[str]:
    """Why peers would not all read the YAML alike; empty is what a server may serve."""
    problems = list(_syntax_problems(front_matter.source))
    if front_matter.rules != ("---", "---"):
        problems.append("a line --- has spaces after it, which not every reader of skills knows")
    if front_matter.core is None:
        problems.append("YAML 1.2 readers can't read it")
    elif front_matter.old is None:
        problems.append("YAML 1.1 readers, PyYAML among them, make of it what JSON has not, such as a date")
    elif differing := front_matter.differences():
        first = differing[0]
        problems.append(
            f"{first} is {front_matter.old.get(first)!r} to YAML 1.1 readers and {front_matter.core.get(first)!r} to"
            " YAML 1.2 ones: put it in quotes"
        )
    elif not same_json(front_matter.fields, front_matter.cut[0]):
        problems.append(
            "it ends with a block of text, | or >, which keeps its line end for some readers and not for others: write"
            " |- or >-, or put it before another value"
        )
    if _has_large_integer(front_matter.fields):
        problems.append(f"it has a number beyond ±{_SAFE_INTEGER}, which JavaScript rounds: put it in quotes")
    return problems


def _syntax_problems(source: str) -> list[str]:
    """What is read by some alone: the TypeScript SDK has a parser of its own, for a part of YAML."""
    import yaml

    problems = [
        f"it has U+{ord(mark):04X}, which readers take for different things" for mark in _AMBIGUOUS if mark in source
    ]
    found: list[str] = []
    try:
        keys = [token for token in yaml.scan(source, yaml.SafeLoader) if isinstance(token, yaml.KeyToken)]
        if any(source[key.start_mark.index : key.start_mark.index + 1] == "?" for key in keys):
            found.append("keys that are marked with ?")
        found += _rare(source)
    except (yaml.YAMLError, RecursionError):
        problems.append("it can't be read as YAML")
    return [*problems, *(f"it has {what}, which not every reader of skills knows" for what in dict.fromkeys(found))]


def _rare(source: str) -> Iterator[str]:
    import yaml

    flow: list[int] = []
    events: Iterable[Any] = yaml.parse(source, yaml.SafeLoader)
    for event in events:
        start, end = event.start_mark, event.end_mark
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            yield "anchors or aliases"
        elif getattr(event, "tag", None):
            yield "tags"
        elif isinstance(event, yaml.DocumentStartEvent) and event.explicit:
            yield "directives, or more than one document"
        elif isinstance(event, yaml.ScalarEvent):
            yield from _rare_scalar(event, source[start.index : start.index + 3], bool(flow))
            if event.style in ("'", '"'):
                yield from _rare_end(source[end.index :])
        elif isinstance(event, yaml.CollectionStartEvent) and event.flow_style:
            flow.append(start.line)
            if source[start.index] not in "[{":
                yield "a mapping without braces in a list"
        elif isinstance(event, yaml.CollectionEndEvent) and flow:
            yield from _rare_end(source[end.index :])
            if flow.pop() != end.line:
                yield "brackets over several lines"


def _rare_end(rest: str) -> Iterator[str]:
    """What comes after a quote or a bracket that closes."""
    if rest.startswith("#"):
        yield "a comment without a space before it"
    elif re.match(r"[ \t]+:", rest):
        yield "a space between a quoted name and its colon"


def _rare_scalar(event: Any, written: str, in_brackets: bool) -> Iterator[str]:
    if event.style in ("'", '"') and event.start_mark.line != event.end_mark.line:
        yield "a quoted text of several lines"
    elif event.style in ("|", ">") and re.match(r"[|>][-+]?[0-9]", written):
        yield "a block of text with a number for its indentation"
    elif event.value == "__proto__" or (event.value == "=" and not event.style):
        yield f"the name {event.value}"
    elif in_brackets and event.start_mark.index == event.end_mark.index:
        yield "a name without a value in brackets"


def _has_large_integer(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_large_integer, value.values()))
    if isinstance(value, list):
        return any(map(_has_large_integer, value))
    return isinstance(value, int) and abs(value) > _SAFE_INTEGER
