"""Task variables: what may be stored, how a change is merged, and typed reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from pmcp_lab.errors import VariableError
from pmcp_lab.protocol.meta import check_variable_name
from pmcp_lab.tasks.json_value import compact_json, copied
from pmcp_lab.tasks.limits import Limits

T = TypeVar("T")


@lru_cache(maxsize=1_024)
def _check_name(name: object, limit: int) -> None:
    if not isinstance(name, str):
        raise VariableError(f"a task variable's name is text, not {name!r}")
    check_variable_name(name)
    if len(name.encode("utf-8", errors="surrogatepass")) > limit:
        raise VariableError(f"a task variable's name may have at most {limit} bytes")


def _check_value(name: str, value: Any, limits: Limits, level: int) -> None:
    if level > limits.variable_depth:
        raise VariableError(f"task variable {name!r} is nested deeper than {limits.variable_depth} levels")
    if isinstance(value, int | float):
        return
    if isinstance(value, str):
        size = len(value.encode("utf-8", errors="surrogatepass"))
        if size > limits.variable_string:
            raise VariableError(
                f"task variable {name!r} holds a text of {size} bytes; at most {limits.variable_string} are allowed"
            )
    elif isinstance(value, Mapping):
        for member in value.values():
            _check_value(name, member, limits, level + 1)
    elif isinstance(value, list | tuple):
        for member in value:
            _check_value(name, member, limits, level + 1)


def merge(present: Mapping[str, Any], change: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """The variables after a change: None deletes, anything else replaces the whole value of its name.

    Raises:
        VariableError: A name is reserved or too long, a value is not JSON, too deep or too long, or all of
            them together are too big. Nothing is merged then.
    """
    merged = dict(present)
    for name, value in change.items():
        _check_name(name, limits.variable_name)
        if value is None:
            merged.pop(name, None)
            continue
        _check_value(name, value, limits, 0)
        try:
            # Read back, so that what is stored is plain JSON and no longer the caller's own object.
            merged[name] = copied(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise VariableError(f"task variable {name!r} can't be written as JSON: {error}") from None
    if len(merged) > limits.variable_keys:
        raise VariableError(f"a task may have at most {limits.variable_keys} variables; this would be {len(merged)}")
    size = len(compact_json(merged))
    if size > limits.variable_bytes:
        raise VariableError(
            f"the task's variables would take {size} bytes; at most {limits.variable_bytes} bytes are allowed"
        )
    return merged


class Variables(Mapping[str, Any]):
    """Variables as last seen, with typed reading: a value of another type reads as the default, never raises.

    `True` is not an int and 42.0 is not an int; a float may be written as an int.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Variables({self._values!r})"

    def text(self, name: str, default: str | None = None) -> str | None:
        value = self._values.get(name)
        return value if isinstance(value, str) else default

    def integer(self, name: str, default: int | None = None) -> int | None:
        value = self._values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    def number(self, name: str, default: float | None = None) -> float | None:
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return default
        try:
            return float(value)
        except OverflowError:
            return default

    def flag(self, name: str, default: bool | None = None) -> bool | None:
        value = self._values.get(name)
        return value if isinstance(value, bool) else default

    def typed(self, name: str, kind: type[T], default: T | None = None) -> T | None:
        """The value as `kind` (anything pydantic can validate), or the default."""
        if name not in self._values:
            return default
        try:
            return TypeAdapter(kind).validate_json(compact_json(self._values[name]), strict=True)
        except ValidationError:
            return default
