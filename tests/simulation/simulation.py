"""One seed, from its first process to the check of what happened."""

from __future__ import annotations

import asyncio
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.simulation.clients import Caretaker, Client, Listener
from tests.simulation.history import History
from tests.simulation.invariants import Violation, violations
from tests.simulation.loop import Stuck, unheard
from tests.simulation.world import Complaints, World, repeatable

LONGEST = 60
"""Leases that tasks may take to end when nothing goes wrong any more."""


@dataclass
class Outcome:
    seed: int
    history: History
    violations: list[Violation]
    steps: int
    about: str

    def report(self) -> str:
        """What a person needs to look into a failing seed."""
        lines = [f"seed {self.seed}: {self.about}"]
        for found in self.violations:
            lines += ["", f"{found.kind}: {found.text}"]
        first = next((found for found in self.violations if found.task_id), None)
        events = None if first is None or first.task_id is None else self.history.of(first.task_id)
        return "\n".join([*lines, "", self.history.table(events), "", f"again: python -m tests.simulation {self.seed}"])


def simulate(seed: int, folder: Path) -> Outcome:
    """Run a seed and check it."""
    with repeatable(seed) as complaints:
        world = World(seed, folder)
        try:
            return _outcome(world, complaints)
        finally:
            with unheard():
                world.close()
                del world


def _outcome(world: World, complaints: Complaints) -> Outcome:
    main, stuck = world.loop.create_task(_life(world), context=Context()), None
    try:
        world.scheduler.run(main.done)
        main.result()
    except Stuck as error:
        stuck = str(error)
    found = violations(world, [*complaints.found, *world.scheduler.trouble()], stuck)
    return Outcome(world.seed, world.history, found, world.scheduler.steps, _about(world))


async def _life(world: World) -> None:
    rng = world.rng
    users = ["ann", "bob"][: rng.choice([1, 2])]
    seconds = rng.choice([3, 6, 12]) * world.lease
    clients = [Client(world, f"client{n}", rng.choice(users)) for n in range(rng.choice([1, 2, 3]))]
    lives = [world.loop.create_task(client.live(seconds)) for client in clients]
    lives.append(world.loop.create_task(world.trouble(seconds)))
    await asyncio.wait(lives)
    for life in lives:
        life.result()
    world.calm()
    caretakers = [Caretaker(world, f"{user}'s", user) for user in users]
    attending = [world.loop.create_task(caretaker.attend()) for caretaker in caretakers]
    for user in users:
        live = [one.task_id for one in world.unfinished() if one.owner == ("client", user)]
        if live:
            world.listeners.append(Listener(world, user, live))
    end = world.now + LONGEST * world.lease
    over = world.now
    # What was left running may still try to write, and requests and news may still be on their way.
    while world.now < min(end, over + 3 * world.lease):
        await asyncio.sleep(world.lease / 2)
        if world.unfinished():
            over = world.now
    for work in attending:
        work.cancel()
    world.log("world", "end")


def _about(world: World) -> str:
    about: dict[str, Any] = {
        "storage": "own memory"
        if world.alone
        else "sqlite"
        if world.sqlite
        else "remote"
        if world.remote
        else "memory",
        "executor": "queue" if world.queued else "asyncio",
        "lease": world.lease,
        "attempts": world.attempts,
        "clocks": world.clocks,
        "quota": world.limits.tasks_per_owner,
    }
    return ", ".join(f"{name} {value}" for name, value in about.items())
