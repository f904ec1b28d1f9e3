"""The view of a workflow on a bare page."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

Open = Callable[..., Page]

TEXT = {"title": "bucket", "description": "Where to put it", "required": True, "kind": "text"}
FILE = {"name": "file", "title": "file", "description": "", "required": True, "kind": "text", "default": "a.tar"}
UPLOAD = {
    "key": "upload",
    "kind": "call",
    "step": "upload",
    "target": "upload_file",
    "guidance": "Ask which bucket it is.",
    "fields": [FILE, {**TEXT, "name": "bucket"}],
}
ANNOUNCE = {"key": "say", "kind": "call", "step": "announce", "target": "announce", "guidance": None, "fields": []}


def step(name: str, status: str = "pending", **more: Any) -> dict[str, Any]:
    known = {"tool": name, "execution": "auto", "by": None, "arguments": None, "line": "", "result": None}
    known["tries"] = 0
    return {"name": name, "status": status, **known, "failed": status == "failed", **more}


WORKFLOW = {
    "name": "release",
    "server": "demo",
    "goal": "Build a version and publish it",
    "status": "working",
    "taskId": "3f2a9c1e",
    "doing": None,
    "trouble": None,
    "steps": [
        step("notes", "completed", tool=None, line="12 changes", result="12 changes"),
        step(
            "build",
            "completed",
            by="server",
            arguments='{"version": "1.2"}',
            line='{"file": "a.tar", "size": 18234}',
            result='{\n "file": "a.tar",\n "size": 18234\n}',
        ),
        step("upload", tool="upload_file", execution="client"),
        step("approve", tool=None, execution="manual"),
        step("announce"),
    ],
    "pause": {
        "kind": "unresolvableParams",
        "step": "upload",
        "message": "Step 'upload' needs a value for bucket.",
        "deadline": None,
    },
    "ending": None,
    "skippable": None,
    "undoable": False,
    "calls": [UPLOAD, ANNOUNCE],
    "said": "The user wants to release 1.2.\n\nHere's my plan: …",
    "started": 1_700_000_000_000,
    "ended": None,
}


@pytest.fixture
def opened(bare: Page) -> Open:
    def opener(theme: str = "light", questions: list[dict[str, Any]] | None = None, **changes: Any) -> Page:
        state = {"workflow": {**WORKFLOW, **changes}, "questions": questions or []}
        bare.emulate_media(color_scheme=theme)
        bare.evaluate("(light) => { document.body.dataset.jpThemeLight = light }", str(theme == "light").lower())
        bare.evaluate(
            "async (state) => { await open_widget('cards', {_card: 'workflow', "
            "_state: {seq: 1, now: 1700000012000, state}}) }",
            state,
        )
        return bare

    return opener


def tell(page: Page, **changes: Any) -> None:
    state = json.dumps({"workflow": {**WORKFLOW, **changes}, "questions": []})
    page.evaluate(f"() => model.say({{kind: 'delta', seq: 2, now: Date.now(), ...{state}}})")


def sent(page: Page, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(f"() => model.kinds({kind!r})")
    return found


def test_it_shows_how_far_it_is_and_what_is_next(opened: Open) -> None:
    page = opened()
    steps = page.get_by_role("list", name="Steps").get_by_role("listitem")
    expect(steps).to_have_count(5)
    expect(steps.nth(2)).to_have_attribute("data-status", "waits")
    expect(page.get_by_text("needs a value for bucket")).to_be_visible()
    expect(page.get_by_text("Ask which bucket it is.")).to_be_visible()
    expect(page.get_by_text("Then one more step")).to_be_visible()
    steps.nth(1).locator("summary").click()
    expect(steps.nth(1)).to_contain_text('"size": 18234')
    steps.nth(4).locator("summary").click()
    assert steps.nth(4).locator("details").get_attribute("open") is None, "there is nothing in it"


def test_a_call_is_filled_in_and_made(opened: Open) -> None:
    page = opened()
    go = page.get_by_role("button", name="Call upload_file")
    go.click()
    expect(page.get_by_text("Required.")).to_be_visible()
    assert sent(page, "make") == []
    page.get_by_label("bucket").fill("b2")
    go.click()
    (made,) = sent(page, "make")
    assert (made["call"], made["content"]) == ("upload", {"file": "a.tar", "bucket": "b2"})
    expect(page.get_by_role("button", name="Working…")).to_have_attribute("aria-disabled", "true")
    page.evaluate(
        "() => model.say({kind: 'made', to: model.kinds('hello')[0].view, call: 'upload', "
        "problems: {'': 'bucket is locked'}})"
    )
    expect(page.get_by_text("bucket is locked")).to_be_visible()
    go.click()
    steps = [{**each, "status": "completed"} if each["name"] == "upload" else each for each in WORKFLOW["steps"]]
    tell(page, steps=steps, pause=None, calls=[ANNOUNCE])
    expect(page.get_by_role("button", name="Call announce")).to_be_focused()


def test_it_ends(opened: Open) -> None:
    page = opened()
    page.get_by_role("button", name="Finish").click()
    page.get_by_role("button", name="Cancel").click()
    assert len(sent(page, "finish")) == len(sent(page, "cancel")) == 1
    tell(page, status="completed", pause=None, calls=[], ended=1_700_000_020_000)
    expect(page.get_by_role("button", name="Finish")).to_be_hidden()
    expect(page.locator(".pmcp-card-elapsed")).to_have_text("0:20")


def test_while_the_server_is_at_it(opened: Open) -> None:
    page = opened(doing="Step 3/5: upload", pause=None)
    expect(page.get_by_text("Step 3/5: upload…")).to_be_visible()
    expect(page.get_by_role("button", name="Call upload_file")).to_be_hidden()


def test_a_question_comes_before_the_calls(opened: Open) -> None:
    fields = [{"name": "to", "title": "To whom?", "description": "", "required": True, "kind": "text"}]
    page = opened(questions=[{"key": "q", "message": "Send it?", "url": None, "fields": fields}])
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Call upload_file")).to_be_hidden()
    page.get_by_text("Then 2 more steps").click()
    expect(page.get_by_role("button", name="Call upload_file")).to_be_visible()


QUESTION = {
    "key": "approve#1",
    "message": "Publish 1.2?",
    "url": None,
    "fields": [{"name": "ok", "title": "ok", "description": "", "required": True, "kind": "boolean"}],
}
BUILD = step("build", "completed", by="server", line='{"file": "a.tar"}', tries=1)
APPROVE = step("approve", tool=None, execution="manual")
LATER = [step("upload", tool="upload_file"), step("announce")]
NO = {**APPROVE, "status": "refused", "by": "person", "line": "the answer was no: ok is no", "tries": 1}

STATES: dict[str, dict[str, Any]] = {
    "waiting": {
        "status": "input_required",
        "steps": [step("notes", "completed", tool=None, line="12 changes"), BUILD, APPROVE, *LATER],
        "pause": {
            "kind": "inputRequired",
            "step": "approve",
            "message": "Step 'approve' waits for an answer: Publish 1.2?",
            "deadline": 1_700_090_000_000,
        },
        "calls": [],
        "undoable": True,
    },
    "refused": {
        "status": "completed",
        "ended": 1_700_000_020_000,
        "steps": [step("notes", "completed", tool=None, line="12 changes"), BUILD, NO, *LATER],
        "pause": None,
        "calls": [],
        "ending": {
            "kind": "stopped",
            "message": "Workflow release was stopped at step approve: the answer was no: ok is no.",
        },
    },
    "skipped": {
        "steps": [
            step("notes", "skipped", tool=None, by="person", line="the changes are on paper"),
            {**BUILD, "status": "failed", "failed": True, "line": "no space left on device", "tries": 3},
            APPROVE,
            *LATER,
        ],
        "pause": {"kind": "toolError", "step": "build", "message": "Step 'build' failed: no space left on device"},
        "calls": [],
        "skippable": "build",
    },
    "undone": {
        "status": "completed",
        "ended": 1_700_000_020_000,
        "steps": [
            {
                **BUILD,
                "name": "register",
                "status": "undo failed",
                "line": "it was not taken back: it is read by others",
            },
            {**BUILD, "status": "undone"},
            NO,
            *LATER,
        ],
        "pause": None,
        "calls": [],
        "ending": {
            "kind": "stopped",
            "message": "Workflow release was stopped at step approve: the answer was no: ok is no. Taken back: build. "
            "NOT taken back, look after it: register.",
        },
    },
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", STATES)
def test_it_says_what_a_person_decided(opened: Open, name: str, theme: str) -> None:
    page = opened(theme, [QUESTION] if name == "waiting" else None, **STATES[name])
    card = page.get_by_role("region", name="Workflow release")
    steps = page.get_by_role("list", name="Steps").get_by_role("listitem")
    expect(steps).to_have_count(len(STATES[name]["steps"]))
    if folder := os.environ.get("PMCP_LAB_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"workflow-{name}-{theme}.png")
    match name:
        case "waiting":
            expect(card.get_by_text("It decides itself at")).to_be_visible()
            expect(card.get_by_role("button", name="Undo")).to_be_visible()
            for later in ("upload_file", "announce"):
                expect(card.get_by_role("button", name=f"Call {later}")).to_have_count(0)
        case "refused":
            expect(card.locator(".pmcp-badge")).to_have_text("stopped")
            expect(steps.nth(2)).to_contain_text("a person said no")
            expect(card.get_by_text("was stopped at step approve")).to_be_visible()
            expect(card.get_by_role("button")).to_have_count(0)
        case "skipped":
            expect(steps.nth(0)).to_contain_text("left out by a person")
            expect(steps.nth(1)).to_contain_text("failed · 3 times")
        case _:
            expect(steps.nth(0)).to_contain_text("undo failed")
            expect(steps.nth(1)).to_contain_text("undone")


def test_a_step_is_skipped_for_a_reason(opened: Open) -> None:
    page = opened(**STATES["skipped"])
    page.get_by_text("Skip build…").click()
    skip = page.get_by_role("button", name="Skip", exact=True)
    skip.click()
    expect(page.get_by_text("Required.")).to_be_visible()
    assert sent(page, "skip") == []
    page.get_by_label("Why?").fill("built by hand")
    skip.click()
    (made,) = sent(page, "skip")
    assert (made["step"], made["content"]) == ("build", {"reason": "built by hand"})
    expect(page.get_by_role("button", name="Working…")).to_have_attribute("aria-disabled", "true")
    page.evaluate(
        "() => model.say({kind: 'made', to: model.kinds('hello')[0].view, call: 'skip', "
        "problems: {'': 'build is done'}})"
    )
    expect(page.get_by_text("build is done")).to_be_visible()


def test_it_is_taken_back(opened: Open) -> None:
    page = opened(questions=[QUESTION], **STATES["waiting"])
    page.get_by_role("button", name="Undo").click()
    assert len(sent(page, "undo")) == 1
    page.evaluate(
        "() => model.say({kind: 'made', to: model.kinds('hello')[0].view, call: 'undo', "
        "problems: {'': 'nothing can be taken back'}})"
    )
    expect(page.get_by_text("nothing can be taken back")).to_be_visible()
