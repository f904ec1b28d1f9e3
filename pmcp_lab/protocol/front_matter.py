"""The front matter of a SKILL.md, in both readings that peers have of its YAML (Agent Skills; SEP-2640). No I/O.

YAML 1.1, as PyYAML reads it, takes `yes` for true, `010` for 8 and `1:30` for 90; the core schema of YAML 1.2, which
other languages read, takes them for "yes", 10 and "1:30". Who serves a skill keeps to what both read alike
(`served_front_matter`), who reads one takes either for right (`FrontMatter.matches`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

MAX_BYTES: Final = 65_536
"""Of a front matter; ours, no specification has one. It stands in every listing, and YAML takes its time to read."""
NAME_LENGTH: Final = 64
DESCRIPTION_LENGTH: Final = 1024
COMPATIBILITY_LENGTH: Final = 500

RESERVED_METADATA: Final = "io.modelcontextprotocol/"
"""Keys of `metadata` that begin so are not free."""

_NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MOST_VALUES: Final = 10_000
_DEEPEST: Final = 30
LINE_BREAKS_OF_ONE: Final = ("\x85", "\u2028", "\u2029")
"""They end a line in YAML 1.1, and are letters in YAML 1.2."""


class InvalidFrontMatter(ValueError):
    """There is no front matter, or none that can be read; the text says why."""


@dataclass(frozen=True)
class FrontMatter:
    """What the YAML says."""

    core: dict[str, Any] | None
    """By YAML 1.2's core schema; None where that can't be read, or is nothing that JSON has."""
    old: dict[str, Any] | None
    """By YAML 1.1, likewise: a date is nothing that JSON has."""
    source: str
    """The YAML itself, without the lines `---`."""
    rules: tuple[str, str] = ("---", "---")
    """The lines before and after it, which should have no more than that."""

    @property
    def fields(self) -> dict[str, Any]:
        reading = self.core if self.core is not None else self.old
        assert reading is not None, "read_front_matter gives one with a reading"
        return reading

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Whether an entry's `frontmatter` is that of the file, field by field, by one of the readings."""
        return any(same_json(reading, fields) for reading in (self.core, self.old, *self.cut) if reading is not None)

    @cached_property
    def cut(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Both readings as fastmcp has them, without the line end before the closing `---`.

        They differ where the last value is a block of text, `|` or `>`, that keeps its line end.
        """
        source = self.source.removesuffix("\n")
        return _tried(_load_core, source)[0], _tried(_load_old, source)[0]

    def differences(self, fields: Mapping[str, Any] | None = None) -> list[str]:
        """Keys whose values are not the same in both readings; or, given `fields`, not those of an entry."""
        ours = self.fields
        theirs: Mapping[str, Any] = (self.old or {}) if fields is None else fields
        if fields is None and self.core is None:
            ours, theirs = {}, self.fields
        keys = [*ours, *(key for key in theirs if key not in ours)]
        return [key for key in keys if key not in ours or key not in theirs or not same_json(ours[key], theirs[key])]


def read_front_matter(text: str) -> FrontMatter:
    """The front matter of a SKILL.md: the YAML between its first line, `---`, and the next such line.

    Args:
        text: The whole file. A byte order mark before it, and CRLF, are taken as they are.

    Raises:
        InvalidFrontMatter: It has none, it is larger than `MAX_BYTES`, or neither reading is a mapping in JSON.
    """
    rules, source = _between_rules(text)
    if len(source.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise InvalidFrontMatter(f"its front matter has more than {MAX_BYTES:,} bytes")
    (core, reason), (old, _) = _tried(_load_core, source), _tried(_load_old, source)
    if core is None and old is None:
        raise InvalidFrontMatter(reason)
    return FrontMatter(core=core, old=old, source=source, rules=rules)


def field_problems(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the values of a front matter break of Agent Skills: pairs of the field and a sentence. Unknown keys pass."""
    problems: list[tuple[str, str]] = []
    name = fields.get("name")
    if not isinstance(name, str) or not name:
        problems.append(("name", "it has no name"))
    elif len(name) > NAME_LENGTH or not _NAME.fullmatch(name):
        rule = f"a name has 1 to {NAME_LENGTH} of a-z, 0-9 and single hyphens, none of them at an end"
        problems.append(("name", f"{rule}; this one is {_short(name)!r}"))
    description = fields.get("description")
    if not isinstance(description, str) or not description.strip():
        problems.append(("description", "it has no description"))
    elif len(description) > DESCRIPTION_LENGTH:
        length = f"a description has at most {DESCRIPTION_LENGTH} characters; this one has {len(description)}"
        problems.append(("description", length))
    if "license" in fields and not isinstance(fields["license"], str):
        problems.append(("license", "its license is no text"))
    compatibility = fields.get("compatibility", "any")
    if not isinstance(compatibility, str) or not 1 <= len(compatibility) <= COMPATIBILITY_LENGTH:
        problems.append(("compatibility", f"its compatibility is no text of 1 to {COMPATIBILITY_LENGTH} characters"))
    problems += _metadata_problems(fields.get("metadata", {}))
    if "allowed-tools" in fields and allowed_tools(fields) is None:
        problems.append(("allowed-tools", "its allowed-tools are no text with spaces between the tools"))
    return problems


def allowed_tools(fields: Mapping[str, Any]) -> list[str] | None:
    """Tools that a skill asks for, which grants it none; None where the value is none that was ever allowed.

    It is a text with spaces; a list is what it was formerly.
    """
    value = fields.get("allowed-tools", "")
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return list(value)
    return None


def same_json(one: object, other: object) -> bool:
    """Whether two values are the same in JSON, where 1 is 1.0 and true is not 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return type(one) is type(other) and one == other


# --- reading YAML ---


def _between_rules(text: str) -> tuple[tuple[str, str], str]:
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if lines[0].rstrip(" \t") != "---":
        raise InvalidFrontMatter("it does not begin with a line ---, so it has no front matter")
    for number, line in enumerate(lines[1:], 1):
        if line.rstrip(" \t") == "---":
            return (lines[0], line), "".join(f"{each}\n" for each in lines[1:number])
    raise InvalidFrontMatter("no line --- ends its front matter")


def _tried(load: Callable[[str], dict[str, Any]], source: str) -> tuple[dict[str, Any] | None, str]:
    """What a reading gives, or why it gives nothing."""
    try:
        return load(source), ""
    except InvalidFrontMatter as error:
        return None, str(error)


def _load_old(source: str) -> dict[str, Any]:
    value = _load(source, _old_loader())
    _check_json(value)
    return value


def _load_core(source: str) -> dict[str, Any]:
    """PyYAML ends lines where YAML 1.2 does not: such characters are others while it reads."""
    free = (chr(code) for code in range(0xE000, 0xF900) if chr(code) not in source)
    instead: dict[int, str] = {ord(mark): next(free) for mark in LINE_BREAKS_OF_ONE if mark in source}
    value = _load(source.translate(instead), _core_loader())
    _check_json(value)
    back = {ord(other): chr(mark) for mark, other in instead.items()}
    restored: dict[str, Any] = _translated(value, back) if instead else value
    return restored


def _translated(value: Any, table: dict[int, str]) -> Any:
    match value:
        case dict():
            return {key.translate(table): _translated(each, table) for key, each in value.items()}
        case list():
            return [_translated(each, table) for each in value]
        case str():
            return value.translate(table)
        case _:
            return value


def _load(source: str, loader: Any) -> dict[Any, Any]:
    import yaml

    try:
        value = yaml.load(source, loader)  # noqa: S506 - both are SafeLoaders
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 2}" if error.problem_mark else ""
        raise InvalidFrontMatter(f"its YAML can't be read{where}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise InvalidFrontMatter(f"its YAML can't be read: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise InvalidFrontMatter("its YAML is too deep") from None
    except (ValueError, OverflowError, LookupError, TypeError) as error:
        raise InvalidFrontMatter(f"its YAML has a value that can't be read: {error}") from None
    if not isinstance(value, dict):
        raise InvalidFrontMatter("its front matter is no mapping of names to values")
    return value


def _check_json(value: dict[Any, Any]) -> None:
    """Raises unless JSON has each of the values. Aliases are counted as what they stand for."""
    left = _MOST_VALUES
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        each, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > _DEEPEST:
            raise InvalidFrontMatter("its YAML is too large or too deep")
        match each:
            case dict():
                for key in each:
                    if not isinstance(key, str):
                        raise InvalidFrontMatter(f"its YAML has a key that is no text: {_short(repr(key))}")
                waiting += [(member, depth + 1) for pair in each.items() for member in pair]
            case list():
                waiting += [(member, depth + 1) for member in each]
            case float() if not math.isfinite(each):
                raise InvalidFrontMatter(f"its YAML has {each}, which is no number of JSON")
            case str() if any(0xD800 <= ord(character) < 0xE000 for character in each):
                raise InvalidFrontMatter("its YAML has an escape of what is no character")
            case None | bool() | int() | float() | str():
                pass
            case _:
                raise InvalidFrontMatter(f"its YAML has a {type(each).__name__}, which JSON has not")


@cache
def _old_loader() -> Any:
    from yaml import SafeLoader

    class Loader(SafeLoader):
        construct_mapping = _each_key_once

    return Loader


@cache
def _core_loader() -> Any:
    """PyYAML with the core schema of YAML 1.2 (10.3.2) in the place of 1.1's scalars; it knows no merge key `<<`."""
    from yaml import SafeLoader

    class Loader(SafeLoader):
        yaml_implicit_resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's form
        construct_mapping = _each_key_once

        def flatten_mapping(self, node: Any) -> None:
            pass

        def construct_core_int(self, node: Any) -> int:
            text = self.construct_scalar(node)
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            return int(text[2:] if base != 10 else text, base)

        def construct_core_float(self, node: Any) -> float:
            text = self.construct_scalar(node).lower()
            return float(text.replace(".inf", "inf").replace(".nan", "nan"))

    scalars = {
        "null": (r"null|Null|NULL|~|", ["n", "N", "~", ""]),
        "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
        "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
        "float": (
            r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
            list("-+.0123456789"),
        ),
    }
    for name, (pattern, first) in scalars.items():
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(rf"(?:{pattern})\Z"), first)
    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_core_int)
    Loader.add_constructor("tag:yaml.org,2002:float", Loader.construct_core_float)
    return Loader


