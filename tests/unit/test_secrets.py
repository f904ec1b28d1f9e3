"""Passwords and tokens of addresses and headers are in no text: no error, no chained one, no repr, no log line."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import traceback
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

import pmcp_lab
from pmcp_lab.client import client_of
from pmcp_lab.client.targets.target import Command, Url, read_target
from pmcp_lab.errors import LabError, StoreError
from pmcp_lab.execution import open_executor
from pmcp_lab.protocol import address
from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL, TaskStore, open_store, store_url
from pmcp_lab.tasks.backends.memory import MemoryBackend
from pmcp_lab.tasks.pmcp_import import import_pmcp
from tests.unit.storage_servers import RedisServer, free_port, shared_redis

PARTS = ("sEcReT", "hUnTeR")
"""What is looked for: both halves of a password, with something in between at which it may be cut in two."""


def hidden(*texts: object) -> None:
    for text in map(str, texts):
        for part in PARTS:
            assert part.lower() not in text.lower(), text


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def keeps(error: BaseException) -> None:
    """Nothing that anybody prints of the error has the secret, with what led to it."""
    # Lines of this file have it, as the code of a caller may.
    hidden(*(line for line in traceback.format_exception(error) if not line.startswith("  File")))
    for one in chain(error):
        hidden(str(one), repr(one), *getattr(one, "__notes__", ()))
    if isinstance(error, LabError):
        hidden(*error._render_traceback_())


# --- addresses that are read ------------------------------------------------------------------------

stores = st.sampled_from(["redis", "rediss", "REDIS", "redis+cluster", "rediss+cluster", "unix", "sqlite", "memory"])
others = st.sampled_from(["dynamodb", "http", "https", "postgres", "mine", "reddis", ""])
cuts = st.sampled_from(
    [*"#/?@:&=;%+[]\\!$,℀é\t\x00", "%zz", "%40", "%2F", "//", "/?", "@/", "?@", ":@", "/@", "#@", "::", ""]
)


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """A URL, or what somebody took for one, with a secret wherever people put them."""
    secret = PARTS[0] + draw(cuts) + PARTS[1]
    user = draw(st.sampled_from(["{}@", "user:{}@", ":{}@", "{}:pw@", "a@b:{}@", "user:{}", ":{}", "", ""]))
    host = draw(st.sampled_from(["host", "127.0.0.1:1", "[::1]:1", "[::1", "h:port", "h:99999", "h:-1", "", "table"]))
    if "@" not in user:
        # Somebody forgot it, and the host.
        host, secret = "", secret.replace("@", "")
    path = draw(st.sampled_from(["", "/", "/0", "/zero", "/0/1", "//x", "/tasks.db", "/a b"]))
    query = draw(
        st.sampled_from(["", "", "?password={}", "?username=u&password={}", "?token={}", "?socket_timeout={}"])
        | st.sampled_from(["?x=1&{}", "?{}", "#{}", "?cluster=true&password={}", "?db={}", "?endpoint=http://u:{}@h"])
        | st.sampled_from(["?region=eu-1&endpoint=http://h?token={}", "?prefix=a&protocol={}"])
    )
    between = draw(st.sampled_from(["://", "://", "://", ":/", ":", ":///", "//", ""]))
    return draw(stores | others) + between + (user + host + path + query).replace("{}", secret)


def attempts(url: str) -> Iterator[Callable[[], Any]]:
    yield lambda: open_store(url)
    yield lambda: Tasks(url)
    yield lambda: Tasks(url, executor="docket")
    yield lambda: open_executor("docket", url)
    yield lambda: asyncio.run(import_pmcp(url, TaskStore(MemoryBackend()))) if "PMCP" in refusal(url) else None
    if not any(map(str.isspace, url)):
        # Else it is a command line.
        yield lambda: read_target(url)
    yield lambda: Url(url)


def refusal(url: str) -> str:
    return "PMCP" if url.partition("://")[0].lower() not in ("redis", "rediss", "dynamodb") else ""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that a test makes by chance, and configuration that could be read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(addresses())
@example("reddis://user:sEcReThUnTeR@host")
@example("redis://:sEcReT@hUnTeR@host:port")
@example("redis:/user:sEcReT@host")
@example("redis://user:sEcReT/hUnTeR@host")
@example("redis://sEcReT?hUnTeR@host")
@example("redis://user:12#sEcReT@host")
@example("redis://user:12?sEcReT@host")
@example("redis://host?password=sEcReT&hUnTeR")
@example("redis://host?sEcReT=hUnTeR")
@example("redis://host/0?socket_timeout=sEcReT")
@example("redis://[sEcReT@host")
@example("redis://user:sEcReT@ho℀st")
@example("http://user:sEcReT@host:port/mcp")
@example("user:sEcReT@host:6379")
@example("sqlite:///user:sEcReT/hUnTeR@host/tasks.db")
@example("sqlite://user:sEcReT@host/tasks.db?password=hUnTeR")
@example("dynamodb://sEcReT:hUnTeR@table/x?region=eu-1")
@example("dynamodb://sEcReT?hUnTeR@table")
@example("dynamodb://table?endpoint=http://u:sEcReT@host")
def test_no_address_betrays_its_secret(url: str) -> None:
    # A file may be called so: without a colon nothing tells a password from it.
    assume(not url.startswith("sqlite:///") or ":" in url.removeprefix("sqlite:///"))
    hidden(address.shown(url), address.scrubbed(f"can't read {url!r} or {url}", url))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for attempt in attempts(url):
            try:
                made = attempt()
            except Exception as error:
                keeps(error)
                if not isinstance(error, LabError):
                    raise
            else:
                hidden(repr(made))
                for inner in (made, *(getattr(made, name, None) for name in ("store", "executor", "backend"))):
                    if not isinstance(inner, Url | tuple):
                        hidden(repr(inner), getattr(inner, "place", ""), getattr(inner, "name", ""))
    hidden(*(warning.message for warning in warned))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:pw@host:6379/0?password=x#y", "redis://host:6379/0"),
        ("redis://:p@ss@[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://host/0?prefix=a@b", "redis://…"),
        ("https://user:pw@server.example/@owner/mcp?token=x", "https://server.example/@owner/mcp"),
        ("https://localhost:8000/mcp?who=me@there", "https://localhost:8000/mcp"),
        ("https://user:12/34@host/mcp", "https://…"),
        ("https://${HOST}:${PORT}/mcp?key=${KEY}", "https://${HOST}:${PORT}/mcp"),
        ("sqlite:////var/lib/my tasks.db", "sqlite:////var/lib/my tasks.db"),
        ("unix:///run/redis.sock?password=x", "unix:///run/redis.sock"),
        ("redis:/host", "redis:…"),
        ("tasks.db", "tasks.db"),
        ("user:pw@host", "…"),
        ("", ""),
    ],
)
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    assert address.shown(url) == shown


def test_addresses_within_a_text() -> None:
    text = "GET 'https://u:pw@h.example/x?token=1' (Authorization: Bearer abc) at redis://:pw@h/0, see http://x/"
    shown = "GET 'https://h.example/x' (Authorization: Bearer …) at redis://h/0, see http://x/"
    assert address.within(text) == shown
    assert address.within("basic rights, bearer of b1G-secret, Bearer tokens, bearer b1G-secret") == (
        "basic rights, bearer of b1G-secret, Bearer tokens, bearer …"
    )


# --- others' words ----------------------------------------------------------------------------------


def boasting(url: str) -> Any:
    """The opener of another package, which says what it was given."""
    try:
        int(url)
    except ValueError as error:
        raise RuntimeError("no number") from error


def strict(url: str) -> Any:
    raise StoreError(f"{url} is not for us")


def silent(url: str) -> Any:
    raise RuntimeError("out of order")


@pytest.mark.parametrize(
    ("opener", "says"),
    [
        (boasting, r"the store at mine://host/0 can't be opened: RuntimeError"),
        (strict, r"the store at mine://host/0 can't be opened: … is not for us"),
    ],
)
def test_backends_of_other_packages(monkeypatch: pytest.MonkeyPatch, opener: Any, says: str) -> None:
    offer(monkeypatch, opener)
    with pytest.raises(StoreError, match=says) as raised:
        open_store("mine://user:sEcReThUnTeR@host/0")
    keeps(raised.value)


def test_other_errors_of_theirs_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, silent)
    with pytest.raises(RuntimeError, match="out of order"):
        open_store("mine://user:sEcReThUnTeR@host/0")


def offer(monkeypatch: pytest.MonkeyPatch, opener: Any) -> None:
    class Point(importlib.metadata.EntryPoint):
        def load(self) -> Any:
            return opener

    found = [Point("mine", "x:y", store_url.ENTRY_POINTS)]
    monkeypatch.setattr(store_url, "entry_points", lambda **_: found)


@pytest.mark.parametrize(
    "endpoint", ["http://user:sEcReThUnTeR@host:8000", "http://host:8000?token=sEcReThUnTeR", "sEcReThUnTeR@host"]
)
def test_credentials_have_no_place_in_an_endpoint(endpoint: str) -> None:
    # boto's errors, and the store's name, have it in them.
    with pytest.raises(StoreError, match="dynamodb://") as raised:
        open_store(f"dynamodb://tasks?region=eu-1&endpoint={endpoint}")
    keeps(raised.value)


@pytest.fixture
def locked() -> Iterator[RedisServer]:
    server = RedisServer("--appendonly", "no")
    # Only now: it is asked without one whether it has started.
    server.command("CONFIG", "SET", "requirepass", "another")
    yield server
    server.close()


@pytest.mark.parametrize("login", [":sEcReThUnTeR@", "sEcReT:hUnTeR@", "hUnTeR:another@"])
async def test_a_wrong_password(caplog: pytest.LogCaptureFixture, locked: RedisServer, login: str) -> None:
    caplog.set_level(logging.DEBUG)
    url = locked.url.replace("redis://", f"redis://{login}")
    for store in (open_store(url), open_store(url.replace("redis://", "redis+cluster://").removesuffix("/0"))):
        await refused(store.create(LOCAL))
        await store.close()
    executor: Any = open_executor("docket", url)
    executor.bind(None)
    await refused(executor.connect())
    await executor.cancel((LOCAL, "x"))
    await executor.close()
    hidden(caplog.text)


async def test_rights_that_are_missing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # As Redis does from 7.2 on. Where people have tokens, the user is one.
        while await reader.read(4096):
            writer.write(b"-NOPERM User sEcReT has no permissions to run the 'hello' command\r\n")

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"redis://sEcReT@127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    async with server:
        store = open_store(url)
        await refused(store.create(LOCAL))
        await refused(store.backend.watch(LOCAL, "x").__aenter__())
        await store.close()
        executor: Any = open_executor("docket", url)
        executor.bind(None)
        await refused(executor.connect())
        await executor.close()
    hidden(*(line for line in caplog.text.splitlines() if "docket" not in line))


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+cluster"])
async def test_nobody_is_there(caplog: pytest.LogCaptureFixture, scheme: str) -> None:
    caplog.set_level(logging.DEBUG)
    store = open_store(f"{scheme}://sEcReT:hUnTeR@127.0.0.1:{free_port()}?password=hUnTeR")
    await refused(store.create(LOCAL))
    await refused(store.backend.watch(LOCAL, "x").__aenter__())
    await store.close()
    hidden(caplog.text)


async def refused(action: Awaitable[object]) -> None:
    with pytest.raises(LabError) as raised:
        await action
    keeps(raised.value)


async def test_a_redis_that_can_be_used_shows_no_password() -> None:
    store = open_store(shared_redis().url.replace("redis://", "redis://default:sEcReT@"))
    task = await store.create(LOCAL)
    hidden(repr(store), repr(store.backend), store.backend, task)
    await store.close()


# --- the kernel side --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "http://user:sEcReT@host:port/mcp",
        "user:sEcReT@host/mcp",
        "host:8000/mcp?token=sEcReT",
        "ftp://user:sEcReT@host/mcp",
        "npx 'mcp-remote http://user:sEcReT@host",
    ],
)
def test_targets_that_can_not_be_read(target: str) -> None:
    with pytest.raises(LabError) as raised:
        read_target(target)
    keeps(raised.value)


def test_a_command_with_an_address() -> None:
    words = (
        "mcp-remote",
        "--url=https://u:sEcReT@h.example/mcp?token=hUnTeR",
        "--header",
        "Authorization: Bearer sEcReT",
    )
    hidden(Command(words), repr(Command(words)))
    assert "mcp-remote --url=https://h.example/mcp" in str(Command(words))


@pytest.mark.parametrize(
    "headers", [{"X-Key": "sEcReT\n"}, {"X-Key": "sEcR€T hUnTeR"}, {"X-Key: sEcReT": ""}, {"X-Key": "a\r\nsEcReT: b"}]
)
def test_headers_that_http_can_not_carry(headers: dict[str, str]) -> None:
    with pytest.raises(LabError, match=r"HTTP") as raised:
        read_target("http://127.0.0.1:1/mcp", headers=headers)
    keeps(raised.value)


def test_a_token_out_of_a_file() -> None:
    _, target = read_target("http://127.0.0.1:1/mcp", token="sEcReT\n")
    assert isinstance(target, Url)
    assert target.headers == (("Authorization", "Bearer sEcReT"),)
    hidden(target, repr(target))


def test_a_server_and_what_is_logged_of_it(http_demo: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = http_demo.replace("http://", "http://user:sEcReT@") + "?token=hUnTeR"
    server = pmcp_lab.connect(secret, headers={"X-Key": "sEcReThUnTeR"})
    assert len(server.tools) > 1
    hidden(server, repr(server))
    server.close()
    with pytest.raises(LabError) as raised:
        client_of(pmcp_lab.connect(secret.replace("/mcp", "/elsewhere"), timeout=10)).connection.wait()
    assert "/elsewhere" in str(raised.value), "a path is shown"
    assert "http://127.0.0.1" in caplog.text
    hidden(caplog.text)


def test_a_store_that_is_none_is_not_quoted() -> None:
    with pytest.raises(TypeError, match="not a bytes") as refused:
        Tasks(b"redis://user:s3cret@host")  # type: ignore[arg-type]
    assert "s3cret" not in str(refused.value)
