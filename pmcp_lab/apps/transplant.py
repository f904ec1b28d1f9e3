"""Makes the files of a project from those of an app of the demo server, so that there is one source of both.

An app there is a package with relative imports, whose `register(apps)` adds its widget and its tools. A project keeps
its widget in `widgets/`, where it is watched, with what is said of it in a file beside it; the rest stays as it is.
"""

from __future__ import annotations

import ast
import re
from importlib.resources import files

_SAID = ("title", "description", "prefers_border")
"""Arguments of `add_html_resource` that a widget's metadata has."""


def transplanted(demo: str, *, widget: str, app: str) -> dict[str, str]:
    """The files below a project's package.

    Args:
        demo: Name of the app there; also of the package that its modules go to.
        widget: Name of the widget's file.
        app: Its new namespace.

    Raises:
        ValueError: The app does not look as described above.
    """
    # The demo server is above this room; it is read here, not imported.
    folder = files("pmcp_lab").joinpath("demo", demo)
    made: dict[str, str] = {}
    for entry in folder.iterdir():
        if entry.name == "__init__.py":
            source, said = _without_resource(entry.read_text(encoding="utf-8"))
            source, count = re.subn(r'^URI = "ui://[^"]*"', f'URI = "ui://{app}/{widget}"', source, flags=re.MULTILINE)
            if count != 1:
                raise ValueError(f"demo/{demo} does not say its URI")
            made[f"{demo}/__init__.py"] = source
            made[f"widgets/{widget}.yaml"] = said
        elif entry.name == "widget.html":
            made[f"widgets/{widget}.html"] = entry.read_text(encoding="utf-8")
        elif entry.is_file() and not entry.name.endswith(".pyc"):
            made[f"{demo}/{entry.name}"] = entry.read_text(encoding="utf-8")
    return made


def _without_resource(source: str) -> tuple[str, str]:
    """The module without its own server and without adding the widget, and the widget's metadata as YAML."""
    import yaml

    tree = ast.parse(source)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    adding = next(
        statement
        for statement in functions["register"].body
        if isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Attribute)
        and statement.value.func.attr == "add_html_resource"
    )
    assert isinstance(adding.value, ast.Call)
    given = {each.arg: each.value for each in adding.value.keywords}
    said = {name.replace("prefers_", ""): ast.literal_eval(given[name]) for name in _SAID if name in given}
    lines = source.splitlines(keepends=True)
    for node in sorted((adding, functions["build"]), key=lambda node: -node.lineno):
        end = node.end_lineno or node.lineno
        while end < len(lines) and not lines[end].strip():
            end += 1
        del lines[node.lineno - 1 : end]
    text = "".join(lines).replace('"build", ', "")
    return _without_idle_imports(text), yaml.safe_dump(said, sort_keys=False, allow_unicode=True)


def _without_idle_imports(source: str) -> str:
    """Without the names that were imported for what is gone."""
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and not node.level and node.lineno == node.end_lineno:
            names = [each.name for each in node.names]
            used = [name for name in names if name == "annotations" or len(re.findall(rf"\b{name}\b", source)) > 1]
            if used != names:
                lines[node.lineno - 1] = f"from {node.module} import {', '.join(used)}\n" if used else ""
    return "".join(lines)
