"""Tab completion in Python code that calls tools: their names, their arguments, and the values these may have.

`%mcp` lines are completed in `completion.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from pmcp_lab.client import Server, Tool, writable
from pmcp_lab.errors import LabError
from pmcp_lab.notebook.arguments import values_of

_BY_NAME: Final = ("call", "task", "map", "app", "open_app")
"""What of a `Server` takes a tool's name first."""
_CALLED: Final = ("task", "form")
"""What of a `Tool` takes its arguments by name."""
_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
_STRING: Final = re.compile(r"""[rRbBuUfF]{0,2}(\"\"\"|'''|"|')""")
_NAME: Final = re.compile(r"\w+")
_WORD: Final = re.compile(r"[^\W\d]\w*$")


@dataclass
class _Open:
    """A bracket that is not closed yet.

    Attributes:
        before: The code before it.
        parts: What stands in it so far, by commas; the last part is the one with the cursor.
    """

    kind: str
    before: str
    parts: list[str] = field(default_factory=lambda: [""])


@dataclass
class _Found:
    """What can stand at the cursor.

    Attributes:
        fragment: What of it is written already.
        alone: Whether nothing else can stand there.
    """

    words: list[str]
    fragment: str
    alone: bool = True


def complete_code(code: str, namespace: Mapping[str, Any]) -> _Found | None:
    """What can stand where the code ends, as far as that is about tools; None where it is not.

    Args:
        code: The cell up to the cursor.
        namespace: The variables of the notebook.
    """
    brackets, string = _scan(code)
    if string is None:
        if (attribute := _attribute(code, namespace)) is not None:
            return attribute
        return _argument(brackets, namespace)
    return _in_string(brackets, string, namespace)


def _scan(code: str) -> tuple[list[_Open], str | None]:
    """The brackets that are open where the code ends, outermost first, and what a string that is open there holds."""
    brackets: list[_Open] = []
    at = 0
    while at < len(code):
        begun = at
        if code[at] == "#":
            end = code.find("\n", at)
            at = len(code) if end < 0 else end
            continue
        if string := _STRING.match(code, at):
            closed = _end_of(code, string.end(), string[1])
            if closed is None:
                return brackets, code[string.end() :]
            at = closed
        elif code[at] in "([{":
            brackets.append(_Open(code[at], code[:at]))
            at += 1
            continue
        elif code[at] in _CLOSING:
            if brackets and brackets[-1].kind == _CLOSING[code[at]]:
                inside = brackets.pop()
                begun = len(inside.before)
            at += 1
        elif code[at] == "," and brackets:
            brackets[-1].parts.append("")
            at += 1
            continue
        elif word := _NAME.match(code, at):
            at = word.end()
        else:
            at += 1
        if brackets:
            brackets[-1].parts[-1] += code[begun:at]
    return brackets, None


def _end_of(code: str, at: int, quote: str) -> int | None:
    while at < len(code):
        if code[at] == "\\":
            at += 2
        elif code.startswith(quote, at):
            return at + len(quote)
        elif code[at] == "\n" and len(quote) == 1:
            return at
        else:
            at += 1
    return None


def _attribute(code: str, namespace: Mapping[str, Any]) -> _Found | None:
    """Of `server.tools.…` and `server.tools.name.…`, which have no static type."""
    match = re.search(r"([^\W\d]\w*)\.tools\.(?:(\w+)\.)?(\w*)$", code)
    if match is None or not isinstance(server := namespace.get(match[1]), Server):
        return None
    if match[2] is None:
        return _Found([name for name in dir(server.tools) if not name.startswith("_")], match[3], alone=False)
    tool = server.tools.get(match[2])
    return None if tool is None else _Found([n for n in dir(tool) if not n.startswith("_")], match[3], alone=False)


def _argument(brackets: list[_Open], namespace: Mapping[str, Any]) -> _Found | None:
    """Of a call's argument: its name, or after `=` what it may be."""
    if not brackets or brackets[-1].kind != "(":
        return None
    call = brackets[-1]
    tool, first = _called(call, namespace)
    if tool is None or len(call.parts) <= first:
        return None
    name, equals, value = call.parts[-1].partition("=")
    if equals:
        fits = [repr(each) for each in values_of(tool.arguments.get(name.strip(), {}), tool.input_schema)]
        return _Found(fits, value.strip()) if fits and _is_word(value) else None
    if not _is_word(name):
        return None
    given = {part.partition("=")[0].strip() for part in call.parts[:-1]}
    return _Found([f"{each}=" for each in tool.arguments if each not in given and writable(each)], name.strip())


