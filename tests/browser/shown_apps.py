"""Apps of other people, and one thing that each is for: a button pressed, a tool called, a text that changes."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import FrameLocator, Locator, expect
from playwright.sync_api import TimeoutError as TimedOut

SCALE = "X:1\nT:Scale\nM:4/4\nL:1/4\nK:C\nC D E F | G A B c |"
GREEN = "void mainImage(out vec4 color, in vec2 at) { color = vec4(0.0, 1.0, 0.0, 1.0); }"


@dataclass(frozen=True)
class ShownApp:
    """
    Args:
        name: What the table calls it.
        pin: Its name in `tests.peers.pins`; "" for our own.
        served: Where: a path of `tests/peers/servers/apps.mjs`, or "lazy-auth" or "fastmcp".
        does: What `works` does, for the table.
        works: Uses the app; raises where it does not do what it is for.
        misses: What it has not, mostly for want of a network; for the table.
        eval: Whether it has to make code from text.
    """

    name: str
    pin: str
    served: str
    tool: str
    does: str
    works: Callable[[FrameLocator], None]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    host: str = "standard"
    misses: str = ""
    eval: bool = False


def until(node: Locator, script: str) -> None:
    """Waits until a function of an element is true."""
    end = time.monotonic() + 30
    while not node.evaluate(script):
        assert time.monotonic() < end, script
        node.page.wait_for_timeout(50)


def asks_for_the_time(app: FrameLocator) -> None:
    shown = app.get_by_text(re.compile(r"\d{4}-\d\d-\d\dT"))
    expect(shown).to_be_visible()
    before = shown.inner_text()
    app.get_by_role("button", name="Get Server Time").click()
    expect(shown).not_to_have_text(before)


def moves_a_budget(app: FrameLocator) -> None:
    app.locator("input[type=range]").first.fill("40")
    expect(app.locator("body")).to_contain_text("40.0%")


def counts_weeks(app: FrameLocator) -> None:
    expect(app.locator("body")).to_contain_text("M11")
    months = app.locator("body").inner_text()
    app.locator("select").nth(1).select_option(label="Weekly")
    expect(app.locator("body")).not_to_have_text(months)


def hides_a_segment(app: FrameLocator) -> None:
    segment = app.locator(".legend-item").last
    expect(segment).not_to_have_class(re.compile("hidden"))
    segment.click()
    expect(segment).to_have_class(re.compile("hidden"))


def calls_its_tool(app: FrameLocator) -> None:
    app.get_by_role("button", name="Call debug-refresh").click()
    expect(app.locator("body")).to_contain_text(re.compile("server-tool-result|counter"))


def wants_to_be_signed_in(app: FrameLocator) -> None:
    app.get_by_role("button", name="Auth me").click()
    expect(app.locator("#output")).to_contain_text("it wants to know who you are (401): connect with auth=")


def says_what_is_not_there(app: FrameLocator) -> None:
    expect(app.locator("body")).to_contain_text("Failed to load CesiumJS from CDN")


def turns_a_page(app: FrameLocator) -> None:
    expect(app.locator("#page-input")).to_have_value("1")
    app.locator("#next-btn").click()
    expect(app.locator(".text-layer, .textLayer").first).to_contain_text("Page two")


def grows_faster(app: FrameLocator) -> None:
    app.locator("input[type=range]").first.fill("100000")
    expect(app.locator("body")).to_contain_text("$127K")


def paints_green(app: FrameLocator) -> None:
    middle = """(canvas) => new Promise((done) => requestAnimationFrame(() => {
      const copy = new OffscreenCanvas(1, 1).getContext("2d");
      copy.drawImage(canvas, 0, 0, 1, 1);
      done([...copy.getImageData(0, 0, 1, 1).data].slice(0, 3).join() === "0,255,0");
    }))"""
    canvas = app.locator("canvas").first
    expect(canvas).to_be_visible()
    until(canvas, middle)


def repeats(app: FrameLocator) -> None:
    expect(app.locator("svg path").first).to_be_visible()
    again = app.locator(".abcjs-midi-loop")
    again.click()
    expect(again).to_have_class(re.compile("abcjs-pushed"))


def stops(app: FrameLocator) -> None:
    expect(app.locator("body")).to_contain_text("%")
    app.get_by_role("button", name="Stop").click()
    expect(app.get_by_role("button", name="Start")).to_be_visible()


def draws_a_scene(app: FrameLocator) -> None:
    expect(app.locator("canvas").first).to_be_visible()
    expect(app.locator("body")).not_to_contain_text("Error")


def asks_for_the_microphone(app: FrameLocator) -> None:
    app.get_by_role("button", name="Start").click()
    expect(app.locator("body")).to_contain_text("Microphone access denied")


def plays_another(app: FrameLocator) -> None:
    app.get_by_role("button", name="Change Video").click()
    app.locator("#video-picker").select_option(index=2)
    app.get_by_role("button", name="Load Video").click()
    expect(app.locator("body")).to_contain_text("bunny-5mb")
    until(app.locator("video"), "(video) => video.duration === 0.25 && video.error === null")


GREEN_DOT = """(canvas) => {
  const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = [];
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 1] > data[at] + 60 && data[at + 1] > data[at + 2] + 60) found.push(at / 4);
  }
  const middle = found[found.length >> 1];
  const scale = canvas.clientWidth / width;
  if (!found.length) return { x: canvas.clientWidth / 2, y: canvas.clientHeight / 2 };
  return { x: (middle % width) * scale, y: Math.floor(middle / width) * scale };
}"""
"""Where the article is that was looked at, whose dot is green, or else where the first one begins."""


def shows_an_article(app: FrameLocator) -> None:
    canvas = app.locator("canvas").first
    expanded = app.get_by_role("button", name="Expanded")
    for _ in range(10):  # the graph moves until it has settled
        canvas.click(position=canvas.evaluate(GREEN_DOT))
        with contextlib.suppress(TimedOut):
            expanded.wait_for(timeout=2_000)
            break
    expect(expanded).to_be_visible()
    expect(app.locator("body")).to_contain_text("Model Context Protocol")


def adds_up(app: FrameLocator) -> None:
    expect(app.locator("#given")).to_contain_text("Bern")
    app.get_by_role("button", name="Call add").click()
    expect(app.locator("#said")).to_contain_text("42")


def adds_up_and_keeps(app: FrameLocator) -> None:
    adds_up(app)
    expect(app.locator("#kept")).to_have_text('{"sum":42}')


def adds_by_its_tool(app: FrameLocator) -> None:
    app.get_by_role("button", name="Add").click()
    expect(app.locator("body")).to_contain_text("Sum: 42")


FRAMEWORKS = ("preact", "react", "solid", "svelte", "vanillajs", "vue")
BERN = {"city": "Bern"}

APPS = (
    *(
        ShownApp(
            f"basic-{each}",
            f"server-basic-{each}",
            f"basic-{each}",
            "get-time",
            "a button asks for the server's time",
            asks_for_the_time,
        )
        for each in FRAMEWORKS
    ),
    *(
        ShownApp(name, f"server-{name}", name, tool, does, works, **more)  # type: ignore[arg-type]
        for name, tool, does, works, more in (
            ("budget-allocator", "get-budget-data", "a slider moves a share", moves_a_budget, {}),
            ("cohort-heatmap", "get-cohort-data", "a choice asks for weeks", counts_weeks, {}),
            ("customer-segmentation", "get-customer-data", "a click hides a segment", hides_a_segment, {}),
            ("debug", "debug-tool", "a button calls a tool", calls_its_tool, {}),
            (
                "lazy-auth",
                "show_auth_button",
                "a button calls what needs a sign-in, and is told how",
                wants_to_be_signed_in,
                {"misses": "the secret: nobody is asked to sign in during a call, but when one connects"},
            ),
            (
                "map",
                "show-map",
                "it says what it could not load",
                says_what_is_not_there,
                {"misses": "the globe: CesiumJS comes from a CDN, its tiles from OpenStreetMap"},
            ),
            (
                "pdf",
                "display_pdf",
                "a page is turned",
                turns_a_page,
                {"misses": "the fonts that a file does not bring, from a CDN; files of other hosts"},
            ),
            ("scenario-modeler", "get-scenario-data", "a slider changes the forecast", grows_faster, {}),
            (
                "shadertoy",
                "render-shadertoy",
                "it paints by the shader it is given",
                paints_green,
                {"arguments": {"fragmentShader": GREEN}},
            ),
            (
                "sheet-music",
                "play-sheet-music",
                "notes are drawn, a button repeats them",
                repeats,
                {"arguments": {"abcNotation": SCALE}, "misses": "the sound of its instruments, from a CDN"},
            ),
            ("system-monitor", "get-system-info", "it polls, a button stops it", stops, {}),
            ("threejs", "show_threejs_scene", "it draws a scene, once eval is allowed", draws_a_scene, {"eval": True}),
            (
                "transcript",
                "transcribe",
                "a button wants the microphone, and is told no",
                asks_for_the_microphone,
                {"misses": "words: the browser's maker recognises them"},
            ),
            (
                "video-resource",
                "play_video",
                "another video is read and played",
                plays_another,
                {"misses": "its videos, which its server fetches; it is given another here"},
            ),
            (
                "wiki-explorer",
                "get-first-degree-links",
                "a click on the graph shows an article",
                shows_an_article,
                {"misses": "Wikipedia, which its server reads; it is given a page here"},
            ),
        )
    ),
    ShownApp(
        "fastmcp, prefab",
        "fastmcp, apps",
        "fastmcp",
        "sums",
        "a button calls a tool",
        adds_by_its_tool,
        misses="its page, from a CDN, unless PREFAB_BUNDLED_RENDERER is set, as it is here",
    ),
    ShownApp(
        "mcp-ui, raw",
        "mcp-ui",
        "mcp-ui",
        "raw",
        "a button calls a tool",
        adds_up,
        BERN,
        misses="an adapter, where a page speaks mcp-ui's own messages: no host of MCP Apps knows them",
    ),
    ShownApp("mcp-ui, adapter for MCP Apps", "mcp-ui", "mcp-ui", "adapted", "a button calls a tool", adds_up, BERN),
    ShownApp(
        "mcp-ui, adapter for ChatGPT",
        "mcp-ui",
        "mcp-ui",
        "chatgpt",
        "a button calls a tool",
        adds_up,
        BERN,
        host="chatgpt",
    ),
    ShownApp(
        "ours, with `window.openai` alone",
        "",
        "mcp-ui",
        "own",
        "a button calls a tool and keeps its result",
        adds_up_and_keeps,
        host="chatgpt",
    ),
)
