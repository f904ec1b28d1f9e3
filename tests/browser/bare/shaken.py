"""Every view of real widgets behind a wire that loses, delays and repeats messages, and what has to be read in the end.

The wire, the person who clicks, and what is read of a view are `faulty.js`. What is counted here is what the server was
asked to do: nothing twice, and nothing left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

import pmcp_lab as lab
from pmcp_lab.host.app import INIT_TIMEOUT
from pmcp_lab.notebook import Catalogue, TaskCard, TaskTable, WorkflowView
from tests.browser.bare.kernel import running_kernel
from tests.browser.bare.shaken_server import APP, ASKED, Shaken
from tests.unit.front_end import until

KINDS = ("card", "form", "table", "selection", "workflow", "catalogue", "app")
SPEED = 8
"""How much faster the page's time passes."""
FAULTS = {"lose": 0.3, "delay": 0.3, "double": 0.2}
SHAKEN = 2.5
"""Seconds of faults."""
PATIENCE = 15
"""Seconds in which a view has to be as the kernel is: 2 would do for the longest pause between two asks and what comes
of the answer, but a busy machine does not hurry as the page's time does."""
TOLD = 3
"""What the server tells an app by itself."""


@dataclass
class Run:
    """One view, what it should show, and what else has to be true."""

    name: str
    kind: str
    seed: int
    widget: Any
    over: Callable[[], bool]
    expected: Callable[[dict[str, Any]], list[str]]
    wrong: list[str] = field(default_factory=list)


