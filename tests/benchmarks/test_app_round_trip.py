"""A tool call of an app (frame, kernel, in-process server, and back), beside a bare echo over a widget's comm.

Both in one notebook of one JupyterLab, in turn: idle, and while a cell sleeps or loops. The echo is an anywidget
that sends back what it got, with the front end's own choice of subshell: without it ipykernel 7.4 answers a busy
kernel's messages after the cell.
"""

from __future__ import annotations

import statistics

import pytest
from playwright.sync_api import Frame

from tests.browser.lab.conftest import Open, lab, lab_page, notebook, own_page, tab  # noqa: F401 - fixtures
from tests.browser.lab.jupyter import Notebook

pytestmark = pytest.mark.usefixtures("own_page")

ROUNDS = 8
CALLS = 10
LIMIT = 1.5

SETUP = """
import time
import anywidget
import pmcp_lab as lab
import traitlets as t
from mcp.server.apps import Apps
from mcp.server.mcpserver import MCPServer


class Echo(anywidget.AnyWidget):
    _esm = '''export default { render({ model }) {
        let number = 0;
        const waiting = new Map();
        model.on("msg:custom", ({ n }) => waiting.get(n)?.());
        window.echo = () => new Promise((resolve) => {
            number += 1;
            waiting.set(number, resolve);
            model.send({ n: number });
        });
    } };'''

    def __init__(self):
        super().__init__()
        self.on_msg(lambda widget, content, buffers: self.send(content))

    @t.observe("comm")
    def _route(self, change):
        if hasattr(change["new"], "_reply_subshell_for"):
            change["new"]._reply_subshell_for = lambda data, subshell: subshell

PAGE = '''<!doctype html><p>app</p><script>
    const waiting = new Map();
    let next = 0;
    addEventListener("message", ({ data }) => waiting.get(data.id)?.(data));
    const rpc = (method, params) => new Promise((resolve) => {
        next += 1;
        waiting.set(next, resolve);
        parent.postMessage({ jsonrpc: "2.0", id: next, method, params }, "*");
    });
    rpc("ui/initialize", { appInfo: { name: "x", version: "1" }, appCapabilities: {}, protocolVersion: "2026-01-26" })
        .then(() => parent.postMessage({ jsonrpc: "2.0", method: "ui/notifications/initialized" }, "*"));
    const call = () => rpc("tools/call", { name: "add", arguments: { a: 1, b: 2 } });
</script>'''
apps = Apps()
apps.add_html_resource("ui://trip/page", PAGE)

@apps.tool(resource_uri="ui://trip/page")
def trip() -> str:
    return "there"

server = MCPServer("trip", extensions=[apps])

@server.tool()
def add(a: int, b: int) -> int:
    return a + b

connected = lab.connect(server)
"""

TIMES = """async ([name, count]) => {
    const times = [];
    for (let n = 0; n < count; n += 1) {
        const began = performance.now();
        await (0, eval)(name)();
        times.push(performance.now() - began);
    }
    return times;
}"""
WITHOUT_EVAL = TIMES.replace("(0, eval)(name)()", "call()")

BUSY = {
    "idle": "None",
    "a cell sleeps": "time.sleep(60)",
    "a cell loops": "end = time.monotonic() + 60\nwhile time.monotonic() < end: sum(range(1000))",
}


def app_frame(book: Notebook) -> Frame:
    for frame in book.page.frames:
        inner = frame.parent_frame is not None and frame.parent_frame.parent_frame is not None
        if inner and frame.evaluate("() => typeof call === 'function'"):
            return frame
    raise AssertionError("the app's frame is not there")


def test_tool_call_of_an_app(notebook: Open) -> None:  # noqa: F811
    book = notebook(SETUP, "Echo()", "connected.app('trip')", *BUSY.values())
    for index in range(3):
        book.run(index)
    book.page.wait_for_function("() => document.querySelector('.pmcp-app-state-text')?.textContent === 'ready'")
    frame = app_frame(book)
    print()
    missed = []
    for place, name in enumerate(BUSY, 3):
        book.start(place)
        book.page.wait_for_timeout(300)
        ours: list[float] = []
        bare: list[float] = []
        ratios: list[float] = []
        for _ in range(ROUNDS):
            mine = frame.evaluate(WITHOUT_EVAL, ["call", CALLS])
            echo = book.page.evaluate(TIMES, ["echo", CALLS])
            ours += mine
            bare += echo
            ratios.append(statistics.median(mine) / statistics.median(echo))
        busy = book.running(place)
        ratio = statistics.median(ratios)
        print(
            f"{name:<14} tool call {statistics.median(ours):5.1f} ms, echo {statistics.median(bare):5.1f} ms, "
            f"ratio {ratio:.2f} ({min(ratios):.2f}..{max(ratios):.2f}), kernel busy: {busy}"
        )
        assert busy == (name != "idle"), "the cell must outlast the measurement"
        if ratio > LIMIT:
            missed.append(f"{name}: {ratio:.2f}")
        if busy:
            book.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")
        book.finish(place)
    if missed:
        pytest.fail(f"over {LIMIT}: {', '.join(missed)}")
