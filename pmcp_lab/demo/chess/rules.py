"""The rules: a game is replayed move by move, each checked, and told in words. Needs the package `chess`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import chess

from .opponent import choose
from .wire import MAX_MOVES, Game, Move, Opponent, Side, Status

FIFTY_MOVES = 100
"""Half-moves without a capture or a pawn's move, after which a game is drawn."""

_SQUARES = re.compile(r"[a-h][1-8][a-h][1-8][qrbn]?")

# The first that applies is told.
_IMPOSSIBLE = {
    chess.STATUS_EMPTY: "the board is empty",
    chess.STATUS_NO_WHITE_KING: "White has no king",
    chess.STATUS_NO_BLACK_KING: "Black has no king",
    chess.STATUS_TOO_MANY_KINGS: "there are too many kings",
    chess.STATUS_PAWNS_ON_BACKRANK: "there is a pawn on the first or last rank",
    chess.STATUS_OPPOSITE_CHECK: "the side that just moved is in check",
    chess.STATUS_BAD_CASTLING_RIGHTS: "it allows a castling for which king and rook are not in place",
    chess.STATUS_INVALID_EP_SQUARE: "nothing can be taken en passant on the square it names",
}


def replay(start: str | None, moves: Sequence[str], side: Side, opponent: Opponent, *, answer: bool = False) -> Game:
    """The game after these moves.

    Args:
        start: FEN of the first position; None for the usual one.
        moves: Half-moves in standard notation or as squares.
        side: Whom the person at the board plays.
        opponent: Who plays the other side.
        answer: Let the opponent play too, when it is their turn.

    Raises:
        ValueError: The position is impossible, or a move is not legal; says which and what would be.
    """
    board = _position(start)
    first = board.fen(en_passant="legal")
    seen = Counter([_key(first)])
    played: list[Move] = []
    status, result, note = _standing(board, seen)

    def play(move: chess.Move) -> None:
        nonlocal status, result, note
        san, by = board.san(move), _side(board)
        board.push(move)
        fen = board.fen(en_passant="legal")
        seen[_key(fen)] += 1
        played.append(Move(uci=move.uci(), san=san, by=by, fen=fen))
        status, result, note = _standing(board, seen)

    for number, text in enumerate(moves, 1):
        if result != "*":
            raise ValueError(f"Move {number}, {text!r}, comes after the end of the game. {note}.")
        play(_move(board, number, text))
    if answer and opponent != "nobody" and _side(board) != side and result == "*" and len(played) < MAX_MOVES:
        play(choose(board, opponent))

    king = board.king(board.turn) if board.is_check() else None
    return Game(
        start=first,
        moves=played,
        fen=board.fen(en_passant="legal"),
        turn=_side(board),
        status=status,
        result=result,  # type: ignore[arg-type] # one of the three words or an asterisk
        note=note,
        check=None if king is None else chess.square_name(king),
        legal=[move.uci() for move in board.legal_moves] if result == "*" else [],
        side=side,
        opponent=opponent,
    )


def in_words(game: Game) -> str:
    """A game for somebody who does not see the board."""
    board = chess.Board(game.fen)
    lines = [f"{game.note}."]
    if game.moves:
        lines.append(
            f"Moves: {chess.Board(game.start).variation_san([chess.Move.from_uci(m.uci) for m in game.moves])}"
        )
    lines += [f"FEN: {game.fen}", "", *_diagram(board)]
    if game.legal:
        names = sorted(board.san(chess.Move.from_uci(uci)) for uci in game.legal)
        lines += ["", f"May be played: {', '.join(names)}"]
    return "\n".join(lines)


def _diagram(board: chess.Board) -> list[str]:
    ranks = str(board).splitlines()
    return [f"{8 - n} {rank}" for n, rank in enumerate(ranks)] + ["  a b c d e f g h   (White is in capitals)"]


def _position(start: str | None) -> chess.Board:
    if start is None:
        return chess.Board()
    try:
        board = chess.Board(start)
    except ValueError as error:
        raise ValueError(
            f"{start!r} is not a position in FEN: {error}. The usual start is {chess.STARTING_FEN!r}."
        ) from None
    status = board.status()
    if status != chess.STATUS_VALID:
        why = next((words for flag, words in _IMPOSSIBLE.items() if status & flag), "it can't come about in a game")
        raise ValueError(f"No game can be in the position {start!r}: {why}.")
    return board


def _move(board: chess.Board, number: int, text: str) -> chess.Move:
    squares = re.sub(r"[\s-]", "", text)
    try:
        move = board.parse_uci(squares) if _SQUARES.fullmatch(squares) else board.parse_san(text.strip())
    except ValueError:
        move = chess.Move.null()
    if move in board.legal_moves:
        return move
    names = ", ".join(sorted(board.san(legal) for legal in board.legal_moves))
    who = _side(board).capitalize()
    check = ", who is in check" if board.is_check() else ""
    raise ValueError(f"Move {number}, {text!r}, is not legal for {who}{check}. May be played: {names}.")


def _standing(board: chess.Board, seen: Counter[str]) -> tuple[Status, str, str]:
    who, other = ("White", "Black") if board.turn else ("Black", "White")
    if board.is_checkmate():
        return "checkmate", "1-0" if board.turn == chess.BLACK else "0-1", f"Checkmate: {other} wins"
    if board.is_stalemate():
        return "stalemate", "1/2-1/2", f"Stalemate: {who} has no move, so it is a draw"
    # A claim is not asked for: where one could be made, the game is over.
    if board.is_insufficient_material():
        return "draw", "1/2-1/2", "Draw: neither side can give mate with what is left"
    if seen[_key(board.fen(en_passant="legal"))] >= 3:
        return "draw", "1/2-1/2", "Draw: the position came up three times"
    if board.halfmove_clock >= FIFTY_MOVES:
        return "draw", "1/2-1/2", "Draw: fifty moves without a capture or a pawn's move"
    if board.is_check():
        return "check", "*", f"{who} is in check and has to move"
    return "playing", "*", f"{who} to move"


def _side(board: chess.Board) -> Side:
    return "white" if board.turn else "black"


def _key(fen: str) -> str:
    """What has to be the same for a position to be the same: all but the two clocks."""
    return fen.rsplit(" ", 2)[0]
