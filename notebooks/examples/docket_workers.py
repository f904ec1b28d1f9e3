"""Work on other machines: the server takes the calls, workers that share its Redis run them, and one is killed.

python docket_workers.py redis://localhost
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.server import TaskContext, Tasks

REDIS = os.environ.get("REDIS_URL", "redis://localhost")

# A worker that says nothing for `lease` seconds is taken for dead; the default is 15.
tasks = Tasks(REDIS, executor="docket", lease=2)


@tasks.tool(on_lost="retry", poll_interval="200ms")
async def render(frame: int, task: TaskContext) -> dict[str, int]:
    """Render a frame of a film."""
    await task.update(message=f"frame {frame}", variables={"pid": os.getpid()})
    await asyncio.sleep(0.5)
    return {"frame": frame, "pid": os.getpid()}


server = MCPServer("film", extensions=[tasks], middleware=[tasks], lifespan=tasks.lifespan, log_level="ERROR")


def worker(redis: str) -> subprocess.Popen[bytes]:
    """What a machine of its own would run: `pmcp-lab worker docket_workers:server`."""
    command = [sys.executable, "-m", "pmcp_lab", "worker", f"{Path(__file__).stem}:server", "--concurrency", "2"]
    return subprocess.Popen(command, cwd=Path(__file__).parent, env={**os.environ, "REDIS_URL": redis})


def main(redis: str = REDIS) -> set[int]:
    """Returns the processes that rendered."""
    workers = [worker(redis), worker(redis)]
    film = lab.connect([sys.executable, __file__, "--serve"], name="film", env={"REDIS_URL": redis})
    try:
        frames = film.map("render", [{"frame": frame} for frame in range(12)])
        while len(at_work := {task.variables.get("pid") for task in frames} - {None}) < 2:
            time.sleep(0.05)
        victim = workers[0].pid
        os.kill(victim, signal.SIGKILL)
        print(f"rendering in processes {sorted(at_work)}; {victim} was killed")
        rendered = [result.value for result in frames.results(timeout=90)]
        assert [each["frame"] for each in rendered] == list(range(12))
        pids = {each["pid"] for each in rendered}
        print(f"all 12 frames are there, rendered by {sorted(pids)}")
        return pids
    finally:
        film.close()
        for each in workers:
            each.terminate()
            each.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        server.run("stdio")
    else:
        main(*sys.argv[1:])
