"""Who gets into the preview: the browser that was given the key, at the preview's own address, and nobody else."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from mcp.server.mcpserver import MCPServer

from pmcp_lab.errors import LabError
from pmcp_lab.preview import PreviewServer, PreviewSession
from pmcp_lab.preview.web import LARGEST
from tests.unit.preview_page import FakePage, request


@pytest.fixture(scope="module")
def server() -> Iterator[PreviewServer]:
    session = PreviewSession(MCPServer("guarded", log_level="CRITICAL"))
    session.start()
    server = PreviewServer(session)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def cookie(server: PreviewServer) -> str:
    entrance = request(server, path=f"/?token={server.token}")
    assert entrance.status == 303
    assert entrance.headers["location"] == "/"
    said = entrance.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    return entrance.headers["set-cookie"].partition(";")[0]


def test_the_printed_address_opens_the_page_and_leaves_no_key_in_it(server: PreviewServer, cookie: str) -> None:
    page = request(server, Cookie=cookie)
    assert page.status == 200
    assert server.token not in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in page.headers


def test_a_script_may_use_the_key_as_a_bearer_token(server: PreviewServer) -> None:
    assert request(server, Authorization=f"Bearer {server.token}").status == 200


@pytest.mark.parametrize("path", ["/", "/static/preview.js", "/events?page=abcdefgh", "/send", "/nothing"])
@pytest.mark.parametrize("key", [{}, {"Authorization": "Bearer wrong"}, {"Cookie": "pmcp_lab_preview_1=wrong"}])
def test_nothing_is_served_without_the_key(server: PreviewServer, path: str, key: dict[str, str]) -> None:
    refused = request(server, path=path, **key)
    assert refused.status == 403
    assert "open the whole address" in refused.text


@pytest.mark.parametrize("token", ["", "wrong", "%F0%9F%94%91", "x" * 10_000])
def test_a_wrong_key_in_the_address(server: PreviewServer, token: str) -> None:
    assert request(server, path=f"/?token={token}").status == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.2:{port}"]
)
def test_a_name_that_was_made_to_lead_here_is_refused(server: PreviewServer, cookie: str, host: str) -> None:
    named = host.format(port=server.port)
    for path in ("/", f"/?token={server.token}", "/events?page=abcdefgh"):
        assert request(server, path=path, Cookie=cookie, Host=named).status == 421


def test_localhost_is_our_name_too(server: PreviewServer) -> None:
    named = {"Host": f"localhost:{server.port}", "Authorization": f"Bearer {server.token}"}
    assert request(server, **named).status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost:{port}"])
def test_another_sites_page_may_not_send(server: PreviewServer, cookie: str, origin: str) -> None:
    """A page of another port of this machine gets the cookie sent along."""
    said = {"Cookie": cookie, "Origin": origin.format(port=server.port)}
    body = json.dumps({"page": "abcdefgh", "messages": []})
    assert request(server, "POST", "/send", body, **said).status == 403
    assert request(server, path="/events?page=abcdefgh", **said).status == 403
    assert request(server, Cookie=cookie, path="/events?page=abcdefgh", Sec_Fetch_Site="same-site").status == 403


def test_who_does_not_say_where_a_request_comes_from_may_not_send(server: PreviewServer, cookie: str) -> None:
    assert request(server, "POST", "/send", "{}", Cookie=cookie).status == 403


def test_our_own_page_may_send(server: PreviewServer, cookie: str) -> None:
    page = FakePage(server, "abcdefgh")
    page.wait("status")
    body = json.dumps({"page": "abcdefgh", "messages": [{"kind": "nonsense"}, "nonsense"]})
    origin = f"http://127.0.0.1:{server.port}"
    assert request(server, "POST", "/send", body, Cookie=cookie, Origin=origin).status == 200
    page.close()


@pytest.mark.parametrize("body", ["", "[]", "{", '{"page": "unknown0", "messages": []}', '{"page": ["x"]}', "\udcff"])
def test_nonsense_is_refused(server: PreviewServer, body: str) -> None:
    answer = request(
        server, "POST", "/send", body.encode("utf-8", "surrogatepass"), Authorization=f"Bearer {server.token}"
    )  # type: ignore[arg-type]
    assert answer.status == 400


def test_what_is_too_large_is_not_read(server: PreviewServer) -> None:
    said = {"Authorization": f"Bearer {server.token}", "Content-Length": str(LARGEST + 1)}
    assert request(server, "POST", "/send", "{", **said).status == 413


@pytest.mark.parametrize("name", ["../cli.py", "..%2f_version.py", "%2e%2e/_version.py", "inspector.js", "app-view.js"])
def test_no_file_but_the_pages_own(server: PreviewServer, name: str) -> None:
    assert request(server, path=f"/static/{name}", Authorization=f"Bearer {server.token}").status == 404


def test_it_listens_on_the_loopback_interface_alone(server: PreviewServer) -> None:
    others = [each[4][0] for each in socket.getaddrinfo(socket.gethostname(), server.port, socket.AF_INET)]
    for address in {address for address in others if not address.startswith("127.")}:
        with socket.socket() as probe:
            probe.settimeout(1)
            assert probe.connect_ex((address, server.port)) != 0
    assert server._socket.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken(server: PreviewServer) -> None:
    with pytest.raises(LabError, match=r"can't listen on 127\.0\.0\.1:\d+: .*--port"):
        PreviewServer(server.session, server.port)
