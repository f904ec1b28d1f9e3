"""marimo beyond one run of a page: cells that are stopped and run again, what asks in one, and an exported page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import marimo
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.lab.jupyter import ROOT
from tests.browser.marimo.test_marimo import FIRST, app, picture, shown

pytestmark = pytest.mark.timeout(400)

SERVER = '''
import marimo

app = marimo.App()


@app.cell
def _():
    import asyncio
    import pmcp_lab as lab
    from mcp.server.apps import Apps
    from mcp.server.mcpserver import MCPServer
    from pmcp_lab.server import TaskContext, Tasks
    from pmcp_lab.workflow import SequentialWorkflow, Workflows, from_step
    from pydantic import BaseModel

    class Name(BaseModel):
        name: str

    page = """<button>Decide</button><p></p><script>
    const say = (message) => parent.postMessage({jsonrpc: "2.0", ...message}, "*");
    addEventListener("message", ({data}) => {
      if (data.id === 1 && data.result) say({method: "ui/notifications/initialized"});
      if (data.id === 2 && data.result) document.querySelector("p").textContent = data.result.content[0].text;
    });
    document.querySelector("button").onclick = () =>
      say({id: 2, method: "tools/call", params: {name: "decide", arguments: {}}});
    say({id: 1, method: "ui/initialize", params:
      {protocolVersion: "2026-01-26", appInfo: {name: "page", version: "1"}, appCapabilities: {}}});
    </script>"""
    tasks, apps = Tasks("memory://"), Apps()
    apps.add_html_resource("ui://trial/page", page)

    @apps.tool(resource_uri="ui://trial/page")
    def show() -> str:
        return "shown"

    @tasks.tool(support="optional", poll_interval="50ms")
    async def decide(task: TaskContext) -> str:
        answer = await task.elicit("Who decides?", Name)
        return f"decided by {answer.content.name}"

    @tasks.tool(poll_interval="50ms")
    async def slow(task: TaskContext) -> str:
        for step in range(60):
            await task.update(message=f"step {step}")
            await asyncio.sleep(0.2)
        return "slowly done"

    server = MCPServer("trial", extensions=[tasks, apps], middleware=[tasks], log_level="CRITICAL")

    @server.tool()
    def save(text: str) -> dict[str, str]:
        return {"text": f"saved by {text}"}

    approval = (
        SequentialWorkflow("approval", "Ship it")
        .step("approve", execution="manual", question="Ship it?", answer={"name": "string"}, bind="approved")
        .step("end", "save", {"text": from_step("approved", "name")})
    )
    Workflows([approval], tasks).attach(server)
    trial = lab.connect(server)
    return (trial,)


@app.cell
def _(trial):
    wait = trial.task("slow")
    wait
    return (wait,)


@app.cell
def _(wait):
    print("this cell", "waits")
    print("and got:", wait.result().text)
    return


@app.cell
def _(trial):
    trial.workflow("approval")
    return


@app.cell
def _(trial):
    trial.app("show")
    return
'''


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1200, "height": 2400}, color_scheme="light") as context:
        yield context.new_page()


def run_cell(page: Page, code: str) -> None:
    page.locator(".cm-content", has_text=code).first.click()
    page.keyboard.press("Control+Enter")


def test_a_cell_is_stopped_and_run_again_and_what_asks_is_answered(page: Page, tmp_path: Path) -> None:
    (tmp_path / "source.py").write_text(SERVER)
    with shown(page, "edit", tmp_path / "home", tmp_path / "source.py"):
        whole = page.locator("body")
        expect(whole).to_contain_text("this cell waits", timeout=FIRST)
        page.get_by_test_id("interrupt-button").click()
        expect(whole).to_contain_text("This cell was interrupted")
        # The wait has ended, and its task goes on, also on the page.
        card = page.locator(".pmcp-card", has_text="slow")
        expect(card.locator(".pmcp-badge")).to_have_text("working")
        before = card.inner_text()
        expect(card).not_to_have_text(before)
        run_cell(page, "wait.result()")
        expect(whole).to_contain_text("and got: slowly done", timeout=60_000)

        run_cell(page, "trial.workflow(")
        workflow = page.locator(".pmcp-workflow")
        workflow.get_by_label("name").fill("Ada")
        workflow.get_by_role("button", name="Send").click()
        expect(workflow).to_contain_text("saved by Ada")

        run_cell(page, "trial.app(")
        app(page).get_by_role("button", name="Decide").click()
        asked = page.locator(".pmcp-app")
        expect(asked).to_contain_text("Who decides?")
        asked.get_by_label("Name").fill("Grace")
        asked.get_by_role("button", name="Send").click()
        expect(app(page).locator("p")).to_have_text("decided by Grace")


def test_an_exported_page_shows_what_was_shown_last(page: Page, tmp_path: Path) -> None:
    exported = tmp_path / "exported.html"
    source = tmp_path / "source.py"
    source.write_text(EXPORTED)
    command = [sys.executable, "-m", "marimo", "export", "html", str(source), "-o", str(exported), "-f"]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=120)
    page.route("https://**/*", from_marimo)
    page.goto(exported.as_uri())
    expect(page.locator(".pmcp-table")).to_contain_text(re.compile(r"2\s*completed"), timeout=FIRST)
    expect(page.locator(".pmcp-table")).to_contain_text("no live kernel: static snapshot")
    expect(app(page).locator("#said")).to_contain_text("samples")
    picture(page, "exported")


EXPORTED = """
import marimo

app = marimo.App()


@app.cell
def _():
    import pmcp_lab as lab

    demo = lab.connect("demo")
    return (demo,)


@app.cell
def _(demo):
    many = demo.map("train", [{"epochs": epochs} for epochs in (2, 3)], seconds=0.2)
    many.wait()
    many
    return


@app.cell
def _(demo):
    demo.app("wave", frequency=2)
    return
"""


def from_marimo(route: Route) -> None:
    """What an exported page takes from a CDN is marimo's own front end."""
    at = re.fullmatch(r"https://cdn\.jsdelivr\.net/npm/@marimo-team/frontend@[^/]*/dist/([^?]*)", route.request.url)
    file = Path(str(marimo.__file__)).parent / "_static" / (at[1] if at else "")
    if file.is_file():
        route.fulfill(path=file, headers={"access-control-allow-origin": "*"})
    else:
        route.abort()
