"""A bare page with the built bundles, real frames in Chromium's engine, and a listener for whatever leaks.

No Jupyter here: the page plays the notebook, a mock model plays the kernel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, FrameLocator, Page

HERE = Path(__file__).parent
JS = HERE.parents[2] / "js"

#: What the kernel would compute for a resource that declares nothing.
CSP = (
    "default-src 'none'; script-src 'report-sample' 'unsafe-inline' blob: data:; style-src 'unsafe-inline' blob: data:; "
    "img-src data: blob:; font-src data: blob:; media-src data: blob:; connect-src 'none'; "
    "worker-src blob: data:; frame-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'"
)

PAGE = """<!doctype html><meta charset="utf-8"><title>bare page</title>
<style>body{margin:16px;font-family:sans-serif}</style>
<body data-jp-theme-light="true"><div id="cell"></div><script src="/harness.js"></script>"""


def _serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser(headless_shell: Browser) -> Browser:
    return headless_shell


@pytest.fixture(scope="session")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundles, built once for this run."""
    if not (JS / "node_modules").is_dir() or shutil.which("node") is None:
        pytest.skip("needs node and `npm ci` in js/")
    out = tmp_path_factory.mktemp("static")
    subprocess.run(["node", "build.mjs", "--outdir", str(out)], cwd=JS, check=True, capture_output=True)
    return out


@pytest.fixture(scope="session")
def api_hits() -> list[str]:
    """Requests below `/api/` of the page's own origin, where Jupyter has its REST API."""
    return []


@pytest.fixture(scope="session")
def site(static: Path, api_hits: list[str]) -> Iterator[str]:
    """The address of the bare page."""
    types = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/api/"):
                api_hits.append(self.path)
                body, kind = b"{}", types.get(Path(path).suffix, "application/json")
            elif path == "/":
                body, kind = PAGE.encode(), "text/html"
            else:
                name = Path(path).name
                source = static / name if path.startswith("/static/") else HERE / name
                if not source.is_file():
                    self.send_error(404)
                    return
                body, kind = source.read_bytes(), types.get(source.suffix, "text/plain")
                if name in {"cards.js", "task-table.js"}:
                    body = (static / "views.js").read_bytes() + body
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            if path == "/":
                self.send_header("Set-Cookie", "secret=cookie; SameSite=Lax")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    yield from _serve(Handler)


@dataclass
class Attacker:
    """A server that writes down every request it gets."""

    url: str = ""
    hits: list[str] = field(default_factory=list)


@pytest.fixture
def attacker() -> Iterator[Attacker]:
    """Where a hostile app would send what it finds."""
    yield from serve_attacker()


def serve_attacker() -> Iterator[Attacker]:
    found = Attacker()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.hits.append(f"{self.command} {self.path}")
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        do_POST = do_OPTIONS = do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    for found.url in _serve(Handler):
        yield found


@pytest.fixture
def bare(browser: Browser, site: str) -> Iterator[Page]:
    """A fresh page; an error in our own scripts fails the test."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    page = context.new_page()
    errors: list[str] = []

    def note(error: Error) -> None:
        # What a hostile app throws is its own business.
        if "/static/" in (error.stack or "") or "/harness.js" in (error.stack or ""):
            errors.append(str(error))

    page.on("pageerror", note)
    page.goto(site)
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def open_app(bare: Page) -> Callable[..., Page]:
    """Opens the app view with the given HTML; the traits can be overridden by name.

    `onrpc` is a function of the page that is given what the kernel would be, and answers by `model.say`.
    """

    def opener(html: str, *, options: dict[str, Any] | None = None, onrpc: str | None = None, **traits: Any) -> Page:
        resource = {
            "uri": "ui://demo/app",
            "html": html,
            "csp": CSP,
            "allow": "",
            "name": "Demo app",
            "prefersBorder": True,
        }
        resource.update(traits.pop("resource", {}))
        state: dict[str, Any] = {
            "_resource": resource,
            "_call": {
                "tool": {"name": "show", "inputSchema": {"type": "object"}},
                "arguments": {"city": "Bern"},
                "result": {"content": [{"type": "text", "text": "sunny"}]},
                "cancelled": None,
                "error": None,
            },
            "_host": {
                "info": {"name": "pmcp_lab", "version": "0.1.0"},
                "capabilities": {"serverTools": {}, "openLinks": {}, "logging": {}},
                "initTimeout": 10_000,
                "server": "demo",
                "policy": {"csp": CSP, "allow": ""},
            },
            "_closed": False,
        }
        state.update(traits)
        bare.evaluate("([s, o]) => open_widget('app-view', s, o)", [state, {"onrpc": onrpc, **(options or {})}])
        return bare

    return opener


@pytest.fixture
def app() -> Callable[..., str]:
    """The test app's HTML, which says hello at once, with one more script at its end."""
    html = (HERE / "app.html").read_text()
    return lambda script="": f"{html}<script>{script}</script>" if script else html


@pytest.fixture
def inner(bare: Page) -> Callable[[], FrameLocator]:
    """The app's own document."""
    return lambda: bare.frame_locator("#cell iframe.pmcp-app-frame").frame_locator("iframe")


def _bundle(static: Path, name: str, *, sdk: str | None = None) -> Path:
    """A TypeScript module of this folder with all it imports.

    Args:
        sdk: A module of this folder that is put in the official SDK's place.
    """
    bundle = static / (f"{name}.js" if sdk is None else f"{name}-{sdk}.js")
    esbuild = JS / "node_modules" / ".bin" / "esbuild"
    command = [str(esbuild), str(HERE / f"{name}.ts"), "--bundle", "--format=esm", "--minify", f"--outfile={bundle}"]
    if sdk is not None:
        command.append(f"--alias:@modelcontextprotocol/ext-apps={HERE / sdk}.ts")
    environment = {**os.environ, "NODE_PATH": str(JS / "node_modules")}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return bundle


@pytest.fixture(scope="session")
def sdk_app(static: Path) -> str:
    """An app built on the official SDK."""
    script = _bundle(static, "sdk-app").read_text().replace("</script", "<\\/script")
    return f"<!doctype html><p id=log></p><script type=module>{script}</script>"


@pytest.fixture(scope="session")
def bridge(static: Path) -> Callable[..., str]:
    """The element with our bridge that `pmcp_lab.apps` puts into documents."""
    script = (static / "bridge.js").read_text()
    return lambda host="standard": f'<script data-pmcp-bridge="{host}">{script}</script>'


@pytest.fixture(scope="session")
def bridge_app(static: Path, bridge: Callable[..., str]) -> str:
    """The app of `sdk_app`, on our bridge."""
    script = _bundle(static, "sdk-app", sdk="bridge-as-sdk").read_text().replace("</script", "<\\/script")
    return f"<!doctype html>{bridge()}<p id=log></p><script type=module>{script}</script>"


@pytest.fixture(scope="session")
def official_host(static: Path) -> str:
    """The address of a module that shows an app as the official `AppBridge` does."""
    return f"/static/{_bundle(static, 'official-host').name}"
