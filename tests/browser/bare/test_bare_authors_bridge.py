"""The bridge that widgets are given: beside the official SDK's in the official host, and in each kind of host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.bare.test_bare_app_oracle import ANSWERS, CALL, CAPABILITIES, HOST_EAR
from tests.browser.conftest import press

SHOW = "async ([from, session]) => { (await import(from)).show(session) }"


def session(html: str, text: str = "everything") -> dict[str, Any]:
    return {
        "html": html,
        "info": {"name": "host", "version": "1"},
        "capabilities": CAPABILITIES,
        "context": {"theme": "light", "displayMode": "inline"},
        "input": {"city": "Bern"},
        "result": {"content": [{"type": "text", "text": text}]},
    }


def conversation(page: Page) -> list[Any]:
    """What the app said, without what a bridge chooses freely: its numbers and tokens, and how tall it finds itself."""
    heard: list[dict[str, Any]] = page.evaluate("() => window.heard")
    chosen = {"width": 300, "height": 200}
    return [
        (message["method"], {key: value for key, value in message.get("params", {}).items() if key != "_meta"})
        for message in heard
        if "method" in message and (message["method"] != "ui/notifications/size-changed" or message["params"] == chosen)
    ]


def test_it_says_in_the_official_host_what_the_official_sdk_says(
    bare: Page, sdk_app: str, bridge_app: str, official_host: str
) -> None:
    said: dict[str, tuple[str, list[Any]]] = {}
    for name, html in {"sdk": sdk_app, "bridge": bridge_app}.items():
        bare.reload()
        bare.evaluate(HOST_EAR)
        bare.evaluate(SHOW, [official_host, session(html)])
        log = bare.frame_locator("iframe.official").locator("#log")
        expect(log).to_contain_text("end;")
        said[name] = log.inner_text(), conversation(bare)
    assert said["bridge"] == said["sdk"]


def test_it_runs_in_our_host(open_app: Callable[..., Page], inner: Callable[[], FrameLocator], bridge_app: str) -> None:
    page = open_app(bridge_app, onrpc=ANSWERS, _call=CALL, resource={"legacy": False})
    page.evaluate("() => addEventListener('click', (event) => event.target.tagName === 'A' && event.preventDefault())")
    press(page.get_by_role("button", name="Open", exact=True))
    log = inner().locator("#log")
    expect(log).to_contain_text("end;")
    expect(log).to_contain_text('input {"city":"Bern"};result everything;call 4;bad -32602;')


STYLES = {
    # Each of them is how the reference's widgets are written; all three failed in its own preview.
    "inline, while parsing": """<script>
        mcpBridge.callTool("add", {a: 1}).then((r) => { out.textContent = `${r.success} ${r.content[0].text}` })
      </script>""",
    "at DOMContentLoaded": """<script>
        addEventListener("DOMContentLoaded", async () => {
          const r = await window.openai.callTool("add", {a: 1});
          out.textContent = `${r.success} ${r.content[0].text}` })
      </script>""",
    "module": """<script type=module>
        const app = new McpApps.App({name: "m", version: "1"});
        await app.connect();
        const r = await app.callServerTool({name: "add", arguments: {a: 1}});
        out.textContent = `true ${r.content[0].text}`;
      </script>""",
}


@pytest.mark.parametrize("style", STYLES)
def test_it_is_there_before_any_script_of_the_widget(
    bare: Page, bridge: Callable[..., str], official_host: str, style: str
) -> None:
    bare.evaluate(HOST_EAR)
    html = f"<!doctype html>{bridge()}<p id=out></p>{STYLES[style]}"
    bare.evaluate(SHOW, [official_host, session(html)])
    expect(bare.frame_locator("iframe.official").locator("#out")).to_have_text("true 4")
    handshakes = [method for method, _ in conversation(bare) if method == "ui/initialize"]
    assert len(handshakes) == 1


def test_the_input_and_the_result_reach_who_comes_late_and_old_names_too(
    bare: Page, bridge: Callable[..., str], official_host: str
) -> None:
    late = """<p id=out></p><p id=old></p><script>
      const app = new McpApps.App({name: "late", version: "1"});
      app.connect().then(() => setTimeout(() => {
        app.ontoolinput = ({arguments: given}) => { out.textContent += given.city };
        app.ontoolresult = ({content}) => { out.textContent += content[0].text };
        old.textContent = JSON.stringify([openai.toolInput, openai.toolOutput]);
      }, 300));
    </script>"""
    bare.evaluate(SHOW, [official_host, session(f"<!doctype html>{bridge()}{bridge()}{late}", "sunny")])
    app = bare.frame_locator("iframe.official")
    expect(app.locator("#out")).to_have_text("Bernsunny")
    expect(app.locator("#old")).to_have_text('[{"city":"Bern"},"sunny"]')


def test_a_widget_that_says_nothing_is_an_app_all_the_same(
    bare: Page, bridge: Callable[..., str], official_host: str
) -> None:
    bare.evaluate(HOST_EAR)
    still = f"<!doctype html>{bridge()}<title>Still</title><div style='height: 123px'></div>"
    bare.evaluate(SHOW, [official_host, session(still)])
    bare.wait_for_function("() => window.heard?.some((m) => m.method === 'ui/notifications/size-changed')")
    said = conversation(bare)
    assert said[0][1]["appInfo"] == {"name": "Still", "version": "0"}
    assert said[1][0] == "ui/notifications/initialized"


WIDGET = """<p id=out></p><script>
  const app = new McpApps.App({name: "w", version: "1"});
  const say = (text) => { out.textContent += `${text};` };
  app.ontoolinput = ({arguments: given}) => say(`input ${given.city}`);
  app.ontoolresult = ({structuredContent}) => say(`result ${structuredContent.sun}`);
  app.connect().then(async () => {
    const {structuredContent} = await app.callServerTool({name: "add", arguments: {a: 1}});
    say(`call ${structuredContent.sum}`);
    await app.sendMessage({role: "user", content: [{type: "text", text: "hello"}]});
    await app.openLink({url: "https://example.org/"});
    say("end");
  });
