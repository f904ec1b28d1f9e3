"""The demo server's skills: how to use its training runs and its data, and its workflow told as one.

Each folder here is a skill as it is served.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from pmcp_lab.server import Skill, Skills
from pmcp_lab.workflow import SequentialWorkflow

NAMES = ("asking-the-data", "training-runs")


def demo_skills(workflow: SequentialWorkflow) -> Skills:
    """Those, and that of a workflow, at `skill://demo/…`."""
    # Not as folders: some installers make links of a package's files, and links are not served.
    own = [Skill(dict(_files(files(__package__) / name))) for name in NAMES]
    return Skills(*own, workflow, prefix="demo", ttl="5m", cache_scope="public")


def _files(folder: Traversable, path: str = "") -> Iterator[tuple[str, bytes]]:
    for child in folder.iterdir():
        if child.is_dir():
            yield from _files(child, f"{path}{child.name}/")
        else:
            yield f"{path}{child.name}", child.read_bytes()
