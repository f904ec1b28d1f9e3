"""A question that names the app which asks it (SEP-3118): who is told of what."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

import pmcp_lab as lab
from pmcp_lab.client import Question, client_of
from pmcp_lab.protocol.ui import question_app
from pmcp_lab.tasks.questions import APP, FORM, askable, form
from tests.servers.asking_app import build
from tests.unit.front_end import until


class Sure(BaseModel):
    sure: bool


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize(("offered", "wanted"), [(True, True), (True, False), (False, True), (False, False)])
def test_both_ends_agree_on_it(mode: str, offered: bool, wanted: bool) -> None:
    with lab.connect(build(app_elicitation=offered), name="seats", mode=mode, app_elicitation=wanted) as server:
        task = server.task("book")
        until(lambda: task.questions)
        assert client_of(server).renders_questions is (offered and wanted)
        assert task.questions[0].app == ("ui://seats/well" if wanted else None)
        task.answer({"seat": "1A"})
        assert task.result(timeout=20).value == {"seat": "1A", "window": False}


def test_connecting_anew_changes_what_is_agreed() -> None:
    made = build()
    with lab.connect(made, name="seats") as first, lab.connect(made, name="seats", app_elicitation=True) as second:
        assert first is not second
        assert client_of(second).renders_questions
        assert lab.connect(made, name="seats", app_elicitation=True) is second


def test_a_question_loses_the_app_alone_where_nobody_shows_it() -> None:
    asked = form("Sure?", Sure, "ui://x/y")
    asked["params"]["_meta"] |= {"own": 1}
    assert askable(asked, [FORM, APP]) is asked
    assert askable(asked, [FORM])["params"] == {**asked["params"], "_meta": {"own": 1}}
    assert "_meta" not in askable(form("Sure?", Sure, "ui://x/y"), [FORM])["params"]


@pytest.mark.parametrize("app", ["", "https://elsewhere.example/", "well", "javascript:alert(1)"])
def test_what_is_no_app(app: str) -> None:
    with pytest.raises(ValueError, match="ui://"):
        form("Sure?", Sure, app)
    assert question_app({"_meta": {"ui": {"resourceUri": app}}}) is None


@pytest.mark.parametrize("meta", [None, [], {"ui": None}, {"ui": [1]}, {"ui": {"resourceUri": {}}}, "ui://x"])
def test_a_server_that_says_nonsense(meta: object) -> None:
    assert question_app({"_meta": meta}) is None


def test_only_a_form_has_one() -> None:
    from pmcp_lab.client.questions import read_question

    params = {"mode": "url", "url": "https://x.example", "message": "", "_meta": {"ui": {"resourceUri": "ui://x/y"}}}
    asked: Question = read_question("k", params, server="s", tool="t")
    assert asked.app is None
