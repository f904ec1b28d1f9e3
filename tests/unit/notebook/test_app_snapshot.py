"""What stands in a cell where no widget runs."""

from __future__ import annotations

from pmcp_lab.notebook.app_snapshot import BLOCKS, PICTURES, snapshot
from pmcp_lab.notebook.saved_html import TEXT

CALL = {"tool": {"title": "The <wave>"}, "arguments": {"a": "<b>"}, "result": None, "error": None}
PIXEL = "iVBORw0KGgo="


def result(*content: dict[str, object], **more: object) -> str:
    return snapshot("demo", "wave", {**CALL, "result": {"content": list(content), **more}})


def test_before_the_result_it_is_the_call() -> None:
    page = snapshot("demo", "wave", CALL)
    assert "The &lt;wave&gt;" in page
    assert "<code>demo.wave</code>" in page
    assert "&lt;b&gt;" in page
    assert '<b>"' not in page
    assert "Run the cell" in page


def test_text_and_pictures_of_the_result() -> None:
    page = result({"type": "text", "text": "said <script>"}, {"type": "image", "mimeType": "image/png", "data": PIXEL})
    assert "said &lt;script&gt;" in page
    assert f'src="data:image/png;base64,{PIXEL}"' in page


def test_nothing_of_the_server_becomes_markup() -> None:
    hostile = [
        {"type": "image", "mimeType": 'image/png" onerror="x', "data": PIXEL},
        {"type": "image", "mimeType": "image/svg+xml", "data": PIXEL},
        {"type": "image", "mimeType": "image/png", "data": '" onerror="x'},
    ]
    for block in hostile:
        assert "<img" not in result(block)


def test_data_when_there_are_no_words_and_not_too_much_of_it() -> None:
    assert "&quot;frequency&quot;: 3" in result(structuredContent={"frequency": 3})
    assert len(result({"type": "text", "text": "x" * 100_000})) < TEXT + 500


def test_a_call_that_failed() -> None:
    assert "The call failed: no &amp; no" in snapshot("demo", "wave", {**CALL, "error": "no & no"})


def test_all_pictures_together_are_bounded() -> None:
    half = {"type": "image", "mimeType": "image/png", "data": "A" * (PICTURES // 2)}
    page = result(half, half, half)
    assert page.count("<img") == 2
    assert "1 more, which are too large or of another kind, are left out" in page
    assert len(result(*[{"type": "text", "text": "x" * 10_000}] * 1_000)) < (BLOCKS + 1) * (TEXT + 100)


def test_what_an_app_last_told_is_how_it_stands() -> None:
    said = {"content": [{"type": "text", "text": "at <5> Hz"}]}
    page = snapshot("demo", "wave", CALL, said)
    assert "What the app says of itself" in page
    assert "at &lt;5&gt; Hz" in page
    assert "says of itself" not in snapshot("demo", "wave", CALL, {})
