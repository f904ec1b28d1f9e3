"""A server's tools in a cell: filtered, unfolded and copied from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.lab.conftest import Open


def test_the_catalogue(notebook: Open, picture: Callable[[str], Path]) -> None:
    book = notebook("%load_ext pmcp_lab\n%mcp connect demo", "%mcp tools", "import time; time.sleep(15)")
    book.run(0)
    book.run(1)
    book.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    book.start(2)  # it needs no kernel
    shown = book.cell(1).get_by_role("region", name="tools of demo")
    entries = shown.get_by_role("listitem")
    every = entries.count()
    assert every >= 5

    shown.get_by_role("searchbox", name="Filter tools").fill("model pretend")
    expect(entries).to_have_count(1)
    expect(shown.get_by_role("status").first).to_have_text(f"1 of {every}")
    shown.get_by_role("searchbox").fill("nothing like that")
    expect(shown.get_by_text("No tools with all of these words.")).to_be_visible()
    shown.get_by_role("searchbox").fill("")

    picture("catalogue-list")

    head = shown.locator("summary").filter(has_text="train")
    head.focus()
    book.page.keyboard.press("Enter")
    row = shown.get_by_role("row").filter(has_text="epochs").first
    expect(row).to_contain_text("Passes over the data")
    expect(row).to_contain_text("default 10")
    shown.get_by_role("button", name="Copy as cell: As call").click()
    expect(shown.get_by_text("Copied: paste it into a cell.")).to_be_visible()
    copied = book.page.evaluate("navigator.clipboard.readText()")
    assert copied.endswith("lab.connected('demo').call('train')")
    assert book.running(2)

    for theme in ("light", "dark"):
        book.theme(theme)
        book.page.wait_for_timeout(600)
        shown.scroll_into_view_if_needed()
        picture(f"catalogue-{theme}")
    book.page.set_viewport_size({"width": 560, "height": 900})
    expect(shown).to_be_visible()
    picture("catalogue-narrow")
    box = shown.bounding_box()
    assert box is not None
    assert box["width"] <= 560
    wide = shown.evaluate("(node) => node.scrollWidth - node.clientWidth")
    assert wide <= 0, "nothing sticks out"


def test_a_slow_call_shows_how_far_it_is(notebook: Open, picture: Callable[[str], Path]) -> None:
    book = notebook(
        "import pmcp_lab as lab\ndemo = lab.connect('demo')",
        "print('before')\nresult = demo.call('train', epochs=8, seconds=4)\nresult.value['epochs']",
    )
    book.run(0)
    book.start(1)
    bar = book.cell(1).get_by_role("progressbar", name="demo.train")
    expect(bar).to_be_visible()
    expect(book.cell(1)).to_contain_text("epoch 4 of 8")
    picture("call-progress")
    outputs = book.finish(1)
    expect(bar).to_have_count(0)
    assert [each.get("data", {}).get("text/plain", each.get("text")) for each in outputs] == ["before\n", "", "8"]
    assert "progress" not in str(outputs)
    picture("call-progress-over")
