"""The dataviz app's server: what can be asked, what can't, and how the answer is drawn."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp import Client

from pmcp_lab.demo.dataviz import build
from pmcp_lab.demo.dataviz.asking import MAX_ROWS, QUERY_TIMEOUT
from pmcp_lab.demo.dataviz.bikes import EXAMPLES, Example, database

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(build()) as client:
        yield client


async def ask(client: Client, sql: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool("dataviz", {"sql": sql, **arguments})
    assert not result.is_error, result.content[0].text
    return result.structured_content


async def refused(client: Client, sql: str, **arguments: Any) -> str:
    result = await client.call_tool("dataviz", {"sql": sql, **arguments})
    assert result.is_error, result.content[0].text
    return result.content[0].text


async def count(client: Client) -> int:
    return (await ask(client, "SELECT count(*) FROM trip"))["rows"][0][0]


async def test_the_database_is_the_same_each_time(client: Client) -> None:
    assert database.__wrapped__() == database()
    found = await ask(client, "SELECT count(*), sum(rider = 'guest'), max(date) FROM trip")
    # Pictures and prose tell of it.
    assert found["rows"] == [[14656, 3971, "2024-12-31"]]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
async def test_examples_are_drawn_as_they_say_with_and_without_being_told(client: Client, example: Example) -> None:
    wish = {"color": example.color} if example.color else {}
    told = await ask(client, example.sql, chart=example.chart, **wish)
    assert len(told["rows"]) > 5
    assert told["chart"]["kind"] == example.chart
    untold = await ask(client, example.sql)
    assert untold["chart"]["kind"] == example.chart
    assert example.chart == "table" or untold["chart"] == told["chart"]


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH DATABASE 'other.db' AS other",
        "PRAGMA journal_mode = DELETE",
        "INSERT INTO station VALUES (99, 'x', 'x', 1, 1)",
        "UPDATE trip SET minutes = 0",
        "DELETE FROM trip",
        "DROP TABLE trip",
        "CREATE TABLE mine (x)",
        "CREATE TEMP TABLE mine (x)",
        "VACUUM INTO 'copy.db'",
        "BEGIN",
        "EXPLAIN SELECT 1",
        "REPLACE INTO station VALUES (1, 'x', 'x', 1, 1)",
        "; SELECT 1",
        "-- only a comment",
        "   ",
        "/* SELECT */ DELETE FROM trip",
    ],
)
async def test_only_queries_are_run(client: Client, sql: str) -> None:
    assert "Only reading is possible here" in await refused(client, sql)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("WITH gone AS (SELECT 1) DELETE FROM trip", "may only read"),
        ("WITH more AS (SELECT 1) INSERT INTO station SELECT 99, 'x', 'x', 1, 1", "may only read"),
        ("WITH more AS (SELECT 1) UPDATE trip SET minutes = 0 RETURNING id", "may only read"),
        ("SELECT 1; DROP TABLE trip", "Only one statement can be run"),
        ("SELECT 1; ATTACH 'x.db' AS x", "Only one statement can be run"),
        ("SELECT 1; SELECT 2", "Only one statement can be run"),
        ("SELECT * FROM pragma_table_info('trip')", "may only read"),
        ("SELECT load_extension('evil.so')", "The function load_extension can't be used here"),
        ("SELECT printf('%.*c', 2000000000, 'x')", "The function printf can't be used here"),
        ("SELECT writefile('x', 'y')", "There is no function 'writefile'"),
        ("SELECT zeroblob(1000000000)", "too much for one query"),
        ("SELECT group_concat(minutes) FROM trip", "too much for one query"),
        (f"SELECT 1{' + 1' * 100}", "too much for one query"),
        (" UNION ".join(["SELECT 1"] * 31), "too much for one query"),
        ("SELECT * FROM trips", "There is no table 'trips'. Tables: station, day, trip."),
        ("SELECT nam FROM station", "There is no column 'nam'. Columns: station: id, name, district"),
        ("SELECT FROM", "SQLite does not understand that"),
    ],
)
async def test_what_would_do_harm_is_refused_in_words(client: Client, sql: str, said: str) -> None:
    before = await count(client)
    assert said in await refused(client, sql)
    assert await count(client) == before


async def test_what_does_not_end_is_stopped(client: Client) -> None:
    began = time.monotonic()
    endless = [
        f"{ENDLESS}SELECT count(*) FROM n",
        "SELECT count(*) FROM trip a, trip b, trip c WHERE a.id + b.id = c.id",
    ]
    said = await asyncio.gather(*(refused(client, sql) for sql in endless))
    assert all(f"longer than {QUERY_TIMEOUT:g} seconds" in each for each in said)
    assert time.monotonic() - began < 3 * QUERY_TIMEOUT + 2


async def test_rows_are_limited(client: Client) -> None:
    endless = await ask(client, f"{ENDLESS}SELECT x FROM n")
    assert (len(endless["rows"]), endless["more"]) == (MAX_ROWS, True)
    wide = await ask(client, f"{ENDLESS}SELECT x, hex(zeroblob(2000)) AS wide FROM n")
    assert len(json.dumps(wide)) < 500_000
    assert wide["more"]
    exact = await ask(client, f"{ENDLESS}SELECT x FROM n LIMIT {MAX_ROWS}")
    assert not exact["more"]


async def test_every_value_can_be_written_as_json(client: Client) -> None:
    sql = "SELECT 9e999, -9e999, 9223372036854775807, x'ff00', CAST(x'ff' AS TEXT), NULL, 1.5, 'a' AS same, 'b' AS same"
    found = await ask(client, sql)
    assert found["rows"] == [["∞", "−∞", "9223372036854775807", "<2 bytes>", "\ufffd", None, 1.5, "a", "b"]]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("sql", "wish", "said"),
    [
        ("SELECT name, docks FROM station", {"x": "nam"}, "x: the answer has no column 'nam'. Did you mean 'name'?"),
        ("SELECT name, docks FROM station", {"y": "name"}, "y: 'name' does not hold numbers alone. These do: docks."),
        ("SELECT name, docks FROM station", {"chart": "scatter"}, "needs another column of numbers"),
        ("SELECT name FROM station", {"chart": "bar"}, "A bar chart needs two columns"),
        ("SELECT name, docks FROM station", {"chart": "pie"}, "'auto', 'table', 'bar', 'line' or 'scatter'"),
        ("", {}, "at least 1 character"),
        ("SELECT " + "1" * 5000, {}, "at most 5000 characters"),
    ],
)
async def test_arguments_that_do_not_fit(client: Client, sql: str, wish: dict[str, str], said: str) -> None:
    assert said in await refused(client, sql, **wish)


async def test_an_answer_in_words(client: Client) -> None:
    result = await client.call_tool("dataviz", {"sql": EXAMPLES[0].sql})
    text = result.content[0].text
    assert text.startswith("12 rows, drawn as a bar chart (trips by station).\n\n| station | trips |\n| --- | --- |\n")
    many = (await client.call_tool("dataviz", {"sql": "SELECT * FROM day"})).content[0].text
    assert many.endswith("… and 346 rows more.")
    piped = (await client.call_tool("dataviz", {"sql": "SELECT 'a|b' AS x"})).content[0].text
    assert "a\\|b" in piped
    assert (
        (await client.call_tool("dataviz", {"sql": "SELECT id FROM trip WHERE 0"}))
        .content[0]
        .text.startswith("No rows.")
    )


async def test_what_a_model_and_the_app_are_told(client: Client) -> None:
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert "trip(id, date, hour" in tools["dataviz"].description
    assert tools["dataviz"].output_schema["required"]
    assert tools["dataviz_tables"].meta["ui"]["visibility"] == ["app"]
    offer = (await client.call_tool("dataviz_tables", {})).structured_content
    assert [table["name"] for table in offer["tables"]] == ["station", "day", "trip"]
    for table in offer["tables"]:
        names = [column["name"] for column in table["columns"]]
        assert (await ask(client, f"SELECT {', '.join(names)} FROM {table['name']} LIMIT 1"))["columns"] == names
