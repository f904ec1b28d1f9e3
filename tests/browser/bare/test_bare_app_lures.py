"""An app that wants a yes nobody means: by position, by haste, by the keyboard. No click of these is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect

from tests.browser.conftest import press

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]

FILE = "{type: 'resource', resource: {uri: 'file:///a.csv', mimeType: 'text/csv', text: 'a'}}"
WANTED = {"connect": ["https://api.example"], "permissions": ["camera"]}
#: By kind: what it is asked with (in the app; or what the resource wants), and the button that gives it.
KINDS: dict[str, tuple[str | dict[str, list[str]], str]] = {
    "open": ("rpc('ui/open-link', {url: 'https://b.example/'})", "Open"),
    "save": (f"rpc('ui/download-file', {{contents: [{FILE}]}})", "Save"),
    "allow": ({"connect": ["https://api.example"]}, "Allow"),
    "permissions": ({"permissions": ["camera"]}, "Allow"),
}
#: A page is opened, and a file is saved, by a link that is clicked.
GIVEN = """() => {
  window.given = [];
  HTMLAnchorElement.prototype.click = function () { given.push(this.download || this.href) };
}"""


class Asking:
    """A view whose app asks for something of a kind when a test says so."""

    def __init__(self, page: Page, inner: Inner, kind: str) -> None:
        self.page, self._inner = page, inner
        self._wish, self.label = KINDS[kind]
        expect(inner().locator("#state")).to_have_text("started")
        # The code for it is there, as it is from the second time on.
        inner().locator("body").evaluate("() => void rpc('ui/download-file', {contents: [{}]})")
        page.wait_for_function("() => model.kinds('code').length === 1")
        page.wait_for_timeout(300)
        page.evaluate(GIVEN)

    @property
    def button(self) -> Locator:
        return self.page.get_by_role("button", name=self.label, exact=True)

    def ask(self) -> None:
        if isinstance(self._wish, str):
            self._inner().locator("body").evaluate(f"() => void {self._wish}")
        else:
            self.page.evaluate(
                "(wanted) => model.set('_resource', {...model.state._resource, wanted})",
                self._wish,
            )

    def after(self, milliseconds: int) -> None:
        """So much later, whatever time the machine takes; from the first call on no other time passes for buttons."""
        self.page.evaluate(
            """(later) => {
              window.moment ??= performance.now();
              moment += later;
              performance.now = () => moment;
            }""",
            milliseconds,
        )

    @property
    def given(self) -> int:
        """How often the person was taken to have said yes."""
        found: int = self.page.evaluate("() => given.length + model.kinds('consent').length")
        return found

    def place(self) -> tuple[float, float]:
        """Where the button will be: asked for once, and taken back."""
        self.ask()
        x, y = middle(self.button)
        self.page.get_by_role("button", name=self.label, exact=True).locator("xpath=following-sibling::button").click()
        expect(self.button).to_have_count(0)
        return x, y


def middle(node: Locator) -> tuple[float, float]:
    expect(node).to_be_visible()
    box = node.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.fixture(params=KINDS)
def asking(request: pytest.FixtureRequest, open_app: Open, app: App, inner: Inner) -> Asking:
    return Asking(open_app(app()), inner, request.param)


def test_who_means_it_is_heard(asking: Asking) -> None:
    asking.ask()
    press(asking.button)
    asking.page.wait_for_function("() => given.length + model.kinds('consent').length === 1")


def test_a_click_right_after_it_asked(asking: Asking) -> None:
    asking.ask()
    asking.button.click()
    assert asking.given == 0
    expect(asking.page.locator(".pmcp-bar")).to_contain_text("too quick to be meant")
    # It is still open to be answered.
    press(asking.button)
    asking.page.wait_for_function("() => given.length + model.kinds('consent').length === 1")


def test_clicks_where_the_button_comes_to_be(asking: Asking) -> None:
    """A hand that clicks on and on in the app, and is not quite still."""
    mouse = asking.page.mouse
    x, y = asking.place()
    mouse.move(x, y)
    asking.ask()
    expect(asking.button).to_be_visible()
    for n in range(4):
        asking.page.wait_for_timeout(550)
        mouse.move(x + n % 2, y + n % 2)
        mouse.down()
        mouse.up()
    assert asking.given == 0
    press(asking.button)
    asking.page.wait_for_function("() => given.length + model.kinds('consent').length === 1")


def test_a_page_that_moves_brings_no_button_under_the_pointer(asking: Asking) -> None:
    """Another app above it grows and shrinks, by which all below it moves."""
    mouse, page = asking.page.mouse, asking.page
    asking.ask()
    x, y = middle(asking.button)
    mouse.move(x, y + 90)
    for _ in range(2):
        page.evaluate("() => { document.querySelector('#cell').style.marginTop = '90px' }")
        page.wait_for_timeout(550)
        mouse.move(x + 1, y + 91)
        mouse.down()
        mouse.up()
        page.evaluate("() => { document.querySelector('#cell').style.marginTop = '0' }")
        mouse.move(x, y + 90)
    assert asking.given == 0
    # Nor does one that was come to, and then taken elsewhere and back.
    mouse.move(0, 0)
    mouse.move(x, y)
    page.wait_for_timeout(300)
    page.evaluate("() => { document.querySelector('#cell').style.marginTop = '90px' }")
    page.wait_for_timeout(300)
    page.evaluate("() => { document.querySelector('#cell').style.marginTop = '0' }")
    page.wait_for_timeout(300)
    mouse.down()
    mouse.up()
    assert asking.given == 0


def test_a_second_question_takes_nothing_from_the_first(asking: Asking) -> None:
    asking.ask()
    press(asking.button)
    asking.page.wait_for_function("() => given.length + model.kinds('consent').length === 1")
    asking.ask()
    expect(asking.button).to_be_visible()
    for _ in range(3):
        asking.page.wait_for_timeout(550)
        asking.page.mouse.down()
        asking.page.mouse.up()
    assert asking.given == 1


def test_what_is_typed_is_no_answer(asking: Asking) -> None:
    """The keyboard stays in the app, and does so after a click that hit the button by accident."""
    page = asking.page
    x, y = asking.place()
    body = asking._inner().locator("body")
    body.evaluate("() => document.body.append(Object.assign(document.createElement('input'), {id: 'typed'}))")
    asking._inner().locator("#typed").focus()
    page.mouse.move(x, y)
    asking.ask()
    expect(asking.button).to_be_visible()
    if isinstance(asking._wish, dict):
        # The app was opened anew for it.
        expect(asking._inner().locator("#state")).to_have_text("started")
        body.evaluate("() => document.body.append(Object.assign(document.createElement('input'), {id: 'typed'}))")
        asking._inner().locator("#typed").focus()
    for _ in range(3):
        page.keyboard.press("Enter")
        page.keyboard.press("Space")
        page.mouse.down()
        page.mouse.up()
        page.wait_for_timeout(550)
    assert page.evaluate("() => document.activeElement.tagName") == "IFRAME"
    assert asking.given == 0


def test_the_keyboard_says_yes_when_it_was_taken_there(asking: Asking) -> None:
    page = asking.page
    asking.ask()
    expect(asking.button).to_be_visible()
    asking.after(1000)
    page.locator(".pmcp-app-inspect").focus()
    for _ in range(3):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.textContent") == asking.label:
            break
    page.keyboard.press("Enter")
    assert asking.given == 0, "too soon to be meant"
    asking.after(600)
    page.keyboard.press("Enter")
    page.wait_for_function("() => given.length + model.kinds('consent').length === 1")


@pytest.fixture
def finger(browser: Browser, site: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(site)
    yield page
    context.close()


@pytest.fixture
def touched(finger: Page, app: App) -> Asking:
    from tests.browser.bare.conftest import CSP

    state: dict[str, Any] = {
        "_resource": {"uri": "ui://a", "html": app(), "csp": CSP, "allow": "", "name": "a", "prefersBorder": True},
        "_host": {"info": {"name": "a", "version": "1"}, "capabilities": {}, "initTimeout": 10_000, "server": "demo"},
        "_closed": False,
    }
    finger.evaluate("(state) => open_widget('app-view', state, {})", state)

    def inner() -> FrameLocator:
        return finger.frame_locator("#cell iframe.pmcp-app-frame").frame_locator("iframe")

    return Asking(finger, inner, "open")


def test_a_finger(touched: Asking) -> None:
    tap = touched.page.touchscreen.tap
    touched.after(0)
    touched.ask()
    x, y = middle(touched.button)
    # Taps that began for something else go on for a while.
    for _ in range(5):
        touched.after(400)
        tap(x, y)
    assert touched.given == 0
    touched.after(600)
    tap(x, y)
    touched.page.wait_for_function("() => given.length === 1")


def test_a_finger_where_the_page_moves(touched: Asking) -> None:
    touched.after(0)
    touched.ask()
    x, y = middle(touched.button)
    touched.after(1000)
    touched.page.evaluate("() => { document.querySelector('#cell').style.marginTop = '60px' }")
    touched.page.touchscreen.tap(x, y + 60)
    touched.page.wait_for_timeout(200)
    assert touched.given == 0


def test_no_question_comes_in_the_place_of_one_that_is_answered(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app(), resource={"wanted": WANTED})
    allow = page.get_by_role("button", name="Allow", exact=True)
    allow.hover()
    inner().locator("body").evaluate(f"() => void {KINDS['open'][0]}")
    expect(page.get_by_role("button", name="1 more")).to_be_visible()
    expect(allow).to_be_visible()
    expect(page.get_by_role("button", name="Open", exact=True)).not_to_be_visible()
