"""What is said between a widget and its views arrives once, whatever is lost, late or said twice on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import comm
import pytest

import pmcp_lab as lab
from pmcp_lab.notebook import TaskCard, TaskTable
from tests.unit.front_end import Comm, FrontEnd, until


@pytest.fixture(autouse=True)
def comms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", Comm)


@pytest.fixture(scope="module")
def demo() -> Iterator[lab.Server]:
    with lab.connect("demo", name="talk") as server:
        yield server


@pytest.fixture
def card(demo: lab.Server) -> FrontEnd:
    run = demo.task("train", epochs=1, seconds=0.01)
    run.result(10)
    return FrontEnd(TaskCard(run))


def standing(page: FrontEnd, view: str = "v", heard: int = 0) -> Any:
    """How far the kernel says that it is with a view: changes, commands taken, replies, the first that is kept."""
    before = len(page.of("pong"))
    page.send(kind="ping", view=view, n=1, views={view: heard})
    return page.wait("pong", before + 1)[-1]["views"][view]


def greet(page: FrontEnd, view: str = "v", seq: int = 0, heard: int = 0) -> None:
    before = len(page.of("welcome")) + len(page.of("state"))
    page.send(kind="hello", view=view, seq=seq, heard=heard)
    until(lambda: len(page.of("welcome")) + len(page.of("state")) > before)


def replies(page: FrontEnd, kind: str) -> list[Any]:
    return [message["reply"] for message in page.of(kind)]


def test_a_command_is_taken_once_and_in_its_order(card: FrontEnd) -> None:
    greet(card)
    for number in (2, 1, 1, 3, 2, 2):
        card.send(kind="raw", view="v", command=number)
    seq, taken, said, first = standing(card)
    assert (taken, said, first) == (2, 2, 1)
    assert replies(card, "raw") == [1, 2]
    assert seq == card.of("delta")[-1]["seq"] if card.of("delta") else seq == 0


def test_what_is_no_number_is_taken_as_it_comes(card: FrontEnd) -> None:
    for number in (None, "1", 1.5, [1], {}):
        card.send(kind="raw", view="v", **({} if number is None else {"command": number}))
    greet(card)
    assert tuple(standing(card))[1:3] == (0, 1)


def test_replies_are_said_again_until_the_view_has_them(card: FrontEnd) -> None:
    greet(card)
    for number in (1, 2, 3):
        card.send(kind="raw", view="v", command=number)
    assert tuple(standing(card))[1:] == (3, 3, 1)
    greet(card, heard=1)
    assert replies(card, "raw") == [1, 2, 3, 2, 3]
    assert tuple(standing(card, heard=3))[1:] == (3, 3, 4)
    greet(card, heard=3)
    assert len(card.of("raw")) == 5


def test_a_view_that_is_not_known_has_to_say_hello(card: FrontEnd) -> None:
    assert standing(card, "stranger") is None
    card.send(kind="raw", view="v", command=1)
    assert standing(card) is None
    greet(card)
    assert tuple(standing(card))[1:3] == (1, 1)


def test_one_view_asks_for_all_of_a_page(demo: lab.Server) -> None:
    run = demo.task("train", epochs=1, seconds=0.01)
    run.result(10)
    one, other = FrontEnd(TaskCard(run)), FrontEnd(TaskTable([run]))
    greet(one, "a")
    greet(other, "b")
    other.send(kind="raw", view="b", rows=[0, 0], command=1)
    one.send(kind="ping", view="a", n=4, views={"a": 0, "b": 0, "c": 0})
    (pong,) = one.wait("pong")
    assert (pong["to"], pong["n"], pong["views"]["c"]) == ("a", 4, None)
    assert tuple(pong["views"]["b"])[1:] == (1, 1, 1)


def test_what_comes_after_the_bye_is_too_late(demo: lab.Server) -> None:
    form = demo.tools["train"].form(epochs=1, seconds=0.01)
    page = FrontEnd(form)
    greet(page)
    page.send(kind="run", view="v", command=1, content={"epochs": 1, "seconds": 0.01})
    page.wait("filled")
    ran = form.task
    page.send(kind="bye", view="v", command=2)
    page.send(kind="run", view="v", command=1, content={"epochs": 1, "seconds": 0.01})
    page.send(kind="ping", view="v", n=1, views={})
    page.wait("pong")
    assert form.task is ran
    assert len(page.of("filled")) == 1


def test_a_table_sleeps_and_wakes_in_the_order_it_was_told(demo: lab.Server) -> None:
    run = demo.task("train", epochs=200, seconds=20)
    page = FrontEnd(TaskTable([run]))
    greet(page)

    def say(**content: Any) -> None:
        # Not on the main thread, where a table stays awake in any case.
        sender = threading.Thread(target=page.send, kwargs={"view": "v", **content})
        sender.start()
        sender.join()

    def grows() -> bool:
        before = len(page.of("delta"))
        time.sleep(0.6)
        return len(page.of("delta")) > before + 1

    assert grows()
    say(kind="sleep", command=1)
    assert not grows()
    # A hello that is late wakes nobody who went to sleep since.
    page.send(kind="hello", view="v", seq=-1, heard=0)
    assert not grows()
    say(kind="wake", command=2)
    assert grows()
    say(kind="sleep", command=1)
    assert grows()
    run.cancel()


def test_a_changed_app_is_told_whole_to_a_view_that_missed_something(demo: lab.Server) -> None:
    view = demo.app("wave")
    page = FrontEnd(view)
    until(lambda: page.updates("_call") and page.updates("_call")[-1]["result"])
    known = page.updates("_seq")
    assert known == list(range(known[0], known[-1] + 1))
    before = len(page.comm.sent)
    greet(page, seq=known[-1])
    assert not [each for each in page.comm.sent[before:] if each["data"].get("method") == "update"]
    greet(page, seq=known[-1] - 1)
    (update,) = [each["data"]["state"] for each in page.comm.sent[before:] if each["data"].get("method") == "update"]
    assert update["_seq"] == update["_whole"] == known[-1]
    assert update["_call"]["result"] == view._call["result"]
    assert {"_resource", "_storage"} <= update.keys()


def test_what_all_views_are_told_is_kept_for_each(demo: lab.Server) -> None:
    view = demo.app("wave")
    page = FrontEnd(view)
    greet(page, "a")
    greet(page, "b")
    view.notify("notifications/tools/list_changed", {})
    (told,) = page.wait("notify")
    assert told["replies"] == {"a": 1, "b": 1}
    assert "to" not in told
    greet(page, "a", heard=0)
    greet(page, "b", heard=1)
    assert [(each.get("to"), each.get("reply")) for each in page.of("notify")] == [(None, None), ("a", 1)]
