"""Scripts that wait for tasks, each to be run in a terminal of its own, which is descriptor 3: see `terminal`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import fcntl
import logging
import os
import signal
import sys
import termios
import threading
import time
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

import pmcp_lab as lab
from pmcp_lab.server import TaskContext, Tasks

tasks = Tasks("memory://")


class Choice(BaseModel):
    seed: int


def wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.02)


@tasks.tool()
async def work(task: TaskContext, until: str = "", steps: int = 4, name: str = "work") -> str:
    """Goes half of its way, and the rest once there is a file."""
    await task.update(message=f"{name}: half of {steps}", progress=0.5)
    if until:
        await asyncio.to_thread(wait_for, Path(until))
    return name


@tasks.tool()
async def pick(task: TaskContext, job: int = 0) -> str:
    """Asks."""
    answer = await task.elicit(f"Which seed for job {job}?", Choice)
    return f"seed {answer.content and answer.content.seed}"


server = MCPServer("jobs", extensions=[tasks], middleware=[tasks], lifespan=tasks.lifespan)

HERE = Path(os.environ.get("WAITS", "."))
GO = str(HERE / "go")


def one() -> None:
    print("before")
    print(jobs.task("work", until=GO).result().text)


def call() -> None:
    print(jobs.call("work", until=GO).text)


def many() -> None:
    rows = [{"until": "" if n < 3 else GO, "name": f"job {n}"} for n in range(6)]
    print(len(jobs.map("work", rows, concurrency=6).results()), "results")


def ended() -> None:
    rows = [{"until": "" if n < 2 else GO} for n in range(4)]
    for task in jobs.map("work", rows).as_completed():
        print("ended", task.result().text)


def quiet() -> None:
    lab.session.progress = False
    one()


def ended_before() -> None:
    task = jobs.task("work")
    concurrent.futures.wait([task])
    print(task.result().text)
    print("something" if "pmcp_lab.client.terminal.lines" in sys.modules else "nothing", "was loaded")


def prints() -> None:
    log = logging.StreamHandler(sys.stderr)

    def print_some() -> None:
        wait_for(HERE / "next")
        for n in range(40):
            print(f"line {n}")
        print("a line in ", end="", flush=True)
        time.sleep(0.5)
        print("two parts")
        print("on stderr", file=sys.stderr)
        log.handle(logging.makeLogRecord({"msg": "logged"}))
        print("typed:", input("your name? "))
        Path(GO).touch()

    thread = threading.Thread(target=print_some)
    thread.start()
    print("begun… ", end="", flush=True)
    print(jobs.task("work", until=GO).result().text)
    thread.join()


def threads() -> None:
    waiting = [
        threading.Thread(target=jobs.task("work", until=GO, name=f"thread {n}").result, daemon=True) for n in range(12)
    ]
    for each in waiting:
        each.start()
    print(jobs.task("work", until=GO, name="main").result().text)
    for each in waiting:
        each.join()


def asks() -> None:
    many = jobs.map("pick", [{"job": n} for n in range(5)])
    try:
        many.results()
    except KeyboardInterrupt:
        print("interrupted")
    for task in many:
        task.answer({"seed": 7})
    print(many.results()[0].text)


def interrupted() -> None:
    task = jobs.task("work", until=GO)
    try:
        task.result()
    except KeyboardInterrupt:
        print("interrupted;", task.status)


def forked() -> None:
    def fork() -> None:
        wait_for(HERE / "next")
        if os.fork() == 0:
            (HERE / "forked").touch()
            print("from the child", flush=True)
            os._exit(0)
        os.wait()
        Path(GO).touch()

    threading.Thread(target=fork).start()
    print(jobs.task("work", until=GO).result().text)


def ipython() -> None:
    from IPython import start_ipython

    start_ipython(
        ["--no-confirm-exit", "--no-banner", "--quick", "--HistoryManager.enabled=False"],
        user_ns={"jobs": jobs, "lab": lab, "GO": GO},
    )


def take_the_terminal() -> None:
    """As a shell gives it to what it starts."""
    os.setsid()
    fcntl.ioctl(3, termios.TIOCSCTTY, 0)
    os.dup2(3, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))
    for name in [name for name, value in os.environ.items() if not value]:
        del os.environ[name]


if __name__ == "__main__":
    take_the_terminal()
    with lab.connect(server) as jobs:
        globals()[sys.argv[1]]()
