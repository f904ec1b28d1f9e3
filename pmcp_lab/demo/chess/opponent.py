"""Who plays against you: a small search. Needs the package `chess`.

It counts material and where pieces stand, looks a few half-moves ahead (negamax with alpha-beta) and follows
captures to their end, so that it doesn't leave things hanging. What it plays depends on the position alone.
"""

from __future__ import annotations

import random

import chess

from .wire import Opponent

DEPTH: dict[Opponent, int] = {"easy": 1, "medium": 2, "hard": 3}
"""Half-moves each looks ahead."""

NOISE: dict[Opponent, int] = {"easy": 120, "medium": 25, "hard": 6}
"""How far it is mistaken about each move, in hundredths of a pawn."""

MAX_NODES = 6000
"""Positions looked at for one move at most: a second or two on a slow machine, far less as a rule."""

MATE = 100_000

VALUES = {
    chess.PAWN: 100,
    chess.KNIGHT: 320,
    chess.BISHOP: 330,
    chess.ROOK: 500,
    chess.QUEEN: 900,
    chess.KING: 0,
}


def _worth(piece: chess.PieceType, square: chess.Square) -> int:
    """A white piece on a square."""
    file, rank = chess.square_file(square), chess.square_rank(square)
    middle = 7 - (abs(2 * file - 7) + abs(2 * rank - 7)) // 2
    place = {
        chess.PAWN: 6 * rank + (8 * rank if file in (3, 4) and rank < 5 else 0),
        chess.KNIGHT: 7 * middle,
        chess.BISHOP: 4 * middle,
        chess.ROOK: (20 if rank == 6 else 0) + (8 if file in (3, 4) else 0),
        chess.QUEEN: 2 * middle,
        # In a corner behind its pawns.
        chess.KING: -8 * middle - 12 * rank,
    }
    return VALUES[piece] + place[piece]


_WHITE = {(piece, square): _worth(piece, square) for piece in VALUES for square in chess.SQUARES}


class _Spent(Exception):
    """All positions it may look at were looked at."""


def choose(board: chess.Board, opponent: Opponent) -> chess.Move:
    """The move to play.

    Args:
        board: A position in which a move can be made; it is left as it is.
        opponent: How strong; `nobody` does not play.
    """
    search = _Search(board.copy(stack=False))
    slip = random.Random(board.fen())  # noqa: S311 - the same position twice is played the same
    moves = sorted(board.legal_moves, key=search.promise, reverse=True)
    errors = {move: slip.randint(0, NOISE[opponent]) for move in moves}
    best = moves[0]
    for depth in range(1, DEPTH[opponent] + 1):
        try:
            scores = {move: search.after(move, depth - 1) + errors[move] for move in moves}
        except _Spent:
            break
        moves.sort(key=lambda move: scores[move], reverse=True)
        best = moves[0]
    return best


class _Search:
    def __init__(self, board: chess.Board) -> None:
        self.board = board
        self.left = MAX_NODES

    def after(self, move: chess.Move, depth: int) -> int:
        """What a move is worth to who plays it."""
        self.board.push(move)
        try:
            return -self._best(depth, -MATE * 2, MATE * 2)
        finally:
            self.board.pop()

    def promise(self, move: chess.Move) -> int:
        """Takes of much by little first: the sooner a good move is seen, the more others can be left out."""
        taken = self.board.piece_type_at(move.to_square)
        gain = 10 * VALUES[taken] if taken else 0
        return gain - VALUES[self.board.piece_type_at(move.from_square) or chess.KING] + VALUES[move.promotion or 6]

    def _best(self, depth: int, low: int, high: int) -> int:
        self.left -= 1
        if self.left < 0:
            raise _Spent
        check = self.board.is_check()
        if not any(self.board.generate_legal_moves()):
            # A mate that comes sooner is better.
            return -MATE - depth if check else 0
        if depth <= 0 and not check:
            low = max(low, self._standing())
            if low >= high:
                return low
            moves = list(self.board.generate_legal_captures())
        else:
            moves = list(self.board.legal_moves)
        for move in sorted(moves, key=self.promise, reverse=True):
            self.board.push(move)
            try:
                low = max(low, -self._best(depth - 1, -high, -low))
            finally:
                self.board.pop()
            if low >= high:
                break
        return low

    def _standing(self) -> int:
        score = 0
        for square, piece in self.board.piece_map().items():
            if piece.color:
                score += _WHITE[piece.piece_type, square]
            else:
                score -= _WHITE[piece.piece_type, chess.square_mirror(square)]
        return score if self.board.turn else -score
