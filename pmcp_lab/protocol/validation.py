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

_BOUNDED: Final = ("$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf")
"""Keywords by which a small schema can make a great deal of work."""


class UnusableSchema(Exception):
    """The schema can't be compared with anything; the text says why."""


class _Overdue(Exception):
    pass


class Comparison:
    """A schema, ready to be compared with values.

    Raises:
        UnusableSchema: It is none, or refers to what is not in it.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        import jsonschema
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import validator_for
        from referencing import Registry

        kind = _bounded(validator_for(schema, default=jsonschema.Draft202012Validator))
        try:
            # Not its formats: a pattern may be ECMA's alone, and one that is none is known when it is used.
            kind.check_schema(dict(schema), format_checker=jsonschema.FormatChecker(formats=()))
        except SchemaError as error:
            raise UnusableSchema(f"it is no JSON Schema: {error.message[:200]}") from None
        except RecursionError:
            raise UnusableSchema("it is too deep") from None
        # A registry of its own: the library's default one fetches what is not in it.
        self._validator: Validator = kind(dict(schema), registry=Registry(), format_checker=jsonschema.FormatChecker())

    def errors(self, value: Any, *, seconds: float = SECONDS) -> list[ValidationError]:
        """Where the value does not fit, in the order of the places.

        Args:
            seconds: How long it may take.

        Raises:
            UnusableSchema: It takes longer, is too deep, or refers to what is not in it.
        """
        from jsonschema.exceptions import UndefinedTypeCheck
        from referencing.exceptions import Unresolvable

        deadline.set(time.monotonic() + seconds)
        try:
            found = list(self._validator.iter_errors(value))
        except Unresolvable as error:
            raise UnusableSchema(f"it refers to {str(error.ref)[:200]!r}, which is not in it") from None
        except UndefinedTypeCheck as error:
            raise UnusableSchema(f"it names a type that there is not: {error.type!r}") from None
        except RecursionError:
            raise UnusableSchema("it goes round in circles, or is too deep") from None
        except _Overdue:
            raise UnusableSchema(f"comparing takes more than {seconds:g} s") from None
        return sorted(found, key=lambda error: list(map(str, error.absolute_path)))


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


@cache
def _bounded(kind: Any) -> Any:
    """The validator of a draft, with keywords that look at the clock and patterns that end."""
    from jsonschema.validators import extend

    known: dict[str, Callable[..., Iterator[ValidationError] | None]] = dict(kind.VALIDATORS)
    bounded = {name: _timed(known[name]) for name in _BOUNDED if name in known}
    return extend(  # type: ignore[no-untyped-call]
        kind, {**bounded, "pattern": _pattern, "patternProperties": _pattern_properties}
    )


def _timed(keyword: Callable[..., Iterator[ValidationError] | None]) -> Any:
    def timed(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        deadline.check()
        for error in keyword(validator, value, instance, schema) or ():
            deadline.check()
            yield error

    return timed


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, below in patterns.items():
        for name, each in instance.items():
            if _search(pattern, name):
                yield from validator.descend(each, below, path=name, schema_path=pattern)


def _pattern(validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    if validator.is_type(instance, "string") and _search(pattern, instance) is False:
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


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
