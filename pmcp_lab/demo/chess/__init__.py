"""Chess in an app: legal moves, an opponent, undo. `register(apps)` adds it to a server.

The rules are in `rules.py`, who plays against you is in `opponent.py`, what goes over the wire is in `wire.py` and
what is seen in `widget.html`.

No game is kept on the server. Every call brings the position it began from and the moves so far, and each move is
checked again by the rules: any process can answer, nothing expires, taking a move back is leaving it out, and a draw
by repetition can be told, which a position alone would not show.
"""

from __future__ import annotations

import secrets
from types import ModuleType
from typing import Annotated, Any

from mcp.server.apps import Apps
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field

from pmcp_lab.demo.page import widget_page

from .wire import MAX_MOVES, Game, Opponent, Side

__all__ = ["URI", "build", "register"]

URI = "ui://demo/chess"
"""Where hosts find the board."""

OPENED = "demo/opened"
"""In a result's `_meta`: the name under which the board keeps what is played from here."""

_READ_ONLY = ToolAnnotations(read_only_hint=True, open_world_hint=False)

Moves = Annotated[
    list[Annotated[str, Field(max_length=10)]],
    Field(
        max_length=MAX_MOVES,
        description="The moves so far, in standard notation (Nf3, exd5, O-O, e8=Q) or as squares (g1f3, e7e8q)",
    ),
]
Start = Annotated[
    str | None,
    Field(max_length=100, description="The position the game begins from, as FEN; the usual one if left out"),
]
Plays = Annotated[Side, Field(description="The side of the person at the board")]
Against = Annotated[Opponent, Field(description="Who has the other side; `nobody` for two people at one board")]


def build() -> MCPServer[Any]:
    """A new server with this app and nothing else."""
    apps = Apps()
    register(apps)
    return MCPServer("chess", title="Chess", extensions=[apps], log_level="WARNING")


def register(apps: Apps) -> None:
    """Add the tools `chess` and `chess_play`, and the board they are shown on."""
    apps.add_html_resource(
        URI,
        widget_page(__package__),
        name="chess",
        title="Chess",
        description="A chess board that knows the rules.",
        prefers_border=True,
    )

    @apps.tool(
        resource_uri=URI,
        title="Chess",
        description="Show a chess board after some moves, ready to be played on. Says what may be played next, "
        "so that a game can also be played by calling it again with one move more.",
        annotations=_READ_ONLY,
    )
    def chess(
        moves: Moves = [],  # noqa: B006 - copied by pydantic, and its schema shows it
        start: Start = None,
        side: Plays = "white",
        opponent: Against = "medium",
    ) -> Annotated[CallToolResult, Game]:
        rules = _rules()
        return _result(rules, lambda: rules.replay(start, moves, side, opponent))

    # A model has no use for it: it would play both sides in one call.
    @apps.tool(
        resource_uri=URI,
        visibility=["app"],
        title="Play a move",
        description="Play a move on the board, and let the opponent answer. Without a move, the opponent begins.",
        annotations=_READ_ONLY,
    )
    def chess_play(
        moves: Moves = [],  # noqa: B006
        move: Annotated[str | None, Field(max_length=10, description="What the person at the board plays")] = None,
        start: Start = None,
        side: Plays = "white",
        opponent: Against = "medium",
    ) -> Annotated[CallToolResult, Game]:
        rules = _rules()
        played = moves if move is None else [*moves, move]
        return _result(rules, lambda: rules.replay(start, played, side, opponent, answer=True))


def _rules() -> ModuleType:
    try:
        from . import rules
    except ModuleNotFoundError as error:
        if error.name != "chess":
            raise
        raise ToolError(
            "The rules of chess come from the package `chess`, which the server does not have. "
            "Install it where the server runs: pip install 'pmcp_lab[demo]' (or: pip install chess)"
        ) from None
    return rules


def _result(rules: ModuleType, play: Any) -> CallToolResult:
    try:
        game: Game = play()
    except ValueError as error:
        raise ToolError(str(error)) from None
    text = TextContent(type="text", text=rules.in_words(game))
    return CallToolResult(content=[text], structured_content=game.model_dump(), _meta={OPENED: secrets.token_hex(8)})
