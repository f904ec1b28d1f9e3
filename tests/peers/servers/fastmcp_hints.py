"""A fastmcp server that says for how long its answers are fresh: `… SECONDS`. Runs in an environment of its own."""

import itertools
import sys

from fastmcp import FastMCP

server = FastMCP("fastmcp-hints", cache_ttl=int(sys.argv[1]) or None)
count = itertools.count(1)


@server.tool
def grow(name: str) -> str:
    """Have one more tool, and say nothing of it."""

    def grown() -> str:
        return name

    server.tool(grown, name=name)
    return name


@server.resource("memo://count")
def read() -> str:
    return str(next(count))


if __name__ == "__main__":
    server.run(show_banner=False)
