"""What stands in a cell where no widget runs."""

from __future__ import annotations

from pmcp_lab.notebook.app_snapshot import TEXT_SHOWN, snapshot

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
    assert len(result({"type": "text", "text": "x" * 100_000})) < TEXT_SHOWN + 500


def test_a_call_that_failed() -> None:
    assert "The call failed: no &amp; no" in snapshot("demo", "wave", {**CALL, "error": "no & no"})
