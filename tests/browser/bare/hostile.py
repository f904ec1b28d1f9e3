"""A page that is attacked, by plain frames or by apps of our host, and what the attacks leave behind."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Dialog, Download, Error, Page

from tests.browser.bare.conftest import CSP, Attacker, serve_attacker
from tests.browser.bare.hostile_attacks import Attack

#: What every attack can use.
BEFORE = """
let count = 1;
const say = (message) => parent.postMessage({jsonrpc: "2.0", ...message}, "*");
const report = (words) => say({id: ++count, method: "tools/call", params: {name: "report", arguments: words}});
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const add = (tag, attributes = {}) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  document.body.append(node);
  return node;
};
const markup = (html) => {
  const node = add("div");
  node.innerHTML = html;
  return node.firstElementChild;
};
const run = async (name, attack) => {
  report({ran: name});
  let got = false;
  try { got = Boolean(await Promise.race([attack(), pause(1500)])) } catch (error) { report({name, error: String(error)}) }
  report(got ? {got: name} : {ended: name});
};
addEventListener("message", ({data}) => data.id === 1 && say({method: "ui/notifications/initialized"}));
say({id: 1, method: "ui/initialize", params: {
  appInfo: {name: "hostile", version: "1"}, appCapabilities: {}, protocolVersion: "2026-01-26"}});
"""

#: What of the page an attack can have left its mark on.
TRACES = """() => [JSON.stringify([
  location.href, document.title, document.cookie, {...localStorage}, String({}.mark), window.evidence,
  // An app's header quotes its first error.
  [...document.querySelectorAll(".pmcp-app-state-text")].reduce(
    (text, node) => text.replaceAll(node.innerText, ""), document.body?.innerText ?? ""),
  (window.models ?? []).map((model) => model.sent.filter(({kind, event, payload}) =>
    !["csp-violation", "app-error", "stored"].includes(event) && payload?.params?.name !== "report")),
]), window.told?.splice(0) ?? []]"""

PER_DOCUMENT = 25
"""The app's own document tells of fifty violations at most."""


def document(attacks: tuple[Attack, ...], away: str, home: str) -> str:
    """A page that makes these attacks."""
    lines = [f"const AWAY = {away!r}, HOME = {home!r};", BEFORE]
    for attack in attacks:
        made = f"run({attack.name!r}, async () => {{ const NAME = {attack.mark!r}; {attack.script} }})"
        waits = f"addEventListener('click', () => {made}, {{once: true}}); report({{waits: {attack.name!r}}});"
        lines.append(waits if attack.click else f"{made};")
    script = "\n".join(lines).replace("</", "<\\/")
    return f"<!doctype html><body style='height: 60px'>attack<script>{script}</script>"


def batches(attacks: Sequence[Attack]) -> list[tuple[Attack, ...]]:
    """Which attacks share a document."""
    quiet = [attack for attack in attacks if not attack.alone]
    shared = [tuple(quiet[at : at + PER_DOCUMENT]) for at in range(0, len(quiet), PER_DOCUMENT)]
    return [*shared, *((attack,) for attack in attacks if attack.alone)]


class Assault:
    """Attacks in a browser, and what they left behind."""

    def __init__(self, context: BrowserContext, site: str, attacker: Attacker, api_hits: list[str]) -> None:
        self.context = context
        self.site = site
        self.attacker = attacker
        self.api_hits = api_hits
        self.seen: list[str] = []
        self.told: list[dict[str, Any]] = []
        self.marks: set[str] = set()
        self.violations: dict[str, list[dict[str, str]]] = {}
        context.on("page", lambda page: self.seen.append(f"popup {page.url}"))

    def page(self) -> Page:
        page = self.context.new_page()
        self.seen.pop()
        page.on("dialog", self._dialog)
        page.on("download", self._download)
        return page

    def notebook(self, page: Page) -> None:
        """Something to attack: a page with a past, cookies, things it keeps and a channel of its own."""
        for address in (f"{self.site}/?~history~", self.site):
            # What the last attack has begun may come between.
            assert wait(lambda: went(page, address), page, 20)  # noqa: B023
        page.evaluate(
            """() => {
              window.evidence = [];
              window.told = [];
              localStorage["of-the-page"] = sessionStorage["of-the-page"] = "secret";
              new BroadcastChannel("of-the-page").onmessage = ({data}) => evidence.push(data);
              addEventListener("message", ({data}) => {
                if (data.params?.name === "report") told.push(data.params.arguments);
              });
            }"""
        )

    def _dialog(self, dialog: Dialog) -> None:
        self.seen.append("~before-unload~" if dialog.type == "beforeunload" else f"dialog {dialog.message}")
        dialog.accept()

    def _download(self, download: Download) -> None:
        # Chromium has no tildes in names.
        self.seen.append(download.suggested_filename.replace("_", "~"))

    def look(self, page: Page) -> set[str]:
        """The marks that attacks left behind so far."""
        try:
            # Unlike an evaluation, it ends when the page is being taken elsewhere.
            found = page.wait_for_function(TRACES, timeout=1000, polling=50).json_value()
            traces, told = found
            self.told += told
        except Error:
            # Its address tells where to.
            traces = ""
        got = [f"got ~{words['got']}~" for words in self.told if "got" in words]
        text = json.dumps([traces, self.seen, self.attacker.hits, self.api_hits, page.url, got])
        self.marks |= set(re.findall("~[a-z-]+~", text))
        return self.marks

    def waits(self, attack: Attack) -> bool:
        return any(words.get("waits") == attack.name for words in self.told)

    @property
    def started(self) -> set[str]:
        return {str(words["ran"]) for words in self.told if "ran" in words}


