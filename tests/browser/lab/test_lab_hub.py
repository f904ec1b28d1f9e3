"""JupyterLab as a hub serves it: below a path, with a policy that lets nobody frame it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab.jupyter import Notebook, running_lab, write_notebook

PREFIX = "/user/ann"
POLICY = "frame-ancestors 'none'"


@pytest.mark.usefixtures("own_page")
def test_below_a_path_and_framed_by_nobody(tmp_path: Path, lab_page: Page) -> None:
    headers = {"Content-Security-Policy": POLICY}
    options = [f"--ServerApp.tornado_settings={ {'headers': headers} }"]
    asked: list[str] = []
    lab_page.on("request", lambda request: asked.append(request.url))
    with running_lab(tmp_path, prefix=PREFIX, options=options) as lab:
        write_notebook(
            lab.root / "hub.ipynb",
            [
                "%load_ext pmcp_lab\nimport pmcp_lab as lab\ndemo = lab.connect('demo')",
                "demo.app('wave', frequency=3)",
                "demo.task('train', epochs=3, seconds=1)",
            ],
        )
        book = Notebook(lab, lab_page, "hub.ipynb")
        assert lab_page.request.get(lab_page.url).headers["content-security-policy"] == POLICY
        for index in range(3):
            book.run(index)
        expect(book.cell(1).locator(".pmcp-app-state-text")).to_have_text("ready", timeout=30_000)
        said = book.app(1).locator("#said").inner_text()
        book.app(1).locator("#frequency").fill("9")
        expect(book.app(1).locator("#said")).not_to_have_text(said)
        expect(book.cell(2).get_by_text("completed", exact=True).first).to_be_visible(timeout=30_000)
    elsewhere = {
        url for url in asked if urlsplit(url).scheme in ("http", "https") and not url.startswith(lab.url + "/")
    }
    assert elsewhere == set()