class Siege:
    """A page with every view of every kind, and the kernel behind it."""

    def __init__(self, page: Page, connection: lab.Server, shaken: Shaken) -> None:
        self.page = page
        self.server = connection
        self.shaken = shaken
        self.slowest = 0.0
        """Seconds of the page's time until a view was as the kernel, after both had come to rest."""

    def run(self, seeds: range, kinds: tuple[str, ...] = KINDS) -> list[Run]:
        """One view for each seed, all at once, through faults and back; what did not end as the kernel."""
        page = self.page
        shared = seeds[0] % 2 == 0
        page.evaluate("([seed, faults]) => { window.faults.on = true; shake(seed, faults) }", [seeds[0], FAULTS])
        runs = [self._begin(kinds[seed % len(kinds)], seed) for seed in seeds]
        page.evaluate("() => { window.manager = front_end() }")
        for run in runs:
            page.evaluate(
                "([name, id, kind, seed, shared]) => visit(name, id, kind, seed, shared ? window.manager : undefined)",
                [run.name, run.widget.model_id, run.kind, run.seed, shared],
            )
        page.wait_for_timeout(SHAKEN * 1000)
        page.evaluate("() => { faults.on = false }")
        self._await(runs, time.monotonic())
        page.evaluate("() => leave()")
        for run in runs:
            run.widget.close()
        return [run for run in runs if run.wrong]

    def _await(self, runs: list[Run], quiet: float) -> None:
        since = dict.fromkeys([run.name for run in runs], quiet)
        open_runs = list(runs)
        end = quiet + 4 * PATIENCE
        while open_runs and time.monotonic() < end:
            facts = self.page.evaluate("() => facts()")
            now = time.monotonic()
            for run in list(open_runs):
                told = facts[run.name]
                wrong = run.expected(told)
                wrong += [f"still {told['spinning']}"] if told["spinning"] else []
                wrong += [f"says {told['link']!r}"] if told["link"] else []
                run.wrong = wrong
                if not run.over():
                    since[run.name] = now
                elif not wrong:
                    self.slowest = max(self.slowest, (now - since[run.name]) * SPEED)
                    open_runs.remove(run)
                elif now - since[run.name] > PATIENCE:
                    open_runs.remove(run)
            self.page.wait_for_timeout(50)
        for run in open_runs:
            run.wrong = run.wrong or ["not over in time"]

    def _begin(self, kind: str, seed: int) -> Run:
        # Of each kind in their turn, so that what depends on a seed is mixed in all of them.
        return getattr(self, f"_{kind}")(f"{kind} {seed}", seed // len(KINDS))  # type: ignore[no-any-return]

    def _card(self, name: str, seed: int) -> Run:
        task = self.server.task("job", seed=1_000_000 + seed)
        return Run(name, "card", seed, TaskCard(task), task.done, lambda told: self._of_task(task, told))

    def _of_task(self, task: lab.Task, told: dict[str, Any]) -> list[str]:
        outcome = task.outcome.preview(400) if task.outcome is not None else None
        wrong = []
        if told["status"] != task.status:
            wrong.append(f"shows {told['status']}, is {task.status}")
        if told["asks"] != len(task.questions):
            wrong.append(f"shows {told['asks']} questions of {len(task.questions)}")
        if told["moments"] != len(task.moments):
            wrong.append(f"shows {told['moments']} moments of {len(task.moments)}")
        if task.status == "completed" and (told["result"] or "").replace(" ", "") != (outcome or "").replace(" ", ""):
            wrong.append(f"shows {told['result']!r}, is {outcome!r}")
        seed = task.arguments["seed"]
        times = self.shaken.done["job", seed]
        if times != 1:
            wrong.append(f"ran {times} times")
        if task.status in ("completed", "failed") and seed % 3 and self.shaken.done["answer", seed, "accept"] != 1:
            wrong.append("was not answered once")
        return wrong

    def _form(self, name: str, seed: int) -> Run:
        form = self.server.tools["job"].form()
        seed += 200_000
        runs: set[int] = set()

        def over() -> bool:
            return form.task is not None and form.task.done() and len(runs) == 2

        def expected(told: dict[str, Any]) -> list[str]:
            runs.update(range(told["presses"]))
            if form.task is None:
                return ["nothing was run"]
            ran = {each: self.shaken.done["job", each] for each in (seed * 10 + n for n in range(told["presses"]))}
            wrong = [f"{each} ran {times} times" for each, times in ran.items() if times != 1]
            return wrong + self._of_task(form.task, told)

        return Run(name, "form", seed, form, over, expected)

    def _table(self, name: str, seed: int) -> Run:
        first = [self.server.task("job", seed=3 * (1_000_000 + 4 * seed + n)) for n in range(4)]
        table = TaskTable(first)
        tasks = table.shown()

        def expected(told: dict[str, Any]) -> list[str]:
            wrong = []
            if len(told["rows"]) != len(tasks):
                wrong.append(f"shows {len(told['rows'])} rows of {len(tasks)}")
            for task, (status, text) in zip(tasks, told["rows"], strict=False):
                if status != task.status:
                    wrong.append(f"shows {status}, is {task.status}")
                # A row names its tool already.
                said = (task.message or "").removeprefix("Error executing tool job: ")
                if said not in text:
                    wrong.append(f"{said!r} is not in {text!r}")
            return wrong

        return Run(name, "table", seed, table, lambda: all(task.done() for task in tasks), expected)

    def _selection(self, name: str, seed: int) -> Run:
        """A table all of whose rows are selected: its questions are answered alike, and what failed is retried once."""
        seeds = range(4 * seed, 4 * seed + 4)
        table = TaskTable([self.server.task("vote", seed=each, ask=each % 4 < 2) for each in seeds])

        def over() -> bool:
            return all(task.status == "completed" for task in table.shown())

        def expected(told: dict[str, Any]) -> list[str]:
            shown = [status for status, _ in told["rows"]]
            is_so = [task.status for task in table.shown()]
            wrong = [] if shown == is_so else [f"shows {shown}, is {is_so}"]
            wrong += [f"shows {told['asks']} questions"] if told["asks"] else []
            wrong += ["still says that it is under way"] if "under way" in told["said"] else []
            for each in seeds:
                asked = each % 4 < 2
                if self.shaken.done["vote", each] != (1 if asked else 2):
                    wrong.append(f"{each} ran {self.shaken.done['vote', each]} times")
                if asked and self.shaken.done["voted", each, "accept"] != 1:
                    wrong.append(f"{each} was answered {self.shaken.done['voted', each, 'accept']} times")
            return wrong

        return Run(name, "selection", seed, table, over, expected)

    def _workflow(self, name: str, seed: int) -> Run:
        seed += 300_000
        run = self.server.workflow("ship", seed=seed)

        def expected(told: dict[str, Any]) -> list[str]:
            steps = [str(step.status.value) for step in run.steps]
            wrong = [] if told["steps"] == steps else [f"shows {told['steps']}, is {steps}"]
            if told["status"] != run.status:
                wrong.append(f"shows {told['status']}, is {run.status}")
            for what, times in (("count", seed, 0), 1), (("save", seed), 2):
                if self.shaken.done[what] != times:
                    wrong.append(f"{what} {self.shaken.done[what]} times")
            return wrong

        return Run(name, "workflow", seed, WorkflowView(run), run.done, expected)

    def _catalogue(self, name: str, seed: int) -> Run:
        listing = self.server.tools

        def expected(told: dict[str, Any]) -> list[str]:
            return [f"{tool} is missing" for tool in listing if tool not in told["text"]]

        return Run(name, "catalogue", seed, Catalogue(listing), lambda: True, expected)

    def _app(self, name: str, seed: int) -> Run:
        view = self.server.app("show", seed=seed)
        told_it = [0]

        def over() -> bool:
            found = (view.context or {}).get("structuredContent") or {}
            # Begins when the app is there to hear of it.
            if found and told_it[0] < TOLD:
                told_it[0] += 1
                view.notify("notifications/tools/list_changed", {})
            return found.get("got") == list(range(ASKED)) and told_it[0] == TOLD

        def expected(told: dict[str, Any]) -> list[str]:
            found = (view.context or {}).get("structuredContent") or {}
            right = {"got": list(range(ASKED)), "result": f"shown {seed}", "told": TOLD}
            wrong = [] if found == right else [f"the app has {found} and is {told['state']}"]
            twice = [n for n in range(ASKED) if self.shaken.done["count", seed, n] != 1]
            return wrong + ([f"asked not once: {twice}"] if twice else [])

        return Run(name, "app", seed, view, over, expected)

    def idle(self, cards: int, seconds: float) -> dict[str, int]:
        """Messages in either direction, by kind, of a page with so many live cards that nothing happens to."""
        page = self.page
        tasks = [self.server.task("job", seed=9_000_001 + 3 * n) for n in range(cards)]
        for task in tasks:
            until(lambda task=task: task.questions, 60)
        page.evaluate("() => { window.manager = front_end() }")
        for task in tasks:
            widget = TaskCard(task)
            visit = "([id, seed]) => visit(id, id, 'catalogue', seed, window.manager)"
            page.evaluate(visit, [widget.model_id, task.arguments["seed"]])
        page.wait_for_function("(n) => document.querySelectorAll('.pmcp-ask').length === n", arg=cards)
        page.wait_for_timeout(3000)
        page.evaluate(
            """() => {
              window.counted = {};
              window.carry = (way, {content}, arrive) => {
                counted[content?.kind] = (counted[content?.kind] ?? 0) + 1;
                arrive();
              };
            }"""
        )
        page.wait_for_timeout(seconds * 1000)
        counted: dict[str, int] = page.evaluate("() => counted")
        for task in tasks:
            task.cancel()
        return counted


@contextmanager
def besieged(browser: Browser, site: str, speed: int = SPEED) -> Iterator[Siege]:
    """A page behind a bad wire, where time passes so many times as fast."""
    here = Path(__file__).parent
    shaken = Shaken((here / "app.html").read_text() + APP)
    with (
        running_kernel() as kernel,
        lab.connect(shaken.server, name="shaken") as connection,
        pytest.MonkeyPatch.context() as patch,
    ):
        # Four rows come in three parts, as thousands would.
        for name, size in (("FIRST", 2), ("CHUNK", 1), ("SLICE", 1)):
            patch.setattr(f"pmcp_lab.notebook.task_table.{name}", size)
        # An app's frames start in our time.
        patch.setattr("pmcp_lab.host.app.INIT_TIMEOUT", INIT_TIMEOUT * speed)
        context = browser.new_context(viewport={"width": 1000, "height": 9000})
        page = context.new_page()
        page.goto(site)
        for name in ("linked.js", "faulty.js"):
            page.add_script_tag(url=f"{site}/{name}")
        page.evaluate("([url, speed]) => { hasten(speed); link_kernel(url) }", [kernel.url, speed])
        yield Siege(page, connection, shaken)
        context.close()
