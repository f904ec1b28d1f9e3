"""A folder of widgets: its names, what stays outside, what is said of a widget and how it is served."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pmcp_lab.apps import WidgetCsp, WidgetDir
from pmcp_lab.apps.document import error_page, has_bridge, with_bridge
from pmcp_lab.apps.metadata import front_matter, parse_metadata
from pmcp_lab.apps.widget_dir import MAX_WIDGET_BYTES
from pmcp_lab.errors import AppError, UnknownWidget


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "widgets"
    inside.mkdir()
    (inside / "board.html").write_text("<p>board</p>", encoding="utf-8")
    (tmp_path / "secret.html").write_text("secret", encoding="utf-8")
    return inside


def test_files_are_widgets_by_their_stem(folder: Path) -> None:
    for name in ("a_2.html", "notes.txt", "B.html", ".hidden.html", "-x.html", "with space.html", "BIG.HTML"):
        (folder / name).write_text("x")
    (folder / "sub.html").mkdir()
    widgets = WidgetDir(folder, app="chess")
    assert widgets.names() == ["B", "a_2", "board"]
    assert widgets.read("board").uri == widgets.read("board.html").uri == "ui://chess/board"
    assert widgets.read("board").html == "<p>board</p>"
    (folder / "late.html").write_text("x")
    assert "late" in widgets.names()
    # Two apps may have widgets of one name.
    assert WidgetDir(folder, app="go").uri("board") == "ui://go/board"


@pytest.mark.parametrize(
    "name",
    [
        *("../secret", "..", ".", "", "/etc/passwd", "..\\secret", "%2e%2e/secret", "board/../../secret"),
        *("sub/board", "board\x00", "board\n", "~/x", "C:board", "a" * 200, "ui://chess/board", "board.html.html"),
    ],
)
def test_no_other_name_reaches_a_file(folder: Path, name: str) -> None:
    with pytest.raises(UnknownWidget, match="no widget"):
        WidgetDir(folder, app="chess").read(name)


def test_links_lead_nowhere_outside(folder: Path) -> None:
    (folder / "inner.html").symlink_to(folder / "board.html")
    (folder / "outer.html").symlink_to(folder.parent / "secret.html")
    (folder / "dangling.html").symlink_to(folder / "gone.html")
    (folder / "loop.html").symlink_to(folder / "loop.html")
    (folder / "board.yaml").symlink_to(folder.parent / "secret.html")
    widgets = WidgetDir(folder, app="chess")
    assert widgets.names() == ["board", "inner"]
    assert widgets.read("inner").html == "<p>board</p>"
    assert widgets.read("board").problem is None
    with pytest.raises(UnknownWidget):
        widgets.read("outer")
    # A folder that is a link itself is fine: its author chose it.
    (folder.parent / "link").symlink_to(folder)
    assert WidgetDir(folder.parent / "link", app="chess").names() == ["board", "inner"]


@pytest.mark.parametrize("app", ["", "Chess", "a/b", "..", "a b", "-a", "a" * 65, "app\n", "ü"])
def test_a_name_that_no_address_can_hold_is_refused(folder: Path, app: str) -> None:
    with pytest.raises(AppError, match="can't be the name of an app") as caught:
        WidgetDir(folder, app=app)
    assert "\n" not in str(caught.value).replace(repr(app), "")


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AppError, match="there is no folder '.*widgts' with widgets for 'chess'"):
        WidgetDir(tmp_path / "widgts", app="chess")


SAID = """
title: Chess board
description: Two players
csp: {connect: [https://api.example, "wss://live.example:8443"], resources: "https://*.cdn.example"}
permissions: [clipboardWrite]
border: false
"""


def test_metadata_stands_beside_the_file_or_in_its_first_comment(folder: Path) -> None:
    widgets = WidgetDir(folder, app="chess")
    (folder / "board.yaml").write_text(SAID)
    beside = widgets.read("board").metadata
    assert (beside.title, beside.border, beside.permissions) == ("Chess board", False, ("clipboardWrite",))
    assert beside.csp == WidgetCsp(
        connect=("https://api.example", "wss://live.example:8443"), resources=("https://*.cdn.example",)
    )
    (folder / "board.yaml").unlink()
    (folder / "board.html").write_text(f"<!DOCTYPE html>\n<!-- mcp-app{SAID}-->\n<p>hi")
    assert widgets.read("board").metadata == beside
    # The wire's own names are taken too.
    (folder / "board.html").write_text("<p>hi")
    (folder / "board.json").write_text('{"prefersBorder": true, "csp": {"connectDomains": ["https://A.example/"]}}')
    assert widgets.read("board").metadata.border is True
    assert widgets.read("board").metadata.csp.connect == ("https://a.example",)


def test_other_comments_are_comments() -> None:
    for html in (
        "<!-- title: x -->",
        "<p><!-- mcp-app\ntitle: x\n-->",
        "<!-- mcp-apps are fun -->",
        "",
        "<!--mcp-app-->",
    ):
        assert front_matter(html) is None
    assert parse_metadata("", "x").title is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("csp: {connect: [https://api.example/v1]}", "'https://api.example/v1' is no origin"),
        ("csp: {connect: ['*']}", r"'\*' is no origin"),
        ("csp: {connect: [api.example]}", "'api.example' is no origin"),
        ("csp: {connect: ['https://a.example; script-src *']}", "is no origin"),
        ("csp: {connect: ['http://localhost:3000']}", "is no origin"),
        ("csp: {connect: [127.0.0.1]}", "is no origin"),
        ("csp: {connect: [1]}", "is no origin"),
        ("csp: {conect: [https://a.example]}", "csp: 'conect' is nothing.*'connect'"),
        ("csp: https://a.example", "csp must be names"),
        ("csp: {connect: {a: 1}}", "csp connect must be a list"),
        ("permissions: [clipbord]", "'clipbord' is no permission"),
        ("border: maybe", "border must be true or false"),
        ("title: [a]", "title must be text"),
        ("titel: a", "'titel' is nothing.*'title'"),
        ("prefersBorder: true\nborder: false", "'border' is said twice"),
        ("- a", "must be names with values"),
        ("a: b: c", "no YAML"),
        ("!!python/object/apply:os.system [echo]", "no YAML"),
    ],
)
def test_what_cannot_be_said_is_one_line_that_names_the_file(said: str, words: str) -> None:
    with pytest.raises(AppError, match=words) as caught:
        parse_metadata(said, "board.yaml")
    assert str(caught.value).startswith("board.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_no_host_would_take_is_a_page(folder: Path) -> None:
    os.truncate(folder / "board.html", MAX_WIDGET_BYTES + 1)
    assert WidgetDir(folder, app="chess").read("board").problem == "board.html is larger than 16 MB"


def test_what_cannot_be_shown_is_a_page_without_paths_and_without_markup(folder: Path) -> None:
    widgets = WidgetDir(folder, app="chess")
    (folder / "board.html").write_bytes(b"<p>\xff")
    widget = widgets.read("board")
    assert widget.problem == "board.html is not UTF-8 (byte 3)"
    assert str(folder) not in widget.html
    (folder / "board.html").write_text("<p>hi")
    (folder / "board.yaml").write_text("'<script>alert(1)</script>': 1")
    widget = widgets.read("board")
    assert "<script>" not in widget.html
    assert "&lt;script&gt;alert(1)" in widget.html
    assert "<b>" not in error_page("<b>x", "<b>")


@pytest.mark.parametrize(
    "html",
    [
        "<!doctype html><html><head><title>x</title></head><body>hi</body></html>",
        "\ufeff<!-- <head> --><!DOCTYPE html SYSTEM 'about:legacy-compat'>\n<html><body>",
        "<p>no head, and a comment: <!-- </head> -->",
        "<script>const text = '</head>'</script>",
        "",
    ],
)
def test_the_bridge_comes_first_and_once(html: str) -> None:
    served = with_bridge(html)
    before, _, after = served.partition("<script data-pmcp-bridge=")
    assert before + after.partition("</script>")[2] == html
    assert "<" not in before.replace("<!-- <head> -->", "").replace("<!doctype html>", "").replace(
        "<!DOCTYPE html SYSTEM 'about:legacy-compat'>", ""
    )
    assert with_bridge(served) == served


@pytest.mark.parametrize(
    "html",
    [
        "<script type=module>import {App} from 'https://esm.sh/@modelcontextprotocol/ext-apps'</script>",
        '<script>parent.postMessage({jsonrpc: "2.0", id: 1, method: "ui/initialize"}, "*")</script>',
        '<script src="node_modules/@pmcp-lab/bridge/bridge.js"></script>',
    ],
)
def test_a_widget_with_a_bridge_of_its_own_gets_none(html: str) -> None:
    assert has_bridge(html)
    assert with_bridge(html) == html


@pytest.mark.parametrize(
    "html",
    [
        "<!-- like @modelcontextprotocol/ext-apps, 'ui/initialize', <script data-pmcp-bridge> --><p>hi",
        "<p>Built with @modelcontextprotocol/ext-apps in mind; says ui/initialize for itself.",
        "<script>window.openai.callTool('x'); // data-pmcp-bridge</script>",
    ],
)
def test_a_widget_that_only_speaks_of_one_gets_it(html: str) -> None:
    assert not has_bridge(html)
    assert has_bridge(with_bridge(html))
