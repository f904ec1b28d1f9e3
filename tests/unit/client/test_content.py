"""What servers send is shown as what it is, and nothing of theirs becomes a page."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pmcp_lab as lab
from pmcp_lab.client import Content, Contents
from pmcp_lab.errors import LabError
from tests.unit.workshop import PIXEL, Workshop


@pytest.fixture(scope="module")
def server() -> Iterator[lab.Server]:
    with lab.connect(Workshop().server, name="gallery") as server:
        yield server


def shown(server: lab.Server, kind: str) -> dict[str, str]:
    return server.call("show", kind=kind)._repr_mimebundle_()


class TestKinds:
    def test_a_picture_is_a_picture(self, server: lab.Server, tmp_path: Path) -> None:
        result = server.call("show", kind="image")
        assert result.image.data == PIXEL
        assert base64.b64decode(result._repr_mimebundle_()["image/png"]) == PIXEL
        assert repr(result) == "<image image/png 70 B>"
        result.image.save(tmp_path / "pixel.png")
        assert (tmp_path / "pixel.png").read_bytes() == PIXEL

    def test_sound_can_be_played(self, server: lab.Server) -> None:
        assert shown(server, "audio")["text/html"].startswith('<audio controls src="data:audio/wav;base64,')

    def test_text_and_a_picture_together(self, server: lab.Server) -> None:
        page = shown(server, "mixed")["text/html"]
        assert "<script>" not in page
        assert "&lt;script&gt;" in page
        assert "<img " in page

    def test_a_link_leads_only_to_the_web(self, server: lab.Server) -> None:
        page = shown(server, "link")["text/html"]
        assert '<a href="https://example.org/&lt;b&gt;" target="_blank" rel="noopener noreferrer">' in page
        assert "&lt;i&gt;more&lt;/i&gt;" in page
        assert "<a " not in shown(server, "script")["text/html"]

    def test_what_is_called_a_picture_but_is_a_page_is_not_handed_over(self, server: lab.Server) -> None:
        bundle = shown(server, "page")
        assert set(bundle) == {"text/plain", "text/html"}
        assert "PGI+" not in bundle["text/html"]

    def test_resources_of_text_and_bytes(self) -> None:
        text = Content.of_resource({"uri": "notes://<1>", "mimeType": "text/html", "text": "<b>hi</b>"})
        assert text.text == "<b>hi</b>"
        assert "<b>" not in text._repr_mimebundle_()["text/html"]
        blob = Content.of_resource({"uri": "file:///a.bin", "blob": base64.b64encode(b"abc").decode()})
        assert blob.data == b"abc"
        assert repr(blob) == "<resource file:///a.bin 3 B>"
        assert Contents([text, blob]).data == b"abc"

    @pytest.mark.parametrize("raw", [{}, {"type": "image"}, {"type": "image", "data": "§", "mimeType": "image/png"}])
    def test_what_is_malformed_is_named_not_shown(self, raw: dict[str, str]) -> None:
        content = Content(raw)
        assert content.data is None
        assert "<img" not in str(content._repr_mimebundle_())


class TestTables:
    def result(self, structured: object) -> lab.ToolResult:
        return lab.ToolResult({"content": [], "structuredContent": structured}, "here.tool")

    def test_a_list_of_objects(self) -> None:
        frame = self.result({"result": [{"a": 1}, {"a": 2}]}).df
        assert frame.a.tolist() == [1, 2]
        assert self.result({"presets": [{"a": 1}]}).df.a.tolist() == [1]

    def test_columns_with_what_is_the_same_for_all(self) -> None:
        frame = self.result({"t": [0, 1], "y": [2, 3], "frequency": 5}).df
        assert frame.frequency.tolist() == [5, 5]

    def test_one_object_is_one_row(self) -> None:
        assert self.result({"city": "Oslo", "degrees": 4}).df.degrees.tolist() == [4]

    def test_text_that_is_json(self) -> None:
        result = lab.ToolResult({"content": [{"type": "text", "text": '[{"a": 1}]'}]}, "here.tool")
        assert result.json == [{"a": 1}]
        assert result.df.a.tolist() == [1]

    def test_what_is_no_table_says_so(self, server: lab.Server) -> None:
        with pytest.raises(LabError, match=r"here.tool returned no table"):
            _ = self.result({"a": [1], "b": [1, 2]}).df
        with pytest.raises(LabError, match="gallery.show returned no JSON but '<image"):
            _ = server.call("show", kind="image").df
        with pytest.raises(LabError, match="here.tool returned no image"):
            _ = self.result({"a": 1}).image

    def test_plain_values_stay_plain(self) -> None:
        assert self.result({"result": 3})._repr_mimebundle_() == {"text/plain": "3"}

    @pytest.mark.parametrize(
        ("texts", "value"),
        [
            (['{"a": {"b": 1}}'], {"a": {"b": 1}}),
            ([" [1, 2]\n"], [1, 2]),
            (['{"a": 1}', '{"a": 2}'], [{"a": 1}, {"a": 2}]),
            (["90210"], "90210"),
            (["{not json}"], "{not json}"),
            (['{"a": 1}', "and so on"], '{"a": 1}\nand so on'),
            (["[" * 100_000], "[" * 100_000),
            ([], ""),
        ],
    )
    def test_text_that_is_a_json_object_or_array_is_one(self, texts: list[str], value: Any) -> None:
        result = lab.ToolResult({"content": [{"type": "text", "text": text} for text in texts]}, "here.tool")
        assert result.value == value

    def test_megabytes_show_their_beginning_and_where_the_rest_is(self) -> None:
        text = "line of a log\n" * 220_000
        shown = repr(lab.ToolResult({"content": [{"type": "text", "text": text}]}, "here.tool"))
        assert shown.startswith("line of a log\nline")
        assert shown.endswith("(3.1 MB in all, of which this is the beginning; .text has the rest)")
        assert len(shown) < 5_000
        shown = repr(self.result({"xs": list(range(400_000))}))
        assert shown.startswith("{'xs': [0, 1, ")
        assert ".value has the rest" in shown[-80:]
        piece = Content({"type": "resource", "resource": {"uri": "log://a", "text": text}})
        assert len(repr(piece)) + len(piece.as_html()) < 12_000
        assert piece.text == text
