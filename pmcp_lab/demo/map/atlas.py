"""The places: what there is, which of them somebody looks for, and how far they are from each other."""

from __future__ import annotations

import csv
import difflib
import functools
import math
import unicodedata
from importlib.resources import files
from typing import Literal, get_args

from pydantic import BaseModel, Field

EARTH_RADIUS = 6371.0
"""Kilometres, of a ball as large as the Earth."""

NEIGHBOURS = 5
"""How many places around another are told."""

Category = Literal["capital", "history", "art", "science", "trade", "nature", "water"]

CATEGORIES: dict[Category, str] = {
    "capital": "seats of government",
    "history": "old stones and old stories",
    "art": "music, pictures, stages",
    "science": "universities, laboratories, chips",
    "trade": "ports and markets",
    "nature": "mountains, forests, ice",
    "water": "harbours, canals, islands",
}
assert tuple(CATEGORIES) == get_args(Category)


class Place(BaseModel):
    """A city on the map."""

    id: str
    name: str
    country: str
    lat: float = Field(description="Degrees north")
    lon: float = Field(description="Degrees east")
    population: int = Field(description="With its suburbs, rounded")
    category: Category
    about: str


class Centre(BaseModel):
    """A point, and how far around it."""

    lat: float = Field(ge=-90, le=90, description="Degrees north")
    lon: float = Field(ge=-180, le=180, description="Degrees east")
    kilometers: float = Field(default=1000, gt=0, le=20_100, description="How far around it")


class Found(BaseModel):
    """What was found."""

    query: str
    category: Category | None
    near: Centre | None
    total: int = Field(description="How many places there are in all")
    places: list[Place]


class Nearby(BaseModel):
    """A place, seen from another."""

    id: str
    name: str
    country: str
    lat: float
    lon: float
    kilometers: int


@functools.cache
def places() -> tuple[Place, ...]:
    """All places, by name."""
    lines = files(__package__).joinpath("places.csv").read_text(encoding="utf-8").splitlines()
    return tuple(sorted(map(Place.model_validate, csv.DictReader(lines)), key=lambda place: _plain(place.name)))


def search(query: str = "", category: Category | None = None, near: Centre | None = None) -> Found:
    """The places that hold every word of the query, are of the category, and lie around the point.

    Args:
        query: Words in any order, any case, with or without accents; they may be in the name, country or description.
        category: None for all.
        near: None for everywhere. The nearest place comes first then, otherwise the one that fits best.
    """
    words = _plain(query).split()
    found = [
        place
        for place in places()
        if category in (None, place.category)
        and all(word in _plain(f"{place.name} {place.country} {place.category} {place.about}") for word in words)
        and (near is None or distance(place, near) <= near.kilometers)
    ]
    if near is not None:
        found.sort(key=lambda place: distance(place, near))
    elif words:
        # A name is what is meant most often, then a country.
        found.sort(key=lambda place: (words[0] not in _plain(place.name), words[0] not in _plain(place.country)))
    return Found(query=query, category=category, near=near, total=len(places()), places=found)


def place(id: str) -> Place:  # noqa: A002
    """The place of that id.

    Raises:
        ValueError: There is none; says which are called something like it.
    """
    known = {place.id: place for place in places()}
    if id not in known:
        close = difflib.get_close_matches(id, known, n=3)
        raise ValueError(
            f"There is no place {id!r}." + (f" Did you mean {' or '.join(map(repr, close))}?" if close else "")
        )
    return known[id]


def nearest(chosen: Place) -> list[Nearby]:
    """The places nearest to one, the nearest first."""
    others = sorted((other for other in places() if other.id != chosen.id), key=lambda other: distance(chosen, other))
    return [
        Nearby(
            kilometers=round(distance(chosen, other)),
            **other.model_dump(include={"id", "name", "country", "lat", "lon"}),
        )
        for other in others[:NEIGHBOURS]
    ]


def distance(one: Place | Centre, other: Place | Centre) -> float:
    """Kilometres along the surface (haversine)."""
    up, down = math.radians(one.lat), math.radians(other.lat)
    across = math.radians(other.lon - one.lon)
    part = math.sin((down - up) / 2) ** 2 + math.cos(up) * math.cos(down) * math.sin(across / 2) ** 2
    return 2 * EARTH_RADIUS * math.asin(min(1.0, math.sqrt(part)))


def in_words(found: Found) -> str:
    """What was found, for somebody who does not see the map."""
    if not found.places:
        return (
            f"No place fits. There are {found.total}; categories: "
            + ", ".join(f"{name} ({words})" for name, words in CATEGORIES.items())
            + "."
        )
    count = len(found.places)
    lines = [f"{count} of {found.total} places:" if count > 1 else "1 place:"]
    for each in found.places:
        away = f", {distance(each, found.near):,.0f} km away" if found.near else ""
        about = f": {each.about}" if count <= 12 else ""
        lines.append(f"- {each.name}, {each.country} ({each.category}; {_position(each)}{away}){about}")
    if count == 1:
        near = ", ".join(f"{other.name} ({other.kilometers:,} km)" for other in nearest(found.places[0]))
        lines.append(f"About {found.places[0].population:,} people. Nearest: {near}.")
    return "\n".join(lines)


def _position(at: Place) -> str:
    north = f"{abs(at.lat):.2f}° {'N' if at.lat >= 0 else 'S'}"
    return f"{north}, {abs(at.lon):.2f}° {'E' if at.lon >= 0 else 'W'}"


def _plain(text: str) -> str:
    """Lower case, without accents."""
    spread = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in spread if not unicodedata.combining(sign)).replace("ø", "o")
