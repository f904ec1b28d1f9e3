"""The database: a year of bike sharing in a town that doesn't exist. Made when it is first asked, always the same."""

from __future__ import annotations

import functools
import math
import random
import sqlite3
from datetime import date, timedelta

from pydantic import BaseModel, Field

FIRST_DAY = date(2024, 1, 1)
DAYS = 366

SCHEMA = """
CREATE TABLE station (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, district TEXT NOT NULL, docks INTEGER NOT NULL, height_m REAL NOT NULL
);
CREATE TABLE day (
    date TEXT PRIMARY KEY, weekday TEXT NOT NULL, temperature REAL NOT NULL, rain_mm REAL NOT NULL,
    holiday INTEGER NOT NULL
);
CREATE TABLE trip (
    id INTEGER PRIMARY KEY, date TEXT NOT NULL REFERENCES day (date), hour INTEGER NOT NULL,
    from_station INTEGER NOT NULL REFERENCES station (id), to_station INTEGER NOT NULL REFERENCES station (id),
    minutes REAL NOT NULL, rider TEXT NOT NULL
);
CREATE INDEX trip_date ON trip (date);
"""

# name, district, docks, height above the sea in metres, and how much is going on there
STATIONS = (
    ("Central Station", "Centre", 40, 112.0, 10.0),
    ("Market Square", "Centre", 28, 114.5, 7.5),
    ("Town Hall", "Centre", 18, 115.0, 4.0),
    ("University", "Hill", 32, 158.0, 6.5),
    ("Botanic Garden", "Hill", 14, 149.0, 2.4),
    ("Observatory", "Hill", 10, 187.0, 1.1),
    ("Old Harbour", "Riverside", 24, 104.0, 5.2),
    ("Boathouse", "Riverside", 16, 103.5, 2.9),
    ("Swimming Baths", "Riverside", 20, 105.0, 3.1),
    ("Gasworks", "West End", 22, 118.0, 3.8),
    ("Stadium", "West End", 30, 121.0, 2.6),
    ("Orchard Street", "West End", 12, 124.0, 1.9),
)

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOLIDAYS = {(1, 1), (4, 1), (5, 1), (5, 9), (10, 3), (12, 25), (12, 26)}

# How much is ridden in each hour of a working day, and of a day off.
WORK = (1, 0, 0, 0, 1, 3, 9, 20, 26, 14, 8, 8, 11, 10, 9, 11, 17, 27, 24, 14, 9, 6, 4, 2)
FREE = (4, 3, 2, 1, 0, 1, 2, 3, 6, 10, 14, 17, 18, 19, 20, 19, 18, 16, 13, 10, 8, 7, 6, 5)

TRIPS_PER_DAY = 46


class Example(BaseModel):
    """A question worth asking."""

    title: str
    sql: str
    chart: str = Field(description="How its answer is best drawn")
    color: str | None = None


EXAMPLES = (
    Example(
        title="Busiest stations",
        chart="bar",
        sql="SELECT station.name AS station, count(*) AS trips\n"
        "FROM trip JOIN station ON station.id = trip.from_station\nGROUP BY station.id\nORDER BY trips DESC",
    ),
    Example(
        title="Members and guests, by month",
        chart="line",
        color="rider",
        sql="SELECT substr(date, 1, 7) AS month, rider, count(*) AS trips\n"
        "FROM trip\nGROUP BY month, rider\nORDER BY month",
    ),
    Example(
        title="Does warmth bring riders?",
        chart="scatter",
        color="weather",
        sql="SELECT temperature, count(*) AS trips,\n"
        "       CASE WHEN rain_mm > 1 THEN 'rain' ELSE 'dry' END AS weather\n"
        "FROM day JOIN trip USING (date)\nGROUP BY date\nORDER BY weather, temperature",
    ),
    Example(
        title="Hours of the day",
        chart="line",
        color="days",
        sql="SELECT hour,\n"
        "       CASE WHEN weekday IN ('Sat', 'Sun') OR holiday THEN 'day off' ELSE 'working day' END AS days,\n"
        "       round(count(*) * 1.0 / count(DISTINCT date), 2) AS trips_per_day\nFROM trip JOIN day USING (date)\n"
        "GROUP BY hour, days\nORDER BY hour",
    ),
    Example(
        title="Uphill takes longer",
        chart="scatter",
        sql="SELECT b.height_m - a.height_m AS climb_m, round(avg(minutes), 1) AS minutes\n"
        "FROM trip JOIN station a ON a.id = from_station JOIN station b ON b.id = to_station\n"
        "WHERE a.id <> b.id\nGROUP BY a.id, b.id\nHAVING count(*) >= 10\nORDER BY climb_m",
    ),
    Example(
        title="Longest trips",
        chart="table",
        sql='SELECT date, hour, a.name AS "from", b.name AS "to", minutes, rider\n'
        "FROM trip JOIN station a ON a.id = from_station JOIN station b ON b.id = to_station\n"
        "ORDER BY minutes DESC\nLIMIT 50",
    ),
)