def _in_string(brackets: list[_Open], string: str, namespace: Mapping[str, Any]) -> _Found | None:
    """Of a tool's name, an argument's as a key, or a value."""
    if not brackets:
        return None
    inner = brackets[-1]
    if inner.kind == "[" and (match := re.search(r"([^\W\d]\w*)\.tools$", inner.before)):
        server = namespace.get(match[1])
        return _Found(list(server.tools), string) if isinstance(server, Server) else None
    if inner.kind == "(":
        server, method = _method(inner, namespace)
        if server is not None and len(inner.parts) == 1 and not inner.parts[0].strip():
            return _Found([tool.name for tool in _takeable(server, method)], string)
        tool, _ = _called(inner, namespace)
        return None if tool is None else _value(tool, inner.parts[-1].partition("=")[0], string)
    if inner.kind == "{":
        # server.task("train", {"…  and  server.map("train", [{"…
        outer = next((each for each in reversed(brackets) if each.kind == "("), None)
        tool = _called(outer, namespace)[0] if outer is not None else None
        if tool is None:
            return None
        key, colon, _ = inner.parts[-1].partition(":")
        if colon:
            return _value(tool, _literal(key) or "", string)
        given = {_literal(part.partition(":")[0]) for part in inner.parts[:-1]}
        return _Found([name for name in tool.arguments if name not in given], string)
    return None


def _value(tool: Tool, name: str, begun: str) -> _Found | None:
    values = values_of(tool.arguments.get(name.strip(), {}), tool.input_schema)
    texts = [each for each in values if isinstance(each, str)]
    return _Found(texts, begun) if texts else None


def _called(call: _Open, namespace: Mapping[str, Any]) -> tuple[Tool | None, int]:
    """The tool that a call calls, and which of its parts is the first that may be an argument of the tool."""
    server, _ = _method(call, namespace)
    if server is not None:
        name = _literal(call.parts[0])
        return (server.tools.get(name) if name is not None else None), 1
    return _tool(call.before, namespace), 0


def _method(call: _Open, namespace: Mapping[str, Any]) -> tuple[Server | None, str]:
    match = re.search(rf"([^\W\d]\w*)\.({'|'.join(_BY_NAME)})\s*$", call.before)
    server = namespace.get(match[1]) if match else None
    return (server, match[2]) if match and isinstance(server, Server) else (None, "")


def _tool(before: str, namespace: Mapping[str, Any]) -> Tool | None:
    """The tool that stands before a bracket: `tool`, `server.tools.tool`, `server.tools["tool"]`, or one of its own
    methods."""
    before = re.sub(rf"\.({'|'.join(_CALLED)})\s*$", "", before.rstrip())
    if match := re.search(r"""([^\W\d]\w*)\.tools(?:\.(\w+)|\[\s*(['"])([^'"]*)\3\s*\])$""", before):
        server = namespace.get(match[1])
        return server.tools.get(match[2] or match[4]) if isinstance(server, Server) else None
    match = re.search(r"(?<![\w.])([^\W\d]\w*)$", before)
    tool = namespace.get(match[1]) if match else None
    return tool if isinstance(tool, Tool) else None


def _takeable(server: Server, method: str) -> Iterator[Tool]:
    for tool in server.tools.values():
        if method.endswith("app"):
            if tool.ui.resource_uri:
                yield tool
        elif "model" in tool.ui.visibility:
            yield tool


def _literal(code: str) -> str | None:
    try:
        value = ast.literal_eval(code.strip())
    except (ValueError, SyntaxError):
        return None
    return value if isinstance(value, str) else None


def _is_word(text: str) -> bool:
    return not text.strip() or _WORD.fullmatch(text.strip()) is not None


def install_matcher(shell: Any) -> None:
    """Have a shell complete calls of tools; once is enough."""

    @context_matcher()  # type: ignore[untyped-decorator]
    def call_matcher(context: CompletionContext) -> SimpleMatcherResult:
        above = context.full_text.split("\n")[: context.cursor_line]
        try:
            found = complete_code("\n".join([*above, context.text_until_cursor]), shell.user_ns)
        except LabError:
            found = None  # the server is away: a completion that fails must not disturb typing
        if found is None:
            return {"completions": []}
        return {
            "completions": [SimpleCompletion(text=word) for word in _fitting(found)],
            "matched_fragment": found.fragment,
            "suppress": found.alone,
        }

    matchers = shell.Completer.custom_matchers
    name = call_matcher.__qualname__
    matchers[:] = [*(each for each in matchers if getattr(each, "__qualname__", "") != name), call_matcher]


def _fitting(found: _Found) -> Iterable[str]:
    return (word for word in found.words if word.startswith(found.fragment))
