"""Which servers a page may speak to itself, and what it is told of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import comm
import ipywidgets
import pytest

import pmcp_lab as lab
from pmcp_lab.errors import AppError
from pmcp_lab.notebook.app_reopening import asking, reopen
from tests.servers.bridged import Bridged
from tests.unit.front_end import Comm, FrontEnd, until


@pytest.fixture(autouse=True)
def comms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", Comm)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Bridged("<p>").serving() as url:
        yield url


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_page_learns_the_address_and_no_more(url: str, mode: str) -> None:
    with lab.connect(url, name=f"open-{mode}", mode=mode) as server:
        view = server.app("show", bridge="direct")
        assert view.bridge == "direct"
        told = FrontEnd(view).updates("_bridge")[-1]
        assert told["url"] == url
        assert told["version"] == server.version
        assert set(told) == {"mode", "url", "version", "info", "capabilities"}
        assert "sampling" not in told["capabilities"]
        view.bridge = "kernel"
        assert FrontEnd(view).updates("_bridge")[-1] == {"mode": "kernel"}


def test_a_server_without_cors_is_refused() -> None:
    with Bridged("<p>").serving(cors=False) as closed, lab.connect(closed, name="closed") as server:
        with pytest.raises(AppError, match=r"'closed' itself: it lets no pages in \(.*CORS.*Keep bridge='kernel'"):
            server.app("show", bridge="direct")
        assert server.app("show").bridge == "kernel"


def test_a_command_and_an_object_are_refused() -> None:
    with lab.connect("demo", name="command") as server, pytest.raises(AppError, match="a command of this machine"):
        server.app("wave", bridge="direct")
    inside = Bridged("<p>").server
    with lab.connect(inside, name="inside") as server, pytest.raises(AppError, match="lives in this process"):
        server.app("show").bridge = "direct"


def test_secrets_never_reach_the_page(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "BRIDGED", url)
    config = tmp_path / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"hidden": {"url": "${BRIDGED}"}}}))
    secret = "s3cret"
    guarded = [
        lab.connect(url, name="token", token=secret),
        lab.connect(url, name="header", headers={"X-Key": secret}),
        lab.connect(f"{url}?key={secret}", name="query"),
        lab.connect(url.replace("://", f"://me:{secret}@"), name="user"),
        lab.connect("hidden", config=config),
    ]
    for server in guarded:
        with server:
            view = server.app("show")
            with pytest.raises(AppError, match="secrets never reach the page") as refused:
                view.bridge = "direct"
            assert secret not in str(refused.value)
            assert secret not in str(FrontEnd(view).comm.sent)


def test_an_unknown_bridge_is_refused(url: str) -> None:
    with lab.connect(url, name="unknown") as server, pytest.raises(AppError, match="'kernel' or 'direct'"):
        server.app("show").bridge = "carrier pigeon"


def test_a_page_that_fails_goes_back_to_the_kernel(url: str) -> None:
    with lab.connect(url, name="failing") as server:
        view = server.app("show", bridge="direct")
        page = FrontEnd(view)
        page.send(kind="event", view="v1", event="bridge", payload={"mode": "kernel", "why": "mixed content"})
        until(lambda: view.bridge == "kernel")
        assert view.events[-1]["payload"]["why"] == "mixed content"


def test_what_the_page_asked_itself_is_among_the_calls(url: str) -> None:
    with lab.connect(url, name="reporting") as server:
        view = server.app("show", bridge="direct")
        call = {"time": 1, "method": "tools/call", "params": {"name": "add"}, "ms": 3, "result": {"content": []}}
        FrontEnd(view).send(kind="event", view="v1", event="called", payload=call)
        until(lambda: len(view.calls))
        assert view.calls.df["name"].tolist() == ["add"]


def test_an_app_is_opened_again_where_its_server_is_known(url: str) -> None:
    def asked(server: str) -> str:
        return reopen(json.dumps({"server": server, "tool": "show", "arguments": {}}))

    with lab.connect(url, name="again"):
        assert "export" in asking("again").data, "who asks the person first"
        assert len(asked("again")) == len(asked("again")) == 32, "the id of a model"
    # It comes out of a file: a command line, an address and the demo's name start and open nothing.
    for stranger in ("again-and-again", "demo", "python -c 'open(1)'", url):
        with pytest.raises(AppError, match="run the cell that connects it"):
            asked(stranger)
        with pytest.raises(AppError, match="run the cell that connects it"):
            asking(stranger)


def test_a_page_makes_no_view_in_the_kernel(url: str) -> None:
    """What JupyterLab finds in a file it may offer to the kernel, which has no class under that name."""
    with lab.connect(url, name="offered") as server:
        view = server.app("show")
        before = set(ipywidgets.Widget.get_manager_state()["state"])
        data = {"state": {**view.get_state(), "_bridge": {"mode": "direct", "url": url}}, "buffer_paths": []}
        opened = {"metadata": {"version": "2.1.0"}, "content": {"data": data}, "buffers": []}
        with pytest.raises(KeyError):
            ipywidgets.Widget.handle_comm_opened(Comm(comm_id="offered"), opened)
        assert set(ipywidgets.Widget.get_manager_state()["state"]) == before


def test_questions_of_a_call_that_a_page_made(url: str) -> None:
    with lab.connect(url, name="relaying") as server:
        view = server.app("show", bridge="direct")
        page = FrontEnd(view)
        schema = {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}
        params = {"message": "Which size?", "requestedSchema": schema}
        asked = {"tool": "shirt", "method": "elicitation/create", "params": params}
        page.send(kind="asked", view="v1", call=1, payload=asked)
        until(lambda: view.asking)
        (card,) = page.updates("_cards")[-1]
        view.asking[0].answer({"size": 5})
        answer = page.wait("rpc-result")[0]
        assert answer["payload"] == {"result": {"action": "accept", "content": {"size": 5}}}
        until(lambda: page.updates("_cards")[-1] == [])
        assert card
        assert len(view.calls) == 0
        # One that the page gives up is not asked any longer.
        page.send(kind="asked", view="v1", call=2, payload=asked)
        until(lambda: view.asking)
        page.send(kind="rpc-cancel", view="v1", call=2)
        until(lambda: not view.asking)


def test_what_a_page_may_not_have_answered(url: str) -> None:
    with lab.connect(url, name="picky") as server:
        page = FrontEnd(server.app("show", bridge="direct"))
        for number, method in enumerate(("roots/list", "sampling/createMessage"), 1):
            payload = {"tool": "show", "method": method, "params": {}}
            page.send(kind="asked", view="v1", call=number, payload=payload)
            assert "error" in page.wait("rpc-result", number)[-1]["payload"]