def about() -> str:
    """The tables in one line, for who writes the query."""
    return (
        "Tables: station(id, name, district, docks, height_m), day(date, weekday, temperature, rain_mm, holiday), "
        "trip(id, date, hour, from_station, to_station, minutes, rider). Dates are '2024-01-31', "
        "rider is 'member' or 'guest', from_station and to_station are station.id."
    )


@functools.cache
def database() -> bytes:
    """The database as SQLite would write it to a file."""
    chance = random.Random(2024)  # noqa: S311 - it has to be the same each time
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(SCHEMA)
        connection.executemany(
            "INSERT INTO station VALUES (?, ?, ?, ?, ?)",
            [(number, *station[:4]) for number, station in enumerate(STATIONS, 1)],
        )
        days = list(_days(chance))
        connection.executemany("INSERT INTO day VALUES (?, ?, ?, ?, ?)", days)
        connection.executemany(
            "INSERT INTO trip (date, hour, from_station, to_station, minutes, rider) VALUES (?, ?, ?, ?, ?, ?)",
            (trip for day in days for trip in _trips(chance, *day)),
        )
        connection.commit()
        content = connection.serialize()
    connection.close()
    return content


def _days(chance: random.Random) -> list[tuple[str, str, float, float, int]]:
    found = []
    drift = 0.0
    for number in range(DAYS):
        day = FIRST_DAY + timedelta(days=number)
        drift = 0.75 * drift + chance.gauss(0, 2.2)
        season = 10.5 - 10.5 * math.cos(2 * math.pi * (number - 18) / DAYS)
        wet = chance.random() < 0.34
        rain = round(chance.expovariate(1 / 4.5), 1) if wet else 0.0
        temperature = round(season + drift - (1.5 if rain > 1 else 0), 1)
        off = int((day.month, day.day) in HOLIDAYS)
        found.append((day.isoformat(), WEEKDAYS[day.weekday()], temperature, rain, off))
    return found


def _trips(
    chance: random.Random, day: str, weekday: str, temperature: float, rain: float, off: int
) -> list[tuple[str, int, int, int, float, str]]:
    free = bool(off) or weekday in ("Sat", "Sun")
    warm = 1 / (1 + math.exp(-(temperature - 9) / 5)) - (max(0.0, temperature - 27) * 0.04)
    dry = 1 / (1 + rain / 6)
    count = max(2, round(chance.gauss(TRIPS_PER_DAY * (0.3 + 1.15 * warm) * (0.45 + 0.55 * dry), 4)))
    weights = [station[4] for station in STATIONS]
    numbers = range(1, len(STATIONS) + 1)
    trips = []
    for _ in range(count):
        [hour] = chance.choices(range(24), FREE if free else WORK)
        start, end = chance.choices(numbers, weights, k=2)
        guest = chance.random() < (0.42 if free else 0.16) * (0.5 + warm)
        climb = STATIONS[end - 1][3] - STATIONS[start - 1][3]
        away = 4 + 1.7 * abs(start - end) ** 0.7 if start != end else 14.0
        minutes = (away + max(0.0, climb) * 0.11) * chance.lognormvariate(0, 0.22) * (1.5 if guest else 1.0)
        trips.append((day, hour, start, end, round(minutes, 1), "guest" if guest else "member"))
    return sorted(trips, key=lambda trip: trip[1])
