"""Processes around one Redis: a server that only submits, and workers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def fresh(url: str) -> str:
    """The same Redis, with keys of its own."""
    return f"{url}?prefix={uuid.uuid4()}"


class Farm:
    """Whatever it starts ends with it.

    Args:
        url: Of the Redis, with a prefix.
        module: Has the workers' `build`.
        env: Of all that is started, besides this process's own.
    """

    def __init__(self, url: str, module: str = "tests.servers.farm", env: Mapping[str, str] | None = None) -> None:
        self.url = url
        self._module = module
        self._env = dict(env or {})
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> tuple[asyncio.subprocess.Process, str]:
        """A Python process, and the line it printed when it was ready."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "FARM_URL": self.url, **self._env, **(env or {})},
            stdout=asyncio.subprocess.PIPE,
        )
        self._processes.append(process)
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 50)
        return process, line.decode().strip()

    async def serve(self) -> str:
        """The URL of a server process."""
        return (await self.start("-m", "tests.servers.farm"))[1]

    async def worker(self, *options: str, env: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
        process, line = await self.start("-m", "pmcp_lab", "worker", f"{self._module}:build", *options, env=env)
        assert line.startswith("working on ")
        return process

    async def workers(self, count: int, *options: str) -> list[asyncio.subprocess.Process]:
        return list(await asyncio.gather(*(self.worker(*options) for _ in range(count))))


@asynccontextmanager
async def farm(url: str, **options: Any) -> AsyncIterator[Farm]:
    started = Farm(fresh(url), **options)
    try:
        yield started
    finally:
        for process in started._processes:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()