</script>"""


def test_one_widget_runs_on_chatgpts_own_bridge(bare: Page, bridge: Callable[..., str]) -> None:
    chatgpt = """<script>window.said = []; window.openai = {
      theme: "dark", locale: "de", displayMode: "inline", toolInput: {city: "Bern"}, toolOutput: null,
      callTool: async (name, args) => { said.push(["callTool", name, args]); return {sum: 2} },
      sendFollowUpMessage: async (given) => { said.push(["sendFollowUpMessage", given]) },
      openExternal: async (given) => { said.push(["openExternal", given]) },
      notifyIntrinsicHeight: () => {},
    };
    setTimeout(() => { openai.toolOutput = {sun: true};
      dispatchEvent(new CustomEvent("openai:set_globals", {detail: {globals: {toolOutput: {sun: true}}}})) }, 200)
    </script>"""
    bare.set_content(f"<!doctype html>{chatgpt}{bridge('chatgpt')}{WIDGET}")
    out = bare.locator("#out")
    expect(out).to_contain_text("end;")
    expect(out).to_contain_text("result true;")
    assert out.inner_text().startswith("input Bern;")
    assert bare.evaluate("() => said") == [
        ["callTool", "add", {"a": 1}],
        ["sendFollowUpMessage", {"prompt": "hello"}],
        ["openExternal", {"href": "https://example.org/"}],
    ]


def test_one_widget_runs_in_a_host_of_mcp_ui(bare: Page, bridge: Callable[..., str]) -> None:
    bare.evaluate(
        """(html) => {
          window.asked = [];
          const frame = document.createElement("iframe");
          frame.className = "mcp-ui";
          frame.setAttribute("sandbox", "allow-scripts");
          addEventListener("message", ({data: {type, messageId, payload}}) => {
            const post = (message) => frame.contentWindow.postMessage(message, "*");
            if (type === "ui-lifecycle-iframe-ready") {
              const renderData = {toolInput: {city: "Bern"}, toolOutput: {sun: true}};
              post({type: "ui-lifecycle-iframe-render-data", payload: {renderData}});
            } else if (messageId) {
              asked.push([type, payload]);
              post({type: "ui-message-received", messageId});
              post({type: "ui-message-response", messageId, payload: {response: {sum: 2}}});
            }
          });
          frame.srcdoc = html;
          document.body.append(frame);
        }""",
        f"<!doctype html>{bridge('mcp-ui')}{WIDGET}",
    )
    out = bare.frame_locator("iframe.mcp-ui").locator("#out")
    expect(out).to_have_text("input Bern;result true;call 2;end;")
    assert bare.evaluate("() => asked") == [
        ["tool", {"toolName": "add", "params": {"a": 1}}],
        ["prompt", {"prompt": "hello"}],
        ["link", {"url": "https://example.org/"}],
    ]
