"""The map app's server: finding places, and what is around them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import pytest
from mcp import Client

from pmcp_lab.demo.map import build
from pmcp_lab.demo.map.atlas import CATEGORIES, distance, places


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(build()) as client:
        yield client


async def found(client: Client, **arguments: Any) -> list[str]:
    result = await client.call_tool("map", arguments)
    assert not result.is_error, result.content[0].text
    return [place["name"] for place in result.structured_content["places"]]


async def test_everything_is_shown_when_nothing_is_asked(client: Client) -> None:
    names = await found(client)
    assert len(names) == len(places()) > 80
    assert await found(client, query="  ") == names


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("zurich", ["Zürich"]),
        ("ZÜRICH", ["Zürich"]),
        ("tromso", ["Tromsø"]),
        ("switzerland", ["Bern", "Geneva", "Zürich"]),
        ("bogota colombia", ["Bogotá"]),
        ("nowhere at all", []),
        ("%", []),
    ],
)
async def test_search(client: Client, query: str, names: list[str]) -> None:
    assert await found(client, query=query) == names


async def test_a_name_comes_before_a_description(client: Client) -> None:
    assert (await found(client, query="venice"))[0] == "Venice"
    assert "Amsterdam" in await found(client, query="venice")


@pytest.mark.parametrize("category", CATEGORIES)
async def test_categories(client: Client, category: str) -> None:
    names = await found(client, category=category)
    assert 5 < len(names) < 30
    assert set(await found(client, category=category, query="a")) <= set(names)


async def test_around_a_point_the_nearest_comes_first(client: Client) -> None:
    assert await found(client, near={"lat": 47.4, "lon": 8.5, "kilometers": 150}) == ["Zürich", "Bern"]
    # Across the edge of the map.
    assert (await found(client, near={"lat": -40, "lon": -179, "kilometers": 700}))[0] == "Wellington"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"category": "food"}, "'capital', 'history'"),
        ({"near": {"lat": 91, "lon": 0}}, "less than or equal to 90"),
        ({"near": {"lat": 0, "lon": 0, "kilometers": -1}}, "greater than 0"),
        ({"query": "x" * 101}, "at most 100 characters"),
    ],
)
async def test_arguments_are_checked(client: Client, arguments: dict[str, Any], said: str) -> None:
    result = await client.call_tool("map", arguments)
    assert result.is_error
    assert said in result.content[0].text


async def test_a_place_and_what_is_near_it(client: Client) -> None:
    details = (await client.call_tool("map_place", {"id": "zurich"})).structured_content
    assert details["place"]["country"] == "Switzerland"
    assert [near["name"] for near in details["nearby"]][:2] == ["Bern", "Geneva"]
    kilometers = [near["kilometers"] for near in details["nearby"]]
    assert kilometers == sorted(kilometers)
    missing = await client.call_tool("map_place", {"id": "zuric"})
    assert missing.is_error
    assert "Did you mean 'zurich'?" in missing.content[0].text


def test_distances_are_those_of_the_ball() -> None:
    known = {place.id: place for place in places()}
    assert distance(known["london"], known["new-york"]) == pytest.approx(5570, rel=0.01)
    assert distance(known["sydney"], known["santiago"]) == pytest.approx(11_340, rel=0.01)
    assert distance(known["quito"], known["quito"]) == 0


async def test_in_words(client: Client) -> None:
    one = (await client.call_tool("map", {"query": "reykjavik"})).content[0].text
    assert one.startswith("1 place:\n- Reykjavík, Iceland (nature; 64.15° N, 21.94° W): Heated by the ground")
    assert "Nearest: " in one
    none = (await client.call_tool("map", {"query": "atlantis"})).content[0].text
    assert none.startswith("No place fits.")
    assert "harbours, canals, islands" in none


def test_every_country_of_a_place_is_on_the_map_and_every_line_on_the_ball() -> None:
    page = files("pmcp_lab.demo.map").joinpath("widget.html").read_text(encoding="utf-8")
    [text] = re.findall(r'<script type="application/json" id="outline">([^<]+)</script>', page)
    assert len(text) < 150_000
    outline = json.loads(text)
    names = {country[0] for country in outline["countries"]}
    assert {place.country for place in places()} <= names
    used = {n if n >= 0 else ~n for country in outline["countries"] for ring in country[1:] for n in ring}
    assert used == set(range(len(outline["arcs"])))


async def test_who_may_call_what(client: Client) -> None:
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert "visibility" not in tools["map"].meta["ui"]
    assert tools["map_place"].meta["ui"]["visibility"] == ["app"]
    assert all(tool.output_schema for tool in tools.values())