def _each_key_once(self: Any, node: Any, deep: bool = False) -> dict[Any, Any]:
    """A mapping as SafeLoader makes it, but with no key twice: some readers keep the first, others the last."""
    from yaml import SafeLoader
    from yaml.constructor import ConstructorError

    seen = set()
    for key, _ in node.value:
        if (key.tag, key.value if isinstance(key.value, str) else id(key)) in seen:
            raise ConstructorError(None, None, f"the key {_short(str(key.value))!r} is there twice", key.start_mark)
        seen.add((key.tag, key.value if isinstance(key.value, str) else id(key)))
    made: dict[Any, Any] = SafeLoader.construct_mapping(self, node, deep=deep)
    return made


def _metadata_problems(metadata: object) -> list[tuple[str, str]]:
    if not isinstance(metadata, Mapping):
        return [("metadata", "its metadata are no mapping of texts to texts")]
    wrong = [str(key) for key, value in metadata.items() if not isinstance(value, str)]
    if wrong:
        return [("metadata", f"its metadata has values that are no text: {', '.join(wrong)}")]
    reserved = [str(key) for key in metadata if str(key).startswith(RESERVED_METADATA)]
    if reserved:
        return [("metadata", f"its metadata has keys that are reserved: {', '.join(reserved)}")]
    return []


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"
