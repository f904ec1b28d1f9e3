"""A server's skills in a cell: what is in them, what is wrong with one, at any width and in either theme."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.lab.conftest import Open

SERVER = """\
%load_ext pmcp_lab
import pmcp_lab as lab
from mcp.server.mcpserver import MCPServer
from pmcp_lab.client import SetAside
from pmcp_lab.server import Skill, Skills

def skill(name, about, *more, **files):
    head = "\\n".join(["---", f"name: {name}", f"description: {about}", *more, "---", "Do it."])
    return Skill({"SKILL.md": head, **{f"references/{path}.md": text for path, text in files.items()}})

skills = Skills(
    skill("refunds", "Decide on a refund, and write to the customer about it in the tone of the house.",
          "license: MIT", "compatibility: Needs access to the orders", "allowed-tools: orders Bash(git:*)",
          rules="30 days", mail="Dear all"),
    skill("refunds-of-business-customers-in-other-countries", "For customers who have a VAT number.", vat="VAT"),
    prefix="acme/finance",
)
shop = lab.connect(MCPServer("shop", extensions=[skills], middleware=[skills]), name="shop")
listing = shop.skills
listing.aside = (SetAside("skill://acme/broken/SKILL.md", ("it lists skill://acme/broken/a.md twice",)),)
_ = listing["refunds"].read()"""


def test_the_catalogue_of_skills(notebook: Open, picture: Callable[[str], Path]) -> None:
    book = notebook(SERVER, "listing", "listing['refunds']", "listing['refunds'].read()")
    for cell in range(4):
        book.run(cell)
    shown = book.cell(1).get_by_role("region", name="skills of shop")
    entries = shown.get_by_role("listitem")
    expect(entries).to_have_count(3)
    expect(entries.nth(2)).to_contain_text("set aside")
    expect(entries.nth(2)).to_contain_text("it lists skill://acme/broken/a.md twice")

    shown.get_by_role("searchbox", name="Filter skills").fill("VAT number")
    expect(entries).to_have_count(1)
    shown.get_by_role("searchbox").fill("")

    head = shown.locator("summary").filter(has_text="customer about it")
    head.focus()
    book.page.keyboard.press("Enter")
    expect(shown.get_by_role("row").filter(has_text="allowed-tools")).to_contain_text("orders Bash(git:*)")
    expect(shown.get_by_role("row").filter(has_text="references/mail.md")).to_contain_text("8 B")
    expect(shown.get_by_role("columnheader", name="digest")).to_be_visible()
    expect(shown.get_by_role("button", name="Copy as cell: Read it")).to_be_visible()
    expect(book.cell(2)).to_contain_text("a skill of shop")
    expect(book.cell(3)).to_contain_text("SKILL.md · from server shop · verified")

    # The view itself is 400 px wide in the narrower one, beside JupyterLab's own panels.
    for width in (1280, 852):
        book.page.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            book.theme(theme)
            book.page.wait_for_timeout(600)
            shown.scroll_into_view_if_needed()
            picture(f"skills-{theme}-{'wide' if width > 1000 else 'narrow'}")
        box = shown.bounding_box()
        assert box is not None
        assert box["width"] > 800 if width > 1000 else 380 <= box["width"] <= 420
        wide = shown.evaluate("(node) => node.scrollWidth - node.clientWidth")
        assert wide <= 0, "nothing sticks out"
