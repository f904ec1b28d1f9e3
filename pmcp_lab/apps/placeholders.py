"""Texts with `{{name}}` in them, as templates have."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pmcp_lab.errors import AppError, nearest

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


def fill_placeholders(text: str, values: Mapping[str, str], *, template: str) -> str:
    """The text with a value in each placeholder's place; other braces stay.

    Args:
        values: By name. More than the text names will do.
        template: What the text is, for the error.

    Raises:
        AppError: The text names a value that there is not.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in values:
            raise AppError(f"{template} names {found[0]}, for which there is no value.{nearest(name, values)}")
        return values[name]

    return _PLACEHOLDER.sub(value, text)
