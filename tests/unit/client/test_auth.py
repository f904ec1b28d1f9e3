"""Signing in to a server that wants it: the SDK's own authorization server, and a browser that follows redirects."""

from __future__ import annotations

import json
import logging
import socket
import stat
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from IPython.utils.capture import capture_output

import pmcp_lab as lab
from pmcp_lab.client import client_of
from pmcp_lab.client.oauth import flow as auth
from pmcp_lab.client.targets.target import Command, Url, read_target
from pmcp_lab.errors import ConnectionFailed, LabError, PeerError, TargetError
from pmcp_lab.notebook import Catalogue, TaskCard, TaskTable
from pmcp_lab.notebook.listing import ServerList
from pmcp_lab.notebook.sign_in import show_link
from tests.unit.guarded import Guard, guarded_server

pytestmark = pytest.mark.usefixtures("state")


def browse(url: str) -> str:
    """What a browser does: follow the redirects. Returns where they ended, opened or not."""
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            return str(page.geturl())
    except urllib.error.URLError:
        return url


def another_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what this process knows; what is kept stays."""
    for server in lab.servers().values():
        server.close()
    monkeypatch.setattr(auth, "_providers", {})


def test_sign_in_by_loopback(url: str, guard: Guard, state: Path) -> None:
    server = lab.connect(url, auth=lab.OAuth(open=browse))
    assert server.call("add", a=1, b=2).value == 3
    assert guard.authorized == 1
    (file,) = state.glob("sign-in-*")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_the_link_is_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pmcp_lab.client import views

    shown: list[str] = []

    def show(server: str, link: str) -> Any:
        shown.append(link)
        threading.Thread(target=browse, args=(link,)).start()
        return lambda: shown.append("taken away")

    monkeypatch.setattr(views, "show_sign_in", show)
    assert lab.connect(url, auth="oauth").call("add", a=1, b=2).value == 3
    assert shown[0].startswith(url.removesuffix("/mcp") + "/authorize?")
    assert shown[1:] == ["taken away"]


def test_the_link_in_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    show_link("far", "https://example.org/authorize?state=1")()
    assert "https://example.org/authorize?state=1" in capsys.readouterr().out
    InteractiveShell.instance()
    try:
        with capture_output(stdout=False, stderr=False) as captured:
            show_link("<far>", 'https://example.org/authorize?a="1"&b=2')()
            show_link("far", "javascript:alert(1)")
    finally:
        InteractiveShell.clear_instance()
    link, gone, script = captured.outputs
    assert '<a href="https://example.org/authorize?a=&quot;1&quot;&amp;b=2"' in link.data["text/html"]
    assert "&lt;far&gt;" in link.data["text/html"]
    assert "https" not in str(gone.data), "what is saved with the notebook has no address"
    assert "href" not in script.data["text/html"]


@pytest.mark.parametrize("whole", [True, False], ids=["address", "code"])
def test_the_answer_is_pasted(url: str, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    came: list[str] = []

    def elsewhere(link: str) -> None:
        try:
            urllib.request.build_opener(NoRedirect).open(link, timeout=10)
        except urllib.error.HTTPError as answer:
            came.append(answer.headers["Location"])

    monkeypatch.setattr("getpass.getpass", lambda _: came[0] if whole else came[0].split("code=")[1].split("&")[0])
    server = lab.connect(url, auth=lab.OAuth(redirect="paste", open=elsewhere))
    assert server.call("add", a=1, b=2).value == 3


def test_a_later_kernel_is_let_in(url: str, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.connect(url, auth=lab.OAuth(open=browse)).call("add", a=1, b=2)
    another_kernel(monkeypatch)
    assert lab.connect(url, auth="oauth").call("add", a=1, b=2).value == 3
    assert guard.authorized == 1
    assert len(guard.clients) == 1


def test_a_later_kernel_renews_what_is_over(url: str, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.connect(url, auth=lab.OAuth(open=browse)).call("add", a=1, b=2)
    guard.end_access()
    another_kernel(monkeypatch)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 2 * 3600)
    assert lab.connect(url, auth="oauth").call("add", a=1, b=2).value == 3
    assert (guard.authorized, guard.renewed) == (1, 1)


def test_tokens_are_renewed_in_the_middle(url: str, guard: Guard) -> None:
    server = lab.connect(url, auth=lab.OAuth(open=browse))
    guard.end_access()  # earlier than the server had said
    assert server.call("add", a=1, b=2).value == 3
    assert (guard.authorized, guard.renewed) == (1, 1)
    held = server.task("hold")
    assert guard.entered.wait(5)
    guard.end_access()
    many = server.map("add", [{"a": n, "b": 1} for n in range(12)])
    assert [each.value for each in many.results(timeout=10)] == list(range(1, 13))
    assert (guard.authorized, guard.renewed) == (1, 2), "twelve that find it out at once renew it once"
    guard.leave.set()
    assert held.result(5).value == "held"


def test_what_another_kernel_renewed_is_taken(url: str, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lab.connect(url, auth=lab.OAuth(open=browse))
    monkeypatch.setattr(auth, "_providers", {})
    second = lab.connect(url, auth=lab.OAuth(), name="second")
    guard.end_access()
    assert second.call("add", a=1, b=2).value == 3
    assert first.call("add", a=1, b=2).value == 3, "its own refresh token was used up by the other"
    assert (guard.authorized, guard.renewed) == (1, 1)


def test_two_kernels_renew_at_once(url: str, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lab.connect(url, auth=lab.OAuth(open=browse))
    monkeypatch.setattr(auth, "_providers", {})
    second = lab.connect(url, auth=lab.OAuth(), name="second")
    assert (first.tool("add").name, second.tool("add").name) == ("add", "add")
    guard.end_access()
    guard.renew.clear()
    one = first.map("add", [{"a": 1, "b": 2}])
    assert guard.renewing.wait(5)
    other = second.map("add", [{"a": 1, "b": 2}])
    assert guard.refused.wait(5)
    guard.renew.set()
    assert [each.results(timeout=5)[0].value for each in (one, other)] == [3, 3]
    assert (guard.authorized, guard.renewed) == (1, 1)


def test_a_renewal_that_nobody_waits_for_any_more_counts(url: str, guard: Guard) -> None:
    server = lab.connect(url, auth=lab.OAuth(open=browse))
    assert server.tool("add").name == "add"
    guard.end_access()
    guard.renew.clear()
    calls = server.map("add", [{"a": 1, "b": 2}])
    assert guard.renewing.wait(5)
    server.close()
    guard.renew.set()
    with pytest.raises(LabError, match="closed"):
        calls.results(timeout=5)
    assert lab.connect(url, auth=lab.OAuth(open=browse)).call("add", a=1, b=2).value == 3
    assert (guard.authorized, guard.renewed) == (1, 1)


def test_a_slow_call_stops_no_other(guard: Guard) -> None:
    with guarded_server(guard, json_response=True) as url:
        server = lab.connect(url, auth=lab.OAuth(open=browse), mode="legacy")
        slow = server.task("hold")
        assert guard.entered.wait(5)
        assert server.call("add", a=1, b=2, timeout=5).value == 3
        guard.leave.set()
        assert slow.result(5).value == "held"
        server.close()


def test_a_slow_call_that_was_sent_again_stops_no_other(guard: Guard) -> None:
    with guarded_server(guard, json_response=True) as url:
        server = lab.connect(url, auth=lab.OAuth(open=browse), mode="legacy")
        assert server.tool("hold").name == "hold"
        guard.end_access()
        slow = server.map("hold", [{}])
        assert guard.entered.wait(5)
        guard.end_access()
        assert server.call("add", a=1, b=2, timeout=5).value == 3
        guard.leave.set()
        assert slow.results(timeout=5)[0].value == "held"
        assert (guard.authorized, guard.renewed) == (1, 2)
        server.close()


def test_a_sign_in_that_ended_asks_nobody_who_is_not_there(url: str, guard: Guard) -> None:
    server = lab.connect(url, auth=lab.OAuth(open=browse))
    guard.end_access()
    guard.refresh.clear()
    with pytest.raises(PeerError, match="wants you to sign in again, .*: close the connection and connect again"):
        server.call("add", a=1, b=2)
    server.close()
    assert lab.connect(url, auth=lab.OAuth(open=browse)).call("add", a=1, b=2).value == 3
    assert guard.authorized == 2


def test_a_scope_that_is_missing_is_asked_for_at_the_next_connecting(url: str, guard: Guard) -> None:
    server = lab.connect(url, auth=lab.OAuth(open=browse))
    guard.narrow()
    with pytest.raises(PeerError, match="wants you to sign in again, .*: close the connection and connect again"):
        server.call("add", a=1, b=2)
    assert guard.authorized == 1, "nobody is asked in the middle of a call"
    server.close()
    assert lab.connect(url, auth=lab.OAuth(open=browse)).call("add", a=1, b=2).value == 3
    assert guard.authorized == 2


def test_a_scope_that_another_kernel_got_is_taken(url: str, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lab.connect(url, auth=lab.OAuth(open=browse))
    guard.narrow()
    monkeypatch.setattr(auth, "_providers", {})
    lab.connect(url, auth=lab.OAuth(open=browse), name="second")
    assert guard.authorized == 2
    assert first.call("add", a=1, b=2).value == 3
    assert guard.authorized == 2


def test_what_is_forbidden_for_good_makes_nobody_sign_in(url: str, guard: Guard) -> None:
    server = lab.connect(url, auth=lab.OAuth(open=browse))
    guard.forbidden = True
    with pytest.raises(PeerError, match="does not let you do this"):
        server.call("add", a=1, b=2)
    assert guard.turned_away.count("tools/list") == 1, guard.turned_away
    server.close()
    with pytest.raises(ConnectionFailed):
        lab.connect(url, auth=lab.OAuth(open=browse))
    assert (guard.authorized, guard.renewed) == (1, 0)


def test_sign_out(url: str, guard: Guard, state: Path) -> None:
    lab.connect(url, auth=lab.OAuth(open=browse)).close()
    lab.sign_out(url)
    assert not list(state.glob("sign-in-*"))
    lab.connect(url, auth=lab.OAuth(open=browse))
    assert guard.authorized == 2


def test_a_sign_in_that_is_not_kept(url: str, guard: Guard, state: Path) -> None:
    server = lab.connect(url, auth=lab.OAuth(open=browse, keep=False))
    guard.end_access()
    assert server.call("add", a=1, b=2).value == 3
    assert not list(state.glob("sign-in-*"))


def test_a_port_that_was_taken_meanwhile_is_left(url: str, guard: Guard) -> None:
    lab.connect(url, auth=lab.OAuth(open=browse)).close()
    guard.end_access()
    guard.refresh.clear()
    (client,) = guard.clients.values()
    assert client.redirect_uris
    with socket.create_server(("127.0.0.1", client.redirect_uris[0].port or 0)):
        assert "is taken by another program. Connect again" in refused(url, auth=lab.OAuth(open=browse))
        assert lab.connect(url, auth=lab.OAuth(open=browse)).call("add", a=1, b=2).value == 3


def test_a_client_registered_by_hand(url: str, guard: Guard) -> None:
    from mcp.shared.auth import OAuthClientInformationFull
    from pydantic import AnyUrl

    port = auth._free_port()
    guard.clients["by-hand"] = OAuthClientInformationFull(
        client_id="by-hand",
        client_secret="kept-by-hand",
        redirect_uris=[AnyUrl(f"http://127.0.0.1:{port}/callback")],
        token_endpoint_auth_method="client_secret_post",
        scope="use",
    )
    settings = lab.OAuth(client_id="by-hand", client_secret="kept-by-hand", port=port, open=browse)
    assert lab.connect(url, auth=settings).call("add", a=1, b=2).value == 3
    assert list(guard.clients) == ["by-hand"]


def refused(*given: Any, **named: Any) -> str:
    with pytest.raises(ConnectionFailed) as caught:
        lab.connect(*given, **named)
    return caught.value.message


def test_refusals_say_what_to_do(url: str, guard: Guard) -> None:
    assert 'connect with auth="oauth" to sign in, or with token=…' in refused(url)
    assert "refuses the token (401" in refused(url, token="made-up")
    guard.refuse = True
    assert "did not let you in: not you" in refused(url, auth=lab.OAuth(open=browse))
    assert guard.authorized == 1, "the person was asked once"
    assert "nobody signed in at" in refused(url, auth=lab.OAuth(open=str, timeout=0.1))
    assert all(len(text.splitlines()) == 1 for text in (refused(url), refused(url, token="made-up")))


def test_what_can_not_be(url: str) -> None:
    with pytest.raises(TargetError, match="neither headers= nor token= nor auth="):
        lab.connect("demo", token="x")
    with pytest.raises(TargetError, match="a token and auth= as well"):
        lab.connect(url, token="x", auth="oauth")
    with pytest.raises(TargetError, match='auth must be "oauth", an OAuth'):
        lab.connect(url, auth="x")


def test_a_token_and_headers(url: str, guard: Guard) -> None:
    from mcp.server.auth.provider import AccessToken

    guard.access["by-hand"] = AccessToken(token="by-hand", client_id="x", scopes=["use"])
    guard.access["no-scope"] = AccessToken(token="no-scope", client_id="x", scopes=[])
    assert lab.connect(url, token="by-hand").call("add", a=1, b=2).value == 3
    assert lab.connect(url, headers={"authorization": "Bearer by-hand"}, name="h").call("add", a=1, b=2).value == 3
    assert "does not let you do this (403: Required scope: use)" in refused(url, token="no-scope")


def test_a_stranger_on_the_loopback_port_is_not_heard(url: str) -> None:
    def browsed(link: str) -> None:
        port = urlsplit(parse_qs(urlsplit(link).query)["redirect_uri"][0]).port
        for path in ("/callback?code=mine&state=guessed", "/callback?error=access_denied", "/favicon.ico"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10)
        browse(link)

    heard: list[BaseException] = []

    def opened(link: str) -> None:
        def run() -> None:
            try:
                browsed(link)
            except BaseException as error:
                heard.append(error)

        threading.Thread(target=run).start()

    assert lab.connect(url, auth=lab.OAuth(open=opened)).call("add", a=1, b=2).value == 3
    assert not heard


def test_no_secret_is_in_any_text(url: str, guard: Guard, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts: list[str] = []
    client_secret, token, header = ("-".join(["some", "secret", name]) for name in ("c", "t", "h"))
    settings = lab.OAuth(open=browse, client_secret=client_secret)
    server = lab.connect(url, auth=settings)
    guard.end_access()
    server.call("add", a=1, b=2)
    texts += [repr(settings), repr(server), repr(client_of(server).target), repr(client_of(server).connection.__dict__)]
    seen: list[Any] = [server.tools, ServerList(lab.servers()), server.task("add", a=1, b=2)]
    texts += [json.dumps(each._repr_mimebundle_(), default=str) for each in (seen[0], TaskCard(seen[2]))]
    texts.append(repr(seen[1]) + seen[1]._repr_html_())
    texts += [json.dumps(widget.get_state(), default=str) for widget in (Catalogue(seen[0]), TaskTable(server))]
    guard.end_access()
    guard.refresh.clear()
    for cause in (
        lambda: server.call("add", a=1, b=2),
        lambda: lab.connect(url, token=token, headers={"X-Key": header}),
    ):
        try:
            cause()
        except LabError as error:
            texts.append("".join(traceback.format_exception(error)))
            texts += error._render_traceback_()
    texts.append(caplog.text)
    known = [*guard.given, client_secret, token, header]
    assert len(guard.given) >= 5
    for text in texts:
        assert text
        for secret in known:
            assert secret not in text, text


def test_entries_say_how_to_sign_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THE_TOKEN", "very-secret")
    entries = {
        "far": {"url": "https://example.org/${THE_TOKEN}/mcp", "headers": {"Authorization": "Bearer ${THE_TOKEN}"}},
        "near": {"command": "run", "args": ["--key", "${THE_TOKEN}"], "env": {"K": "${THE_TOKEN}"}},
        "plain": {"url": "https://example.org/mcp", "auth": "oauth"},
        "claude": {"url": "https://example.org/mcp", "oauth": {"clientId": "me", "callbackPort": 4000}},
    }
    (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": entries}))
    far = read_target("far")[1]
    assert far == Url("https://example.org/very-secret/mcp", (("Authorization", "Bearer very-secret"),))
    near = read_target("near")[1]
    assert near == Command(("run", "--key", "very-secret"), (("K", "very-secret"),))
    for target in (far, near):
        assert "very-secret" not in f"{target} {target!r}"
    assert str(near) == "run --key '${THE_TOKEN}'"
    assert read_target("plain")[1].auth == lab.OAuth()  # type: ignore[union-attr]
    assert read_target("claude")[1].auth == lab.OAuth(client_id="me", port=4000)  # type: ignore[union-attr]


def test_a_keyring_is_used_where_there_is_one(
    url: str, guard: Guard, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a module that has keyring's interface: which one a machine has, and whether it is locked, is its own."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "keyring"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "keyring").mkdir()
    (tmp_path / "keyring" / "errors.py").write_text("class KeyringError(Exception): ...\n")
    (tmp_path / "keyring" / "__init__.py").write_text(
        "class Backend: priority = 5\n"
        "kept = {}\n"
        "def get_keyring(): return Backend\n"
        "def get_password(*key): return kept.get(key)\n"
        "def set_password(service, name, value): kept[service, name] = value\n"
        "def delete_password(*key): kept.pop(key, None)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    lab.connect(url, auth=lab.OAuth(open=browse)).close()
    import keyring

    ((service, account),) = keyring.kept
    assert (service, url in account) == ("pmcp_lab", True)
    assert not list(state.glob("sign-in-*"))
    lab.sign_out(url)
    assert not keyring.kept
    keyring.set_password("work", "robot", "x")
    guard.programs["robot"] = "x"
    auth = lab.ClientCredentials("robot", secret="keyring:work/robot", issuer=url.removesuffix("/mcp"))
    assert lab.connect(url, auth=auth).call("add", a=1, b=2).value == 3
    for name in [name for name in sys.modules if name.partition(".")[0] == "keyring"]:
        del sys.modules[name]
