"""The picture of what ran when, and its links to the rows of a table."""

from __future__ import annotations

import html.parser
import xml.etree.ElementTree as ET

import pandas as pd
import pytest

import pmcp_lab as lab
from pmcp_lab.client import TaskSelection, Timeline, call_of
from pmcp_lab.demo import build
from pmcp_lab.notebook.saved_html import static_table
from tests.unit.client.conftest import Connect
from tests.unit.front_end import until


class Elements(html.parser.HTMLParser):
    """The elements of some HTML, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def links(timeline: Timeline) -> list[dict[str, str | None]]:
    return [attributes for tag, attributes in Elements(timeline._repr_html_()).found if tag == "a"]


def ids(text: str) -> list[str | None]:
    return [attributes["id"] for _, attributes in Elements(text).found if "id" in attributes]


def test_there_is_a_bar_for_every_task(modern: lab.Server) -> None:
    many = modern.map("double", [*range(6), -1], concurrency=2)
    many.wait(20)
    timeline = many.timeline()
    assert len(timeline.bars) == 7
    assert timeline.counts == {"completed": 6, "failed": 1}
    assert timeline.lanes == [str(n) for n in range(7)]
    assert many.timeline("slot").lanes == ["slot 1", "slot 2"]
    svg = ET.fromstring(timeline._repr_svg_())
    text = [each.text for each in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"6 completed", "1 failed", "0 s"} <= set(text)
    bars = [each for each in svg if each.get("fill") in ("#1a7f4b", "#c4320a") and each.tag.endswith("path")]
    assert sum(each.get("d", "").count("z") for each in bars) == 7
    assert set(timeline._repr_mimebundle_()) == {"text/plain", "text/html", "image/svg+xml"}


def test_the_time_a_task_waited_for_an_answer_is_told_apart() -> None:
    with lab.connect(build(), name="asking") as demo:
        many = demo.map("publish", [{"model": "a"}, {"model": "b"}])
        until(lambda: many.counts.get("input_required") == 2)
        assert many.summary().startswith("0/2 done, 2 need input")
        assert {bar.status for bar in many.timeline().bars if bar.lane == 0} == {"input_required"}
        for task in many:
            task.answer({"publish": False})
        many.wait(20)
        bars = [bar for bar in many.timeline().bars if bar.lane == 0]
        assert [bar.status for bar in bars if bar.end > bar.start][:2] == ["completed", "input_required"]
        assert bars[-1].end == pytest.approx(many.timeline().seconds, abs=0.5)
        assert ">waited for an answer<" in many.timeline()._repr_svg_(), "the legend names every colour"
        assert len(links(many.timeline())) == 2, "one for a row, whatever it went through"


class TestLinks:
    def test_each_row_tells_its_arguments_and_what_came_of_it(self, modern: lab.Server) -> None:
        many = modern.map("double", [3, -1])
        many.wait(20)
        done, failed = (link["title"] or "" for link in links(many.timeline()))
        assert done.splitlines()[0] == "0: n=3"
        assert done.splitlines()[1].startswith("completed, ")
        assert done.splitlines()[2] == "6"
        assert failed.splitlines()[0] == "1: n=-1"
        assert failed.splitlines()[1].startswith("failed, ")
        assert "-1 is below zero" in failed.splitlines()[2]

    def test_they_lead_to_the_rows_of_a_saved_table(self, modern: lab.Server) -> None:
        many = modern.map("double", [1, 2, 3, -1], name='a "sweep" & <more>')
        many.wait(20)
        targets = [link["href"] for link in links(many.timeline())]
        assert targets == [f"#{name}" for name in ids(static_table(list(many)))]
        assert len(set(targets)) == 4
        assert [link["href"] for link in links(many[2:].timeline())] == targets[2:], "a slice has rows of its set"
        assert [link["href"] for link in links(TaskSelection([many[3]]).timeline())] == targets[3:]
        many.retry()
        many.wait(20)
        assert [link["href"] for link in links(many.timeline())] == targets, "another task in the same row"

    def test_they_are_those_of_another_kernel(self, connect: Connect) -> None:
        first = connect()
        first.map("double", [1, 2], name="kept").wait(20)
        before = [call_of(task).anchor for task in first.sets["kept"]]
        first.close()
        assert [call_of(task).anchor for task in connect().sets["kept"]] == before
        assert None not in before

    def test_a_short_one_can_be_hit_and_none_leaves_the_picture(self, modern: lab.Server) -> None:
        many = modern.map("double", range(300), concurrency=64)
        many.wait(30)
        for by in ("task", "slot"):
            for link in links(many.timeline(by)):
                style = dict(part.split(":") for part in (link["style"] or "").split(";"))
                left, top, width, height = (float(style[name][:-1]) for name in ("left", "top", "width", "height"))
                assert width >= 0.75, "6 of 800 pixels"
                assert left + width <= 100
                assert top + height <= 100

    def test_very_many_are_a_picture_alone(self, modern: lab.Server) -> None:
        many = modern.map("double", range(501), concurrency=64)
        many.wait(30)
        assert links(many.timeline()) == []
        assert len(links(many[:500].timeline())) == 500
        assert len(many[:500].timeline()._repr_html_()) < 200_000

    def test_a_long_argument_is_cut(self, modern: lab.Server) -> None:
        many = modern.map("double", [{"n": 1, "note": "x" * 100_000}])
        many.wait(20)
        assert len(many.timeline()._repr_html_()) < 10_000


def test_what_a_server_and_a_caller_say_is_escaped(modern: lab.Server) -> None:
    many = modern.map("double", pd.DataFrame({"n": [1]}, index=["<script>'\"&"]))
    many.wait(20)
    assert "<script>" not in many.timeline()._repr_svg_()
    assert "<script>" not in many.timeline()._repr_html_()
    assert (links(many.timeline())[0]["title"] or "").startswith("<script>'\"&: n=1")


def test_without_pictures_its_words_are_left(modern: lab.Server) -> None:
    many = modern.map("double", [1, -1])
    many.wait(20)
    picture = next(attributes for tag, attributes in Elements(many.timeline()._repr_html_()).found if tag == "img")
    assert "shop.double: 2/2 done, 1 failed" in (picture["alt"] or "")