def wait(condition: Callable[[], bool], page: Page, seconds: float) -> bool:
    """Lets the browser work until a condition holds; False when it never did."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        page.wait_for_timeout(50)
    return True


def went(page: Page, address: str) -> bool:
    try:
        page.goto(address, timeout=5000)
    except Error:
        return False
    return True


@contextmanager
def assaults(browser: Browser, site: str, api_hits: list[str]) -> Iterator[Callable[[], Assault]]:
    """Makes pages to attack, each in a context of its own, one after the other."""
    contexts = []
    serving = serve_attacker()
    attacker = next(serving)

    def make() -> Assault:
        contexts.append(browser.new_context(viewport={"width": 1000, "height": 800}))
        attacker.hits.clear()
        api_hits.clear()
        return Assault(contexts[-1], site, attacker, api_hits)

    yield make
    for context in contexts:
        context.close()
    serving.close()


def open_app(there: Assault, page: Page, attacks: tuple[Attack, ...]) -> None:
    """These attacks as an app of our host; the kernel takes their reports."""
    html = document(attacks, there.attacker.url, there.site)
    host = {"info": {"name": "x", "version": "1"}, "capabilities": {}, "initTimeout": 10_000, "server": "demo"}
    state = {
        "_resource": {"uri": "ui://demo/app", "html": html, "csp": CSP, "allow": "", "name": "app"},
        "_call": {"tool": {"name": "show"}, "arguments": {}, "result": None, "cancelled": None, "error": None},
        "_host": {**host, "policy": {"csp": CSP, "allow": ""}},
        "_closed": False,
    }
    page.evaluate(
        """async (state) => {
          await open_widget("app-view", state);
          const {model} = window;
          (window.models ??= []).push(model);
          model.onrpc = ({kind, view, call, payload}) => {
            if (kind !== "rpc") return;
            told.push(payload.params.arguments);
            model.say({kind: "rpc-result", to: view, call, payload: {result: {}}});
          };
        }""",
        state,
    )


def violations(page: Page, groups: list[tuple[Attack, ...]]) -> dict[str, list[dict[str, str]]]:
    """What the browser said of each attack's document."""
    found = page.evaluate(
        """() => models.map((model) => model.kinds("event").filter(({event}) => event === "csp-violation")
             .map(({payload}) => payload))"""
    )
    return {attack.name: told for attacks, told in zip(groups, found, strict=True) for attack in attacks}


def attack_host(there: Assault, page: Page, attacks: Sequence[Attack]) -> list[tuple[Attack, ...]]:
    """All of these as apps of our host in one notebook; returns which of them shared a document."""
    # Those that wait for a click come first, while nothing moves.
    groups = sorted(batches(attacks), key=lambda attacks: not attacks[0].click)

    def started(names: set[str]) -> bool:
        there.look(page)
        return names <= there.started

    for index, (attack, *_) in enumerate(groups):
        open_app(there, page, groups[index])
        if attack.click:
            view = page.locator(".view").nth(index)
            assert wait(lambda: there.look(page) is not None and there.waits(attack), page, 30)  # noqa: B023
            for _ in range(10):
                # A frame that has just come may not be hit yet.
                view.locator("iframe.pmcp-app-frame").click()
                if wait(lambda: started({attack.name}), page, 0.5):  # noqa: B023
                    break
    wait(lambda: started({attack.name for attack in attacks}), page, 30)
    return groups


def stopped_by(attack: Attack, violations: list[dict[str, str]]) -> bool:
    """Whether the browser said that this directive stopped it, where that is what stops it."""
    directive = attack.stop.removeprefix("CSP ")
    return directive == attack.stop or any(
        violation["directive"] == directive
        # Of a navigation only the origin is told, of code and data only the kind.
        and (attack.mark in violation["blocked"] or "/" not in violation["blocked"].partition("://")[2].rstrip("/"))
        for violation in violations
    )
