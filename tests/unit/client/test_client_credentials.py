"""Programs that let themselves in with OAuth's client credentials, over a real authorization server."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pmcp_lab as lab
from pmcp_lab.client.targets.target import read_target
from pmcp_lab.errors import ConnectionFailed, PeerError, SignInFailed, TargetError
from tests.unit.guarded import Guard, guarded_server

pytestmark = pytest.mark.usefixtures("state")


def refused(*given: Any, **named: Any) -> str:
    with pytest.raises(ConnectionFailed) as caught:
        lab.connect(*given, **named)
    return caught.value.message


@pytest.fixture
def program(url: str, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> lab.ClientCredentials:
    """One that the server knows."""
    guard.programs["robot"] = "secret-of-robot"
    monkeypatch.setenv("ROBOT", "secret-of-robot\n")
    return lab.ClientCredentials("robot", secret="$ROBOT", issuer=url.removesuffix("/mcp"))


def test_a_program_is_let_in_by_itself(url: str, guard: Guard, program: lab.ClientCredentials, state: Path) -> None:
    server = lab.connect(url, auth=program)
    assert server.call("add", a=1, b=2).value == 3
    assert guard.asked == ["robot"], "once for all that the handshake asks"
    guard.end_access()
    sums = server.map("add", [{"a": n, "b": 1} for n in range(20)], concurrency=10).results(timeout=20)
    assert [each.value for each in sums] == list(range(1, 21))
    assert guard.asked == ["robot"] * 2, "and once for all that wait"
    assert guard.authorized == 0
    assert not list(state.glob("sign-in-*")), "a token that is had for the asking is not kept"


def test_what_stops_a_program(
    url: str, guard: Guard, program: lab.ClientCredentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBOT", "yesterday's")
    wrong = refused(url, auth=program)
    assert "as client 'robot'" in wrong
    assert "invalid_client" in wrong
    assert "yesterday's" not in wrong
    monkeypatch.setenv("ROBOT", "secret-of-robot")
    assert lab.connect(url, auth=program).call("add", a=1, b=2).value == 3, "the secret is read anew"
    monkeypatch.delenv("ROBOT")
    with pytest.raises(SignInFailed, match="client 'robot' can't be read: there is no variable ROBOT"):
        lab.connect(url, auth=program, name="again")
    elsewhere = replace(program, secret="keyring:work/robot")
    with pytest.raises(SignInFailed, match="the keyring has nothing for 'robot' of 'work'"):
        lab.connect(url, auth=elsewhere, name="again")


def test_the_secret_of_a_program_goes_to_its_issuer_alone(
    url: str, guard: Guard, program: lab.ClientCredentials
) -> None:
    assert "http://127.0.0.1:1" in refused(url, auth=replace(program, issuer="http://127.0.0.1:1"))
    assert guard.asked == []
    for secret in ("secret-of-robot", "", "$", "$A B", "keyring:x"):
        with pytest.raises(TargetError, match="secret= says where the secret is") as failed:
            lab.ClientCredentials("robot", secret=secret, issuer="https://example.org")
        assert "of-robot" not in str(failed.value)
    for issuer in ("http://example.org", "example.org", "", "ftp://127.0.0.1", "http://127.0.0.1.example.org"):
        with pytest.raises(TargetError, match="issuer= must be an https address"):
            lab.ClientCredentials("robot", secret="$ROBOT", issuer=issuer)


def test_a_program_whose_call_is_slow_stops_no_other(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    guard.programs["robot"] = "x"
    monkeypatch.setenv("ROBOT", "x")
    with guarded_server(guard, json_response=True) as where:
        auth = lab.ClientCredentials("robot", secret="$ROBOT", issuer=where.removesuffix("/mcp"))
        with lab.connect(where, auth=auth) as server:
            guard.end_access()
            slow = server.task("hold")
            assert guard.entered.wait(10)
            assert server.call("add", a=1, b=2, timeout=5).value == 3
            guard.leave.set()
            assert slow.result(10).value == "held"


def test_an_authorization_server_that_is_away_is_named(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBOT", "x")
    away = "http://127.0.0.1:1"
    with guarded_server(guard, issuer=away) as url:
        said = refused(url, auth=lab.ClientCredentials("robot", secret="$ROBOT", issuer=away), timeout=10)
        assert f"the authorization server at {away} does not answer" in said
        assert "mode=" not in said, "another generation would not help"


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_token_that_is_refused_at_once_is_not_asked_for_again_and_again(
    url: str, guard: Guard, program: lab.ClientCredentials, mode: str
) -> None:
    why = f"it refuses the token that {program.issuer} has just given to client 'robot' (401"
    guard.useless = True
    told = refused(url, auth=program, mode=mode, name="first")
    assert why in told
    assert guard.asked == ["robot"]
    guard.useless = False
    server = lab.connect(url, auth=program, mode=mode, name="second")
    guard.asked.clear()
    guard.useless = True
    guard.end_access()
    for times in (1, 2):
        with pytest.raises(PeerError) as failed:
            server.call("add", a=1, b=2, timeout=10)
        assert why in failed.value.message
        # And for the session's stream, which is tried twice.
        assert times <= len(guard.asked) <= times + (2 if mode == "legacy" else 0), "once for each call"
    for secret in ("secret-of-robot", *guard.given):
        assert secret not in told + failed.value.message
    guard.useless = False
    assert server.call("add", a=1, b=2, timeout=10).value == 3


PROGRAM = {"clientId": "robot", "secret": "$ROBOT", "issuer": "https://sign-in.example"}


def test_an_entry_of_a_file_lets_a_program_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBOT", "secret-of-robot")

    def read(settings: object) -> Any:
        entry = {"url": "https://example.org/mcp", "clientCredentials": settings}
        (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": {"far": entry}}))
        return read_target("far")[1]

    wanted = lab.ClientCredentials("robot", secret="$ROBOT", issuer="https://sign-in.example", scope="use")
    assert read({**PROGRAM, "scope": "use"}).auth == wanted
    for settings, why in (
        ("robot", "must be an object of texts"),
        ({**PROGRAM, "scope": ["use"]}, "must be an object of texts"),
        ({"clientId": "robot"}, "lack 'secret' and 'issuer'"),
        ({**PROGRAM, "scopes": "use"}, "have no 'scopes'. Did you mean 'scope'"),
        ({**PROGRAM, "secret": "${ROBOT}"}, "'far': secret= says where the secret is"),
        ({**PROGRAM, "issuer": "http://sign-in.example"}, "issuer= must be an https address"),
    ):
        with pytest.raises(TargetError) as failed:
            read(settings)
        assert why in failed.value.message
        assert "secret-of-robot" not in failed.value.message
