"""A new project from a template: its name checked, its files made as text. Nothing is written here.

What all projects share is in `templates/base`, what one has besides in `templates/<name>`. The apps of the demo server
are templates too: their files are taken from there, see `transplant`.
"""

from __future__ import annotations

import json
import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from pmcp_lab.apps.origin import installed_from, requirement
from pmcp_lab.apps.placeholders import fill_placeholders
from pmcp_lab.apps.transplant import transplanted
from pmcp_lab.errors import AppError, nearest

_DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_MAX_NAME_LENGTH = 60
_WINDOWS_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
"""Windows keeps these for itself."""
_RESERVED_PACKAGES = frozenset(
    {"mcp", "mcp_types", "pmcp_lab", "pydantic", "pytest", "test", "tests", "site", "src", "dist", "build"}
)
"""Packages that a project imports, and folders that it has: one of its own by that name would hide them."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """One kind of project.

    Args:
        description: Of the project, and of its server.
        tool, widget: The tool to begin with, and the file that shows it.
        places: What is where, besides what every project has.
        requirements: Packages besides `mcp` and `pmcp_lab`.
        demo: Whether its files are those of the demo server's app of the same name.
    """

    description: str
    tool: str
    widget: str
    places: Mapping[str, str]
    requirements: tuple[str, ...] = ()
    demo: bool = False


TEMPLATES: Mapping[str, Template] = {
    "hello": Template(
        description="Greets people by name, in a few languages.",
        tool="hello",
        widget="hello",
        places={},
    ),
    "chess": Template(
        description="Chess against an opponent, or between two people at one board.",
        tool="chess",
        widget="chess",
        places={"chess/": "the tools, the rules and the opponent"},
        requirements=("chess>=1.11",),
        demo=True,
    ),
    "map": Template(
        description="A map of the world with places to look up.",
        tool="map",
        widget="map",
        places={"map/": "the tools, and the places in `places.csv`"},
        demo=True,
    ),
    "dataviz": Template(
        description="Questions to a database in SQL, answered as tables and charts.",
        tool="dataviz",
        widget="dataviz",
        places={"dataviz/": "the tools, the database that they ask, and what may be drawn"},
        demo=True,
    ),
    "workflow": Template(
        description="Drafts the report of a week, has it approved, and publishes it.",
        tool="draft",
        widget="report",
        places={},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Project:
    """What is to be written.

    Args:
        package: Name of its Python package.
        app: Its namespace in `ui://` addresses.
        contents: Text by path.
    """

    name: str
    package: str
    app: str
    template: str
    contents: dict[str, str]

    @property
    def examples(self) -> dict[str, list[dict[str, object]]]:
        """Arguments by tool, to try it with."""
        read: dict[str, list[dict[str, object]]] = json.loads(self.contents["mock-data/examples.json"])
        return read


def project(name: str, template: str = "hello") -> Project:
    """The files of a new project.

    Raises:
        AppError: The name is not one of a package, or there is no such template. One line.
    """
    if template not in TEMPLATES:
        raise AppError(f"there is no template {template!r}.{nearest(template, TEMPLATES)}")
    chosen = TEMPLATES[template]
    package = package_name(name, chosen.requirements)
    app = package.replace("_", "-")
    origin = installed_from()
    examples = json.loads(_root().joinpath(template, "mock-data", "examples.json").read_text(encoding="utf-8"))
    values = {
        "template": template,
        "name": name,
        "package": package,
        "app": app,
        "title": re.sub(r"[-_.]+", " ", name).strip().capitalize(),
        "description": chosen.description,
        # "python" is the one of whoever starts a host: seldom that of an environment.
        "python": json.dumps(sys.executable)[1:-1],
        "lab": json.dumps(requirement(origin))[1:-1],
        "lab_to_develop": json.dumps(requirement(origin, "apps", "notebook"))[1:-1],
        "tool": chosen.tool,
        "widget": chosen.widget,
        "arguments": json.dumps(json.dumps(examples[chosen.tool][0]))[1:-1],
        "requirements": "".join(f', "{each}"' for each in chosen.requirements),
        "places": "".join(f"| `{package}/{path}` | {what} |\n" for path, what in chosen.places.items()),
    }
    contents: dict[str, str] = {}
    for folder in ("base", *(["demo"] if chosen.demo else []), template):
        for path, text in _walk(_root().joinpath(folder)):
            if path.endswith(".in"):
                text = fill_placeholders(text, values, template=f"{folder}/{path}")
                path = path.removesuffix(".in")
            contents[path.replace("__package__", package)] = text
    if chosen.demo:
        moved = transplanted(template, widget=chosen.widget, app=app)
        contents |= {f"{package}/{path}": text for path, text in moved.items()}
    return Project(name=name, package=package, app=app, template=template, contents=contents)


def package_name(name: str, requirements: tuple[str, ...] = ()) -> str:
    """The Python package of a project, `my-app` → `my_app`.

    Raises:
        AppError: No package can have that name, or it would hide another.
    """
    if not _DISTRIBUTION.fullmatch(name):
        raise AppError(
            f"{name!r} is no name of a package: use letters, digits, '-', '_' and '.', the first and last no sign"
        )
    package = re.sub(r"[-_.]+", "_", name).lower()
    if len(name) > _MAX_NAME_LENGTH:
        raise AppError(f"the name has {len(name)} letters; {_MAX_NAME_LENGTH} are enough")
    if not package.isidentifier():
        raise AppError(f"{name!r} can't be imported as {package!r}: begin with a letter")
    if keyword.iskeyword(package) or keyword.issoftkeyword(package):
        raise AppError(f"{name!r} is a word of the Python language; take another")
    if package in sys.stdlib_module_names:
        raise AppError(f"{name!r} would hide the module {package!r} of Python's library; take another")
    if package in _RESERVED_PACKAGES or package in [re.split(r"\W", each)[0] for each in requirements]:
        raise AppError(f"{name!r} would hide the {package!r} that the project needs; take another")
    if package in _WINDOWS_DEVICES:
        raise AppError(f"{name!r} can't be a folder on Windows; take another")
    return package


def _root() -> Traversable:
    return files("pmcp_lab.apps").joinpath("templates")


def _walk(folder: Traversable, above: str = "") -> list[tuple[str, str]]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            if entry.name != "__pycache__":
                found += _walk(entry, f"{above}{entry.name}/")
        else:
            found.append((above + entry.name, entry.read_text(encoding="utf-8")))
    return found
