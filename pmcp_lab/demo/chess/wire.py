"""What the server and the board say to each other. Nothing here knows the rules."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

MAX_MOVES = 600
"""Half-moves of a game; the longest that was ever played in a tournament had 538."""

Side = Literal["white", "black"]
Opponent = Literal["nobody", "easy", "medium", "hard"]
Status = Literal["playing", "check", "checkmate", "stalemate", "draw"]


class Move(BaseModel):
    """A half-move that was played."""

    uci: str = Field(description="From square, to square, and the piece a pawn becomes: e7e8q")
    san: str = Field(description="Standard notation: e8=Q+")
    by: Side
    fen: str = Field(description="The position after it")


class Game(BaseModel):
    """A game so far."""

    start: str = Field(description="The position it began from, as FEN")
    moves: list[Move]
    fen: str = Field(description="The position now")
    turn: Side
    status: Status
    result: Literal["1-0", "0-1", "1/2-1/2", "*"]
    note: str = Field(description="How it stands, in words")
    check: str | None = Field(description="The square of a king in check")
    legal: list[str] = Field(description="What may be played now, as squares; empty when the game is over")
    side: Side
    opponent: Opponent
