"""The long version of the tests of programs: killed over and over, at writes and around the effects of their calls."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

from tests.unit.code_that_dies import CALLS, killed, laid_out
from tests.unit.server.test_code_crash import WRITES, goes_on

PROGRAMS = 150


async def test_many_programs_killed_up_to_five_times_each(tmp_path: Path) -> None:
    chance, endings = random.Random(6), Counter[int | None]()
    for number in range(PROGRAMS):
        folder = tmp_path / f"{number}"
        await laid_out(folder)
        for _ in range(chance.randint(1, 5)):
            write = chance.random() < 0.5
            moment = chance.randrange(WRITES if write else 2 * CALLS)
            # One that gets to the end, or waits for a person, ends by itself.
            endings[await asyncio.to_thread(killed, folder, moment, write=write)] += 1
        await goes_on(folder)
    print(f"\n{PROGRAMS} programs of {CALLS} calls, {endings[-9]} kills: what may not run twice ran once")
    assert set(endings) == {0, -9}
    assert endings[-9] >= PROGRAMS
