"""A notebook that papermill ran, as other people read it: a page without a network, a PDF, on GitHub."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import bleach
import nbformat
import pypdf
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.timeout(180)

PICTURES = Path(os.environ.get("PMCP_LAB_PICTURES", "test-results/pictures"))
CELLS = (
    "import pmcp_lab as lab\ndemo = lab.connect('demo')",
    "run = demo.task('train', epochs=3, seconds=1)\nrun",
    "many = demo.map('train', [{'epochs': epochs, 'seconds': 0.5} for epochs in (2, 3, 4)])\nmany",
    "fails = demo.map('flaky', [{'after': 0.2}, {'after': 0.3}])\nfails",
    "demo.task('publish', model='m</pre><b>1</b>')",
    "demo.app('wave', frequency=3)",
    "demo.tools",
    "demo.tools['train'].form(epochs=5)",
    "flow = demo.workflow('sales_report', region='north')\nflow",
    "run.result(), many.results(), fails.results(return_exceptions=True)\nmany.timeline()",
)
READ = (
    "epoch 3 of 3",
    ": 3 completed",
    "2 failed",
    "needs input",
    "A 3 Hz oscillation",
    "16 tools of demo",
    "Form of demo.train",
    "Workflow demo.sales_report",
)
"""What each of the cells shows, as it ended."""

# The elements and attributes that GitHub's pipeline (html-pipeline 2) leaves. Whoever looks at a notebook there sees
# neither `style` nor `class` nor pictures in `data:`.
GITHUB_TAGS = [
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "h7",
    "h8",
    "br",
    "b",
    "i",
    "strong",
    "em",
    "a",
    "pre",
    "code",
    "img",
    "tt",
    "div",
    "ins",
    "del",
    "sup",
    "sub",
    "p",
    "ol",
    "ul",
    "table",
    "thead",
    "tbody",
    "tfoot",
    "blockquote",
    "dl",
    "dt",
    "dd",
    "kbd",
    "q",
    "samp",
    "var",
    "hr",
    "ruby",
    "rt",
    "rp",
    "li",
    "tr",
    "td",
    "th",
    "s",
    "strike",
    "summary",
    "details",
]
GITHUB_ATTRIBUTES = {
    "*": ["align", "alt", "border", "colspan", "dir", "height", "lang", "open", "rowspan", "span", "title", "width"],
    "a": ["href"],
    "img": ["src"],
}


def run(*command: str, folder: Path, **env: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, folder / "in.ipynb")
    run("papermill", "--no-progress-bar", "in.ipynb", "book.ipynb", folder=folder)
    return folder / "book.ipynb"


@pytest.fixture
def offline(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """A page that reaches files alone, and what it asked for besides."""
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    page = context.new_page()
    asked: list[str] = []

    def refuse(route: Route) -> None:
        if route.request.url.startswith("file:"):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    page.route("**/*", refuse)
    yield page, asked
    context.close()


def take(page: Page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def test_a_page_is_whole_without_a_network(book: Path, offline: tuple[Page, list[str]]) -> None:
    page, asked = offline
    run("nbconvert", "--to", "html", book.name, folder=book.parent)
    page.goto(book.with_suffix(".html").as_uri())
    shown = re.sub(r"\s+", " ", page.locator("main").inner_text())
    for words in READ:
        assert words in shown, words
    assert "model=m</pre><b>1</b>" in shown
    assert page.locator("img").evaluate_all("(all) => all.every((each) => each.naturalWidth > 0)"), "the timeline"
    links = page.locator('a[href^="#pmcp-row-"]')
    assert links.count() == 3
    for link in links.all():
        link.click()
        assert page.evaluate("() => document.querySelector(':target').textContent") in ("0", "1", "2")
    nbconvert = HTMLExporter()
    assert set(asked) <= {nbconvert.require_js_url, nbconvert.mathjax_url}, "what any notebook's page asks for"
    take(page, "converted-light")


def test_it_is_legible_in_the_dark(book: Path, offline: tuple[Page, list[str]], tmp_path: Path) -> None:
    page, _ = offline
    dark = tmp_path / "dark.html"
    dark.write_text(HTMLExporter(theme="dark").from_filename(str(book))[0])
    page.goto(dark.as_uri())
    assert page.locator(".pmcp-saved").count() == 8
    for part in page.locator(".pmcp-saved").all():
        assert part.evaluate("(node) => getComputedStyle(node).color") == "rgb(255, 255, 255)"
    take(page, "converted-dark")


@pytest.fixture
def browsers(chromium: str, tmp_path: Path) -> Path:
    """Where Playwright finds the Chromium that is installed, which nbconvert has no option for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
        asked = subprocess.run(
            [sys.executable, "-c", LAUNCH], capture_output=True, text=True, timeout=60, check=False
        ).stdout
    found = re.search(rf"{re.escape(str(tmp_path))}\S+", asked)
    assert found is not None, asked
    link = Path(found[0])
    link.parent.mkdir(parents=True)
    link.symlink_to(chromium)
    return tmp_path


LAUNCH = """
from playwright.sync_api import Error, sync_playwright
with sync_playwright() as playwright:
    try:
        playwright.chromium.launch()
    except Error as error:
        print(error)
"""


def test_a_pdf_says_the_same(book: Path, browsers: Path) -> None:
    options = ("--to", "webpdf", "--WebPDFExporter.disable_sandbox=True")
    run("nbconvert", *options, book.name, folder=book.parent, PLAYWRIGHT_BROWSERS_PATH=str(browsers))
    pages = pypdf.PdfReader(book.with_suffix(".pdf")).pages
    said = re.sub(r"\s+", "", unicodedata.normalize("NFKC", "".join(page.extract_text() for page in pages)))
    for words in READ:
        assert words.replace(" ", "") in said, words


def test_github_leaves_what_is_to_be_read(book: Path, offline: tuple[Page, list[str]]) -> None:
    page, asked = offline
    parts = []
    for cell in nbformat.read(book, as_version=4).cells:
        for output in cell.outputs:
            html = output["data"].get("text/html", "")
            left = bleach.clean(html, tags=GITHUB_TAGS, attributes=GITHUB_ATTRIBUTES, protocols=["http"], strip=True)
            assert not re.search(r" (style|class)=", left)
            parts.append(left)
    page.set_content(f"<body style='font: 14px sans-serif'>{''.join(parts)}")
    shown = re.sub(r"\s+", " ", page.locator("body").inner_text())
    for words in (*READ, "✓ completed", "✗ failed"):
        assert words in shown, words
    assert page.locator("table").count() >= 6
    assert page.locator("td").first.get_attribute("align") == "left"
    assert asked == []
    take(page, "converted-github")
