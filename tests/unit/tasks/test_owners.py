"""Whose task it is: real bearer tokens on a real HTTP server, two of them on one store. Callers without any are in
`test_callers`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from pydantic import AnyHttpUrl

from pmcp_lab.server import Limits, TaskContext, Tasks
from pmcp_lab.server.callers import Anonymous
from tests.unit.jsonrpc import RpcError, legacy, modern, serve
from tests.unit.modern_http import Modern, rpc

PEOPLE = {  # by token: who the client is, who vouches, for whom
    "ada": ("app", "https://one", "ada"),
    "ada-again": ("other-app", "https://one", "ada"),
    "eve": ("app", "https://one", "eve"),
    "other-ada": ("app", "https://two", "ada"),
    "robot": ("robot", None, None),
    "other-robot": ("other", None, None),
    "odd": ("app", "https://one", "ada:x%2F{}#"),
}


class Verifier(TokenVerifier):
    async def verify_token(self, token: str) -> AccessToken | None:
        if token not in PEOPLE:
            return None
        client, issuer, subject = PEOPLE[token]
        claims = None if issuer is None else {"iss": issuer}
        return AccessToken(token=token, client_id=client, scopes=["tasks"], subject=subject, claims=claims)


def secured() -> dict[str, Any]:
    """What makes a server ask for the tokens of `PEOPLE`."""
    url = AnyHttpUrl("http://127.0.0.1")
    settings = AuthSettings(issuer_url=url, resource_server_url=url, validate_token_resource=False)
    return {"auth": settings, "token_verifier": Verifier()}


def lab(
    store: str, *, auth: bool = True, anonymous: Anonymous = "session", limits: Limits | None = None
) -> tuple[Tasks, MCPServer[Any]]:
    tasks = Tasks(store, anonymous=anonymous, limits=limits)

    @tasks.tool()
    async def wait(task: TaskContext) -> None:
        await task.update(variables={"secret": 1})
        await task.cancelled.wait()

    @tasks.tool()
    async def quick() -> str:
        return "for the owner's eyes"

    options = secured() if auth else {}
    return tasks, MCPServer("owners", extensions=[tasks], middleware=[tasks], log_level="CRITICAL", **options)


@asynccontextmanager
async def served(store: str, *, stateless_http: bool = False, **options: Any) -> AsyncIterator[str]:
    tasks, server = lab(store, **options)
    async with serve(server, stateless_http=stateless_http) as url:
        yield url
    await tasks.close(0)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tasks.db'}"


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=10) as client:
        yield client


def same(one: httpx2.Response, other: httpx2.Response, *ids: str) -> bool:
    """Whether two answers are the same bytes but for the ids they were asked with."""
    texts = [response.text for response in (one, other)]
    for task_id in ids:
        texts = [text.replace(task_id, "ID") for text in texts]
    return one.status_code == other.status_code and texts[0] == texts[1]


UNKNOWN = "00000000-0000-4000-8000-000000000000"
STRANGERS = ["eve", "other-ada", "robot", "odd"]


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_a_foreign_task_looks_like_a_missing_one(store: str, http: httpx2.AsyncClient, stranger: str) -> None:
    async with served(store) as url:
        ada, eve = Modern(http, url, "ada"), Modern(http, url, stranger)
        working, ended = await ada.task("wait"), await ada.task("quick")
        await ada.until(ended, "completed")
        before = [await ada.get(task_id) for task_id in (working, ended)]
        for method, params in (
            ("tasks/get", {}),
            ("tasks/cancel", {}),
            ("tasks/cancel", {"result": {"forged": True}}),
            ("tasks/update", {"inputResponses": {"q1-1": {"action": "accept"}}}),
            ("run.pmcp/tasks/set_variables", {"variables": {"a": 1}}),
        ):
            missing = await eve.about(method, UNKNOWN, **params)
            assert rpc(missing)["error"]["code"] == -32602
            for task_id in (working, ended):
                assert same(await eve.about(method, task_id, **params), missing, task_id, UNKNOWN), method
        for task_id in (working, ended, UNKNOWN):
            async with eve.listen(task_id) as messages:
                acknowledged = await anext(messages)
            assert acknowledged["params"]["notifications"]["taskIds"] == []
        assert [await ada.get(task_id) for task_id in (working, ended)] == before


async def test_legacy_strangers(store: str) -> None:
    async with served(store) as url, legacy(url, token="ada") as ada, legacy(url, token="eve") as eve:
        task_id = await ada.task("wait")
        assert (await eve.call("tasks/list"))["tasks"] == []
        for method, params in (
            ("tasks/get", {}),
            ("tasks/result", {}),
            ("tasks/cancel", {}),
            ("tasks/cancel", {"result": 1}),
            ("run.pmcp/tasks/set_variables", {"variables": {"a": 1}}),
        ):
            refusals = []
            for asked in (task_id, UNKNOWN):
                with pytest.raises(RpcError) as refusal:
                    await eve.call(method, {"taskId": asked, **params})
                refusals.append((refusal.value.code, refusal.value.message.replace(asked, "ID"), refusal.value.data))
            assert refusals[0] == refusals[1], method
        assert [task["taskId"] for task in (await ada.call("tasks/list"))["tasks"]] == [task_id]


async def test_reachable_after_a_reconnect_by_another_client_and_from_another_server(
    store: str, http: httpx2.AsyncClient
) -> None:
    async with served(store) as one, served(store) as two:
        async with legacy(one, token="ada") as first:
            task_id = await first.task("wait")
        async with legacy(one, token="ada") as again:
            assert (await again.call("tasks/get", {"taskId": task_id}))["status"] == "working"
        # The subject counts, not the client it uses; the store, not the server.
        async with legacy(two, token="ada-again") as other:
            assert [task["taskId"] for task in (await other.call("tasks/list"))["tasks"]] == [task_id]
        assert (await Modern(http, two, "ada").get(task_id))["result"]["_meta"]["secret"] == 1
        assert "error" in await Modern(http, two, "eve").get(task_id)


async def test_clients_without_a_subject(store: str, http: httpx2.AsyncClient) -> None:
    async with served(store) as url:
        robot = Modern(http, url, "robot")
        task_id = await robot.task("wait")
        assert "result" in await robot.get(task_id)
        for other in ("other-robot", "ada"):
            assert (await Modern(http, url, other).get(task_id))["error"]["code"] == -32602
        assert (await Modern(http, url, "nobody").about("tasks/get", task_id)).status_code == 401


# --- callers without credentials ------------------------------------------------------------------------


async def test_anonymous_callers_may_share_one_owner(store: str, http: httpx2.AsyncClient) -> None:
    async with served(store, auth=False, anonymous="local") as url, served(store, auth=False, anonymous="local") as two:
        async with legacy(url) as peer:
            task_id = await peer.task("wait")
        async with legacy(two) as peer:
            assert [task["taskId"] for task in (await peer.call("tasks/list"))["tasks"]] == [task_id]
        assert (await Modern(http, url, None).get(task_id))["result"]["status"] == "working"


async def test_anonymous_callers_can_be_refused(store: str, http: httpx2.AsyncClient) -> None:
    async with served(store, auth=False, anonymous="refuse") as url:
        anybody = Modern(http, url, None)
        for response in (
            await anybody.post("tools/call", "quick", name="quick", arguments={}),
            await anybody.about("tasks/get", UNKNOWN),
        ):
            error = rpc(response)["error"]
            assert error["code"] == -32600
            assert "authenticate" in error["message"]
        async with legacy(url) as peer:
            assert (await peer.tool("quick"))["structuredContent"] == {"result": "for the owner's eyes"}
            with pytest.raises(RpcError, match="authenticate"):
                await peer.tool("quick", task={})
            with pytest.raises(RpcError, match="authenticate"):
                await peer.call("tasks/list")
    # Where there is no HTTP, nobody is anonymous.
    _, server = lab("memory://", auth=False, anonymous="refuse")
    async with modern(server) as near:
        await near.until(await near.task("quick"), "completed")


def test_a_policy_that_is_none() -> None:
    with pytest.raises(ValueError, match="session, local, refuse, not 'nobody'"):
        Tasks(anonymous="nobody")  # type: ignore[arg-type]


async def test_ids_can_not_be_guessed(store: str, http: httpx2.AsyncClient) -> None:
    async with served(store) as url:
        ids = [await Modern(http, url, "ada").task("quick") for _ in range(20)]
    assert len(set(ids)) == 20
    uuid4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert all(re.fullmatch(uuid4, task_id) for task_id in ids)
    async with served(store, auth=False) as url:
        ids = [await Modern(http, url, None).task("quick") for _ in range(20)]
    assert len({task_id[:36] for task_id in ids}) == 20
    assert all(re.fullmatch(uuid4 + r"\.[0-9a-f]{12}", task_id) for task_id in ids)
