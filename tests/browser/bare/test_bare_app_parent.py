"""What an app finds under `parent`: frameworks and adapters treat it as a window of their own origin."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import FrameLocator, Page, expect

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]

TELL = "const tell = (what) => { document.querySelector('#state').textContent = String(what) };"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        # Vue's `ref(parent)` asks what it is given whether it is a ref already.
        pytest.param("tell(parent.__v_isRef)", "undefined", id="a name it has not"),
        pytest.param("tell(Object.keys(parent).includes('postMessage') && 'then' in parent)", "false", id="its names"),
        pytest.param("tell(JSON.stringify({...parent}).length > 0)", "Converting", id="itself again"),
        pytest.param("let w = self; while (w !== w.parent) w = w.parent; tell(w === parent)", "true", id="the way up"),
        pytest.param("tell(parent !== self && window.parent === self.parent)", "true", id="another than itself"),
        pytest.param("parent = null; tell(window.parent)", "null", id="replaceable, as in a page"),
        pytest.param("try { parent.document.title } catch (e) { tell(e.name) }", "TypeError", id="no document"),
    ],
)
def test_parent_is_a_plain_object(open_app: Open, inner: Inner, script: str, said: str) -> None:
    open_app(f"<p id=state></p><script>{TELL} try {{ {script} }} catch (error) {{ tell(error) }}</script>")
    expect(inner().locator("#state")).to_contain_text(said)


def test_the_host_can_be_told_from_others_by_its_messages(open_app: Open, app: App, inner: Inner) -> None:
    """ext-apps' transport compares `event.source` with the `parent` that it was given."""
    script = """
    const sources = [];
    addEventListener("message", ({source}) => sources.push(source === parent));
    setTimeout(() => postMessage("own", "*"), 300);
    addEventListener("message", ({data}) => {
      if (data === "own") document.body.dataset.said = sources.slice(0, -1).every(Boolean) + " " + sources.at(-1);
    });"""
    open_app(app(script))
    expect(inner().locator("#state")).to_have_text("started")
    expect(inner().locator("body")).to_have_attribute("data-said", "true false")


def test_an_adapter_stands_between_the_app_and_the_host(open_app: Open, app: App, inner: Inner) -> None:
    """mcp-ui's adapters put a function of theirs in the place of `parent.postMessage`, and tell what came of it."""
    script = """
    const sent = parent.postMessage.bind(parent);
    const taken = [];
    parent.postMessage = (message, ...rest) => message.type ? taken.push(message.type) : sent(message, ...rest);
    parent.postMessage({type: "intent"}, "*");
    addEventListener("message", ({data, source}) => {
      if (data === "told") document.body.dataset.said = `${taken} ${source === parent}`;
    });
    dispatchEvent(new MessageEvent("message", {data: "told", source: parent}));"""
    open_app(app(script))
    expect(inner().locator("#state")).to_have_text("started")
    expect(inner().locator("body")).to_have_attribute("data-said", "intent true")


def test_what_it_keeps_and_leaves_is_told_whoever_took_the_place_of_parent(open_app: Open, inner: Inner) -> None:
    page = open_app(
        "<p id=state></p><script>parent = {postMessage() {}}; localStorage.a = '1'; state.textContent = 'set'</script>"
    )
    expect(inner().locator("#state")).to_have_text("set")
    page.wait_for_function("() => model.kinds('event').some((each) => each.event === 'stored')")
