"""Programs that call a server's tools: what they get, what a person is asked, what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp_types import ElicitResult

from pmcp_lab.server import CodeLimits
from tests.unit.coding import Shop
from tests.unit.jsonrpc import Json, legacy, modern, serve
from tests.unit.server.test_server_life import settled


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    yield shop
    await shop.tasks.close()


async def ran(shop: Shop, source: str) -> Json:
    """What comes of a program: its task, ended."""
    async with modern(shop.server) as peer:
        return await peer.until(await peer.task("run_code", {"code": source}), "completed", "failed", "cancelled")


async def result(shop: Shop, source: str) -> Any:
    task = await ran(shop, source)
    assert not task["result"]["isError"], task["statusMessage"]
    return task["result"]["structuredContent"]


async def failure(shop: Shop, source: str) -> str:
    task = await ran(shop, source)
    assert task["result"]["isError"]
    return str(task["statusMessage"]).removeprefix("Error executing tool run_code: ")


async def test_calls_give_values_and_the_last_expression_is_the_result(shop: Shop) -> None:
    source = """
total = 0
for item in ["tea", "milk"]:
    found = price(item=item)
    print(item, found["price"])
    total += found["price"]
put(item="all", count=total + stock_level(item="tea"))
{"total": total, "set": {1}, "pair": (1, 2)}
"""
    assert await result(shop, source) == {
        "result": {"total": 7, "set": [1], "pair": [1, 2]},
        "printed": "tea 3\nmilk 4\n",
        "calls": 4,
    }
    assert shop.ran == ["price tea", "price milk", "put all 37"]


async def test_the_task_shows_where_the_program_is(shop: Shop) -> None:
    async with modern(shop.server) as peer:
        task_id = await peer.task("run_code", {"code": "price(item='tea')\nfor n in range(2):\n    wait()\n'over'"})
        await shop.entered.wait()
        task = await peer.call("tasks/get", task_id)
        assert task["statusMessage"] == "line 3: wait()"
        shown = [
            "    1  price(item='tea')   # ✓",
            "    2  for n in range(2):",
            "▶   3      wait()   # …",
            "    4  'over'",
        ]
        assert task["_meta"]["program"].splitlines() == shown
        assert [(one["line"], one["call"], one["status"]) for one in task["_meta"]["steps"]] == [
            (1, "price(item='tea')", "completed"),
            (3, "wait()", "running"),
        ]
        shop.gate.set()
        task = await peer.until(task_id, "completed")
        assert task["statusMessage"] == "done after 3 calls"
        assert task["_meta"]["program"].splitlines()[2] == "    3      wait()   # ✓2"
        assert task["_meta"]["steps"][2]["result"] == "'went on'"


async def test_awaited_calls_run_side_by_side(shop: Shop) -> None:
    shop = Shop(limits=CodeLimits(parallel=3))
    source = """
import asyncio
async def twice(item):
    await asyncio.sleep(0)
    return (await price(item=item))["price"] + (await price(item=item))["price"]
