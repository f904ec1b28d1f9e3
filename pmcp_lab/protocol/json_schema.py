"""`jsonschema`, imported without the grammar of IRIs.

Where JupyterLab is installed, it finds `rfc3987_syntax` and with it a parser that takes seconds to build, in every
process, for one format that hardly a schema names. Here it is built when a format is first compared with that parser.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

_GRAMMAR = "rfc3987_syntax"


def _is_valid_syntax(term: str, value: str) -> bool:
    return bool(import_module(_GRAMMAR).is_valid_syntax(term, value))


def _put_off() -> None:
    if "jsonschema" in sys.modules or _GRAMMAR in sys.modules or find_spec(_GRAMMAR) is None:
        return
    later = ModuleType(_GRAMMAR)
    later.is_valid_syntax = _is_valid_syntax  # type: ignore[attr-defined]
    sys.modules[_GRAMMAR] = later
    try:
        import_module("jsonschema")
    finally:
        del sys.modules[_GRAMMAR]


_put_off()

from jsonschema import Draft202012Validator, FormatChecker, SchemaError, ValidationError  # noqa: E402
from jsonschema.exceptions import UndefinedTypeCheck  # noqa: E402
from jsonschema.validators import extend, validator_for  # noqa: E402

__all__ = [
    "Draft202012Validator",
    "FormatChecker",
    "SchemaError",
    "UndefinedTypeCheck",
    "ValidationError",
    "extend",
    "validator_for",
]
