"""Reading arguments from the cell below `%%mcp`, and rows from a file."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pmcp_lab.errors import InvalidArguments

_JSON = re.compile(r"\s*(?:\{\s*\"|\[\s*[\[{\"])")
"""How nobody begins but who writes JSON."""
FORMATS = ("auto", "json", "yaml", "python")


def read_body(text: str, form: str, namespace: Mapping[str, Any]) -> Any:
    """What a cell says: JSON, YAML, or Python (an expression, or assignments).

    Args:
        form: One of `FORMATS`; "auto" takes the first that can read it.
        namespace: What Python sees.

    Raises:
        InvalidArguments: It can't be read.
    """
    if not text.strip():
        return {}
    readers = {"json": _json, "yaml": _yaml, "python": _python}
    if form != "auto":
        return readers[form](text, namespace)
    try:
        return json.loads(text)
    except ValueError:
        reader = _python if _is_python(text) else _yaml
    try:
        return reader(text, namespace)
    except InvalidArguments:
        if _JSON.match(text) is None:
            raise
    return _json(text, namespace)  # which says where it is none


def _json(text: str, _namespace: Mapping[str, Any]) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidArguments(f"the cell is not valid JSON: {error}") from None


def _yaml(text: str, _namespace: Mapping[str, Any]) -> Any:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidArguments("the cell is not valid YAML: " + " ".join(str(error).split())) from None
    # YAML has dates of its own, which arguments don't.
    return json.loads(json.dumps(found, default=str))


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def _is_python(text: str) -> bool:
    """Not so `a: 1`, which Python reads as an annotation, nor a word, which it reads as a name."""
    body = (_parsed(text) or ast.Module(body=[], type_ignores=[])).body
    if len(body) == 1 and isinstance(body[0], ast.Expr):
        return not isinstance(body[0].value, ast.Name | ast.Constant)
    return bool(body) and all(isinstance(each, ast.Assign | ast.Import | ast.ImportFrom) for each in body)


def _python(text: str, namespace: Mapping[str, Any]) -> Any:
    tree = _parsed(text)
    if tree is None:
        raise InvalidArguments("the cell is not valid Python")
    try:
        if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr):
            return eval(compile(ast.Expression(tree.body[0].value), "<cell>", "eval"), dict(namespace))  # noqa: S307
        scope: dict[str, Any] = {}
        exec(compile(tree, "<cell>", "exec"), dict(namespace), scope)  # noqa: S102 - it is the person's own cell
    except Exception as error:
        raise InvalidArguments(f"the cell raised {type(error).__name__}: {error}") from None
    kept = {name for each in tree.body if isinstance(each, ast.Assign) for name in map(_name, each.targets)}
    return {name: value for name, value in scope.items() if name in kept}


def _name(target: ast.expr) -> str:
    return target.id if isinstance(target, ast.Name) else ""


def read_rows_file(name: str) -> Any:
    """A file's rows, as `Server.map` takes them.

    Raises:
        InvalidArguments: There is no such file, or it is of another kind.
    """
    import pandas as pd

    path = Path(name).expanduser()
    try:
        match path.suffix.lower():
            case ".csv":
                return pd.read_csv(path)
            case ".parquet":
                return pd.read_parquet(path)
            case ".jsonl":
                return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            case ".json":
                return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, ImportError) as error:
        raise InvalidArguments(f"can't read rows from {name}: {error}") from None
    raise InvalidArguments(f"{name!r} is neither a $variable nor a .csv, .json, .jsonl or .parquet file")
