"""The build hook on small trees: when it builds, when it does not, and what it says when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from hatch_build import FrontEnd, FrontEndError

BUILD = """
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
mkdirSync("../pmcp_lab/static", { recursive: true });
writeFileSync("../pmcp_lab/static/view.js", readFileSync("src/view.ts"));
writeFileSync("../runs", "x", { flag: "a" });
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "js/src").mkdir(parents=True)
    (tmp_path / "js/src/view.ts").write_text("export default {};")
    (tmp_path / "js/src/old.ts").touch()
    (tmp_path / "js/build.mjs").write_text(BUILD)
    (tmp_path / "js/package.json").write_text('{"name": "small", "version": "1.0.0", "private": true}')
    (tmp_path / "js/package-lock.json").write_text(
        '{"name": "small", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "small"}}}'
    )
    FrontEnd(tmp_path).make()
    return tmp_path


def builds(tree: Path) -> int:
    FrontEnd(tree).make()
    return len((tree / "runs").read_text())


def test_builds_once(tree: Path):
    assert (tree / "pmcp_lab/static/view.js").read_text() == "export default {};"
    assert builds(tree) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "js/src/view.ts").write_text("export default 1;"),
        lambda tree: (tree / "js/src/new.ts").touch(),
        lambda tree: (tree / "js/src/old.ts").rename(tree / "js/src/other.ts"),
        lambda tree: (tree / "js/build.mjs").write_text(BUILD + "\n"),
        lambda tree: (tree / "js/of-the-script.mjs").write_text("export default 1;"),
        lambda tree: (tree / "pmcp_lab/static/view.js").unlink(),
        lambda tree: (tree / "pmcp_lab/static/view.js").write_text("changed by a watcher"),
    ],
    ids=["edited", "added", "renamed", "build script", "what it imports", "bundle gone", "bundle changed"],
)
def test_builds_again_after_a_change(tree: Path, change):
    change(tree)
    assert builds(tree) == 2
    assert builds(tree) == 2


def test_touching_a_source_changes_nothing(tree: Path):
    (tree / "js/src/view.ts").touch()
    assert builds(tree) == 1


def test_what_is_not_made_any_more_goes(tree: Path):
    (tree / "pmcp_lab/static/gone.css").touch()
    assert builds(tree) == 2
    assert [path.name for path in FrontEnd(tree).bundles()] == ["view.js"]


def test_bundles_alone_are_enough(tree: Path):
    (tree / "js").rename(tree / "elsewhere")
    FrontEnd(tree).make()


def test_neither_sources_nor_bundles_is_one_readable_line(tmp_path: Path):
    with pytest.raises(FrontEndError, match=r"^js/ is missing .* build from a clone or an sdist$"):
        FrontEnd(tmp_path).make()


def test_a_failing_build_is_one_readable_line(tree: Path):
    (tree / "js/build.mjs").write_text("throw new Error('no such widget')")
    with pytest.raises(FrontEndError, match=r"^the front-end build failed in js/ .*no such widget.*$") as caught:
        FrontEnd(tree).make()
    assert "\n" not in str(caught.value)


def test_a_build_that_leaves_nothing_is_not_a_success(tree: Path):
    (tree / "pmcp_lab/static/view.js").unlink()
    (tree / "js/build.mjs").write_text("")
    with pytest.raises(FrontEndError, match="left nothing"):
        FrontEnd(tree).make()