await asyncio.gather(*[twice("x" * n) for n in range(6)])
"""
    assert (await result(shop, source))["result"] == [0, 2, 4, 6, 8, 10]
    assert (shop.most, len(shop.ran)) == (3, 12)
    await shop.tasks.close()


async def test_a_tool_that_fails_raises_in_the_program(shop: Shop) -> None:
    source = "try:\n    refuse()\nexcept RuntimeError as error:\n    said = str(error)\nsaid"
    assert (await result(shop, source))["result"] == "Error executing tool refuse: not today"
    assert await failure(shop, "x = 1\nrefuse()") == "line 2: RuntimeError: Error executing tool refuse: not today"
    assert (await result(shop, "import asyncio\nx = 0\ntry:\n  await refuse()\nexcept RuntimeError: x = 2\nx"))[
        "result"
    ] == 2
    # What no reader can see is looked at again when it is called.
    hidden = "named = {'size': 1}\ntry:\n    price(**named)\nexcept TypeError as error:\n    said = str(error)\nsaid"
    assert (await result(shop, hidden))["result"] == "price has no argument 'size'; it takes item, currency"
    assert await failure(shop, "eval('price(1)')\nprice(item='x')") == (
        "line 1: TypeError: price takes its arguments by name"
    )
    assert shop.ran == []


async def test_a_program_may_call_what_it_names_and_nothing_else(shop: Shop) -> None:
    assert await failure(shop, "eval('order(item=\"a\")')") == "line 1: NameError: there is no 'order'"
    assert "there is no 'run_code'" in await failure(shop, "run_code(code='1')")
    named = "ask = price\neval('price(item=\"tea\")')['price'] + ask(item='milk')['price']"
    assert (await result(shop, named))["result"] == 7
    assert shop.ran == ["price tea", "price milk"]


# --- approval ---


class Person:
    """Answers what a 2025-11-25 client is asked."""

    def __init__(self, action: str = "accept", *, run: bool = True) -> None:
        self.asked: list[str] = []
        content = {"run": run}
        self._answer = {"action": action} | ({"content": content} if action == "accept" else {})

    def __call__(self, request: Json) -> Json:
        self.asked.append(request["params"]["message"])
        return self._answer


@pytest.mark.parametrize(
    ("approve", "source", "asked"),
    [
        ("writes", "price(item='tea')", False),
        ("writes", "order(item='tea')", True),
        ("writes", "if False:\n    order(item='tea')", True),
        ("always", "1", True),
        ("never", "order(item='tea')", False),
    ],
)
async def test_a_person_is_asked_when_it_writes(approve: str, source: str, asked: bool) -> None:
    shop, person = Shop(approve=approve), Person()
    async with serve(shop.server) as url, legacy(url, answer=person) as peer:
        task_id = await peer.task("run_code", {"code": source})
        done = await peer.call("tasks/result", {"taskId": task_id})
    assert not done["isError"]
    assert len(person.asked) == asked
    if asked:
        assert person.asked[0].startswith("May this program run? It calls\n")
        assert person.asked[0].endswith(source.splitlines()[-1])
    if "order" in source and asked:
        assert f"order (line {len(source.splitlines())}) writes" in person.asked[0]


async def test_a_person_reads_what_the_sandbox_does() -> None:
    shop, person = Shop(approve="writes"), Person()
    source = "a = 'x\u2028y'\r\n#\u202e )'aet'=meti(ecirp\rorder(item='tea')  #\x1b[2K\n"
    async with serve(shop.server) as url, legacy(url, answer=person) as peer:
        await peer.call("tasks/result", {"taskId": await peer.task("run_code", {"code": source})})
    listing = person.asked[0].partition("\n\n")[2].splitlines()
    assert listing == [
        "  1  a = 'x\\u2028y'",
        "  2  #\\u202e )'aet'=meti(ecirp",
        "  3  order(item='tea')  #\\x1b[2K",
    ]
    assert "order (line 3) writes" in person.asked[0]


async def test_nothing_is_called_when_the_answer_is_no() -> None:
    for person in (Person("decline"), Person("cancel"), Person(run=False)):
        shop = Shop(approve="writes")
        async with serve(shop.server) as url, legacy(url, answer=person) as peer:
            task_id = await peer.task("run_code", {"code": "price(item='tea')\norder(item='tea')"})
            done = await peer.call("tasks/result", {"taskId": task_id})
        assert done["isError"]
        assert "a person did not agree to it; nothing was called" in done["content"][0]["text"]
        assert shop.ran == []


async def test_who_can_not_be_asked_runs_nothing_that_writes() -> None:
    shop = Shop(approve="writes")
    async with modern(shop.server, elicitation=None) as peer:
        task = await peer.until(await peer.task("run_code", {"code": "order(item='tea')"}), "completed", "failed")
        assert "it calls order, which may change something, so a person has to agree" in task["statusMessage"]
        assert (await peer.until(await peer.task("run_code", {"code": "price(item='t')"}), "completed"))["result"]
    assert shop.ran == ["price t"]
    await shop.tasks.close()


async def test_a_call_that_is_no_task_asks_and_runs_too() -> None:
    async def agree(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"run": True})

    shop = Shop(approve="writes")
    async with modern(shop.server, tasks=False, elicitation=agree) as peer:
        done = await peer.client.call_tool("run_code", {"code": "print('hi')\norder(item='tea')"})
    assert done.structured_content == {"result": "ordered tea", "printed": "hi\n", "calls": 1}
    assert shop.ran == ["order tea"]


# --- ends ---


async def test_a_cancelled_task_stops_its_tool_and_its_program(shop: Shop) -> None:
    async with modern(shop.server) as peer:
        for source, began in (("wait()\norder(item='tea')", True), ("while True: pass", False)):
            shop.entered.clear()
            task_id = await peer.task("run_code", {"code": source})
            await (shop.entered.wait() if began else asyncio.sleep(0.2))
            await peer.call("tasks/cancel", task_id)
            assert (await peer.until(task_id, "cancelled"))["status"] == "cancelled"
            await settled(lambda: shop.tasks.stats().total.running == 0)
    assert "order tea" not in shop.ran


async def test_limits_end_a_program_and_say_which(shop: Shop) -> None:
    for limits, source, why in (
        (CodeLimits(compute=0.2), "price(item='a')\nwhile True: pass", "TimeoutError: feed time limit exceeded"),
        (CodeLimits(calls=2), "for n in range(5): price(item='a')", "line 1: it has made 2 calls, and more are not"),
        (CodeLimits(duration=1), "price(item='a')\nwait()", "line 2: it has taken longer than 1 s"),
        (CodeLimits(duration=1), "import time\ntime.sleep(9)", "it has taken longer than 1 s, with 1 call"),
        (CodeLimits(compute=0.2), "try:\n    while True: pass\nexcept BaseException: pass", "TimeoutError"),
        (
            CodeLimits(kept=1_000),
            "import random\nx = random.randbytes(9_000)\nprice(item='a')",
            "line 3: the program holds",
        ),
        (CodeLimits(kept=1_000), "'x' * 2000", "its result has 2002 bytes, and at most 1000 are allowed"),
        (CodeLimits(memory=1_000_000), "'x' * 10**9", "line 1: MemoryError: memory limit exceeded"),
        (CodeLimits(depth=20), "def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
    ):
        shop = Shop(limits=limits)
        assert why in await failure(shop, source), source
        await shop.tasks.close()


async def test_a_slow_tool_is_a_timeout_in_the_program() -> None:
    shop = Shop(limits=CodeLimits(call=0.1))
    source = "try:\n    wait()\nexcept TimeoutError as error:\n    said = str(error)\nsaid"
    assert (await result(shop, source))["result"] == "wait took longer than 0.1 s"
    await shop.tasks.close()


async def test_what_is_printed_is_bounded_and_the_rest_left_out() -> None:
    shop = Shop(limits=CodeLimits(output=1_000))
    found = await result(shop, "for n in range(20_000): print('ö' * 50)\n7")
    assert (found["result"], len(found["printed"]) < 1_000, found["printed"][-1]) == (7, True, "…")
    await shop.tasks.close()


HOSTILE = {
    "import os\nos.listdir('/')": "line 2: PermissionError: Permission denied: '/'",
    "import os\nos.environ['HOME']": "'os.environ' is not supported",
    "open('/etc/passwd').read()": "PermissionError",
    "open('/tmp/x', 'w').write('x')": "PermissionError",
    "import pathlib\npathlib.Path('/etc/passwd').read_text()": "PermissionError",
    "import subprocess": "No module named 'subprocess'",
    "import socket": "No module named 'socket'",
    "import pmcp_lab": "No module named 'pmcp_lab'",
    "().__class__.__mro__[1].__subclasses__()": "AttributeError",
    "price.__globals__": "AttributeError",
    "__import__('os')": "NameError",
    "exec('import socket')": "No module named 'socket'",
    "globals()": "NameError",
    "a = []\na.append(a)\nstr(price(item=a))": "Input should be a valid string",
    "10 ** 10_000": "can't be written as JSON",
    "while True:\n    try:\n        open('x')\n    except PermissionError: pass": "suspension limit",
    "x = 'a' * 60_000_000\nprice(item='a')": "MemoryError",
}


async def test_what_wants_out_of_the_sandbox_does_not_get_out() -> None:
    shop = Shop()
    async with modern(shop.server) as peer:
        for source, why in HOSTILE.items():
            task = await peer.until(await peer.task("run_code", {"code": source}), "completed", "failed")
            assert why in str(task.get("statusMessage")), source
            assert task["result"]["isError"], source
    await shop.tasks.close()


async def test_the_server_tells_what_programs_can_call(shop: Shop) -> None:
    async with modern(shop.server) as peer:
        listed = {tool.name: tool for tool in (await peer.client.list_tools()).tools}
    told = listed["run_code"].description or ""
    assert "stock_level(item: str): How many there are. (reads)" in told
    assert "wait(): Wait to be let go. (may destroy)" in told
    hints = listed["run_code"].annotations
    assert hints is not None
    assert (hints.read_only_hint, hints.destructive_hint) == (False, True)


async def test_a_sandbox_that_does_not_start_ends_the_program(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONTY_BIN", "/bin/false")
    assert "the sandbox has ended" in (said := await failure(shop, "1"))
    assert said.endswith("3 times in a row")
