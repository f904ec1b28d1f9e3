"""JSON Schemas of strangers, and what they are compared with: nothing is fetched for one, and none takes for ever.

A schema is data that a server sent. A `$ref` out of it leads nowhere, a `pattern` has a moment, and so has the whole;
one that can't be used says so, and is left to the server that wrote it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

SECONDS: Final = 1.0
"""For one comparison: a person waits for it."""
PATTERN_SECONDS: Final = 0.1
"""For one `pattern` and one text."""
FORMAT_CHARACTERS: Final = {"iri": 200, "iri-reference": 200}
"""How long a text may be that is compared with a format: a grammar takes a millisecond for each of its characters.
A longer one passes, for a format is a remark (JSON Schema Validation 7.2.1)."""
OTHER_FORMATS_CHARACTERS: Final = 5000
"""For all others: some take the square of the length, and none can be stopped."""


class UnusableSchema(Exception):
    """The schema can't be compared with anything; the text says why."""


class _Overdue(Exception):
    pass


class Comparison:
    """A schema, ready to be compared with values.

    Args:
        formats: Whether a `format` is asked for as well; without it is a remark, as JSON Schema has it.

    Raises:
        UnusableSchema: It is none, or refers to what is not in it.
    """

    def __init__(self, schema: Mapping[str, Any], *, formats: bool = True) -> None:
        from referencing import Registry

        from pmcp_lab.protocol.json_schema import Draft202012Validator, FormatChecker, validator_for

        kind = _bounded(validator_for(schema, default=Draft202012Validator))
        # Without its formats: a pattern may be ECMA's alone, and one that is none is known when it is used.
        wrong = _compared(kind(kind.META_SCHEMA), dict(schema), SECONDS)
        if wrong:
            place = "/".join(map(str, wrong[0].absolute_path)) or "the top"
            raise UnusableSchema(f"it is no JSON Schema: {place}: {wrong[0].message[:120]}")
        # A registry of its own: the library's default one fetches what is not in it.
        checker = FormatChecker() if formats else None
        self._validator: Validator = kind(dict(schema), registry=Registry(), format_checker=checker)

    def errors(self, value: Any, *, seconds: float = SECONDS) -> list[ValidationError]:
        """Where the value does not fit, in the order of the places.

        Args:
            seconds: How long it may take.

        Raises:
            UnusableSchema: It takes longer, is too deep, or refers to what is not in it.
        """
        return sorted(_compared(self._validator, value, seconds), key=lambda error: list(map(str, error.absolute_path)))


def _compared(validator: Validator, value: Any, seconds: float) -> list[ValidationError]:
    from referencing.exceptions import Unresolvable

    from pmcp_lab.protocol.json_schema import UndefinedTypeCheck

    deadline.set(time.monotonic() + seconds)
    try:
        return list(validator.iter_errors(value))
    except Unresolvable as error:
        raise UnusableSchema(f"it refers to {str(error.ref)[:200]!r}, which is not in it") from None
    except UndefinedTypeCheck as error:
        raise UnusableSchema(f"it names a type that there is not: {error.type!r}") from None
    except RecursionError:
        raise UnusableSchema("it goes round in circles, or is too deep") from None
    except ArithmeticError as error:
        raise UnusableSchema(f"its numbers are beyond counting: {error}") from None
    except _Overdue:
        raise UnusableSchema(f"comparing takes more than {seconds:g} s") from None


class _Deadline:
    """Until when the comparison of this thread may go on; comparisons do not nest."""

    def __init__(self) -> None:
        self._of = threading.local()

    def set(self, moment: float) -> None:
        self._of.moment = moment

    def check(self) -> None:
        if time.monotonic() > getattr(self._of, "moment", 0.0):
            raise _Overdue


deadline = _Deadline()


_with_bounds: set[type] = set()


@cache
def _bounded(kind: Any) -> Any:
    """The validator of a draft, with keywords that look at the clock and patterns that end."""
    import attrs

    from pmcp_lab.protocol.json_schema import extend

    known: dict[str, Callable[..., Iterator[ValidationError] | None]] = dict(kind.VALIDATORS)
    known |= {"pattern": _pattern, "patternProperties": _pattern_properties, "uniqueItems": _unique_items}
    known["format"] = _short(known["format"])
    bounded: Any = extend(kind, {name: _timed(keyword) for name, keyword in known.items()})  # type: ignore[no-untyped-call]
    evolve = bounded.evolve

    def evolve_bounded(validator: Any, **changes: Any) -> Any:
        """The library goes on with the draft that a part names as its own (`$schema`), which knows of no bounds."""
        evolved = evolve(validator, **changes)
        if type(evolved) in _with_bounds:
            return evolved
        fields = (field for field in attrs.fields(type(evolved)) if field.init)
        kind: Any = type(evolved)
        return _bounded(kind)(**{field.alias: getattr(evolved, field.name) for field in fields})

    bounded.evolve = evolve_bounded
    _with_bounds.add(bounded)
    return bounded


def _timed(keyword: Callable[..., Iterator[ValidationError] | None]) -> Any:
    def timed(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        deadline.check()
        for error in keyword(validator, value, instance, schema) or ():
            deadline.check()
            yield error

    return timed


def _short(keyword: Callable[..., Iterator[ValidationError] | None]) -> Any:
    def short(validator: Any, name: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        most = FORMAT_CHARACTERS.get(name, OTHER_FORMATS_CHARACTERS) if isinstance(name, str) else 0
        if not isinstance(instance, str) or len(instance) <= most:
            yield from keyword(validator, name, instance, schema) or ()

    return short


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, below in patterns.items():
        for name, each in instance.items():
            if _search(pattern, name):
                yield from validator.descend(each, below, path=name, schema_path=pattern)


def _pattern(validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    from pmcp_lab.protocol.json_schema import ValidationError

    if validator.is_type(instance, "string") and _search(pattern, instance) is False:
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _unique_items(validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """In one pass: the library compares each with each where they can't be sorted."""
    from pmcp_lab.protocol.json_schema import ValidationError

    if wanted and validator.is_type(instance, "array") and len(set(map(_alike, instance))) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


def _alike(value: Any) -> Any:
    """Something that can be put into a set, equal for values that are equal in JSON: 1 is 1.0, and not true."""
    if isinstance(value, list):
        return ("array", *map(_alike, value))
    if isinstance(value, dict):
        return ("object", frozenset((name, _alike(each)) for name, each in value.items()))
    return (isinstance(value, bool), value)


def _search(pattern: str, text: str) -> bool | None:
    """Whether the text has the pattern in it; None where that can't be found out in time, or is no pattern.

    `re` can't be stopped, and holds the interpreter while it searches.
    """
    import regex

    deadline.check()
    try:
        return regex.search(pattern, text, timeout=PATTERN_SECONDS) is not None
    except (regex.error, RecursionError):
        return None
    except TimeoutError:
        deadline.check()
        return None
