"""Processes whose clocks are apart, jump or run too fast (libfaketime): leases are believed and lost all the same."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.unit.calling import calling
from tests.unit.farm import fresh
from tests.unit.processes import Nursery, Process, Start, nursery, processes, together
from tests.unit.storage_servers import shared_redis
from tests.unit.versions import checked

LEASE = 3.0
"""Seconds."""

APART = round(2 * LEASE)
"""Seconds."""

SLOW = 2.0
"""Seconds that a busy machine may take on top of what is promised."""

CLOCKS = {
    "the runner's is ahead": (f"+{APART}s", "+0s"),
    "the runner's is behind": (f"-{APART}s", "+0s"),
    "both are wrong": (f"-{APART}s", f"+{APART}s"),
    "the other's is fast": ("+0s", "+0s x3"),
    "the runner's is fast": ("+0s x3", "+0s"),
    "both jump": ("jumps", "jumps"),
}
"""As libfaketime has it, of the process that runs a task and of the one that would take it over."""


def home() -> Nursery:
    """For processes with clocks of their own. The monotonic one stays the machine's: it has no relation to others."""
    program = shutil.which("faketime")
    if program is None:
        pytest.skip("no faketime on PATH: install it (libfaketime)")
    library = subprocess.check_output([program, "-f", "+0s", "printenv", "LD_PRELOAD"], text=True).strip()
    return nursery(LD_PRELOAD=library, FAKETIME_NO_CACHE="1", FAKETIME_DONT_FAKE_MONOTONIC="1")


@asynccontextmanager
async def jumping(path: Path) -> AsyncIterator[None]:
    """A clock that is set anew all the time."""
    chance = random.Random(path.name)

    def set_anew() -> None:
        new = path.with_suffix(".new")
        new.write_text(f"{chance.uniform(-APART, APART):+.3f}s\n")
        new.replace(path)

    async def go_on() -> None:
        while True:
            set_anew()
            await asyncio.sleep(chance.uniform(0, LEASE / 4))

    set_anew()
    setting = asyncio.create_task(go_on())
    try:
        yield
    finally:
        setting.cancel()


async def server(start: Start, url: str, clock: str, path: Path) -> Process:
    env = {"FAKETIME_TIMESTAMP_FILE": str(path)} if clock == "jumps" else {"FAKETIME": clock}
    return await start("tests.servers.besieged", url, f"--lease={LEASE}", **env)


async def runs_and_is_lost(url: str, clocks: tuple[str, str], folder: Path) -> float:
    """A task that is run for longer than its lease, and one whose process is killed.

    Returns:
        Seconds until that was run again.
    """
    files = [folder / "runner.time", folder / "other.time"]
    async with checked(url, timed=False), processes(home()) as start, jumping(files[0]), jumping(files[1]):
        runner, other = [await server(start, url, *one) for one in zip(clocks, files, strict=True)]
        async with calling(runner, "2026-07-28") as mine, calling(other, "2026-07-28") as yours:
            healthy = await mine.task("again", seconds=2 * LEASE)
            lost = await mine.task("again", seconds=60)
            by = await yours.outcome(healthy)
            assert by == f"by {runner.pid}", f"{healthy} was taken from a process that lived: {clocks}"
            assert "attempt" not in (await yours.get(lost))["_meta"], f"{lost} was taken, too: {clocks}"
            await runner.end()
            killed = time.monotonic()
            await other.says("starts", task=lost, attempt=2)
            took = time.monotonic() - killed
            await yours.cancel(lost)
    return took


@pytest.mark.timeout(180)
async def test_clocks_decide_nothing_about_leases(tmp_path: Path) -> None:
    home()
    runs = {}
    for number, (name, clocks) in enumerate(CLOCKS.items()):
        folder = tmp_path / str(number)
        await asyncio.to_thread(folder.mkdir)
        runs[f"SQLite, {name}"] = runs_and_is_lost(f"sqlite:///{folder}/tasks.db", clocks, folder)
        runs[f"Redis, {name}"] = runs_and_is_lost(fresh(shared_redis().url), clocks, folder)
    for name, took in (await together(**runs)).items():
        assert took < LEASE * 4 / 3 + SLOW, name
