"""The chess app's server: the rules, the opponent, and what it says to whom."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import chess
import pytest
from mcp import Client

from pmcp_lab.demo.chess import build


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(build()) as client:
        yield client


async def game(client: Client, tool: str = "chess", **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content[0].text
    return result.structured_content


async def refused(client: Client, tool: str = "chess", **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return result.content[0].text


async def test_a_game_is_told_in_words(client: Client) -> None:
    result = await client.call_tool("chess", {"moves": ["e4", "e7e5", "g1-f3"]})
    text = result.content[0].text
    assert text.startswith("Black to move.\nMoves: 1. e4 e5 2. Nf3\n")
    assert "\n5 . . . . p . . .\n" in text
    assert "May be played: " in text
    assert "Nc6" in text
    assert [move["uci"] for move in result.structured_content["moves"]] == ["e2e4", "e7e5", "g1f3"]


async def test_moving_is_for_the_app_alone(client: Client) -> None:
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert tools["chess"].meta["ui"] == {"resourceUri": "ui://demo/chess"}
    assert tools["chess_play"].meta["ui"]["visibility"] == ["app"]
    for tool in tools.values():
        assert {"legal", "status", "note"} <= tool.output_schema["properties"].keys()
        assert tool.annotations.read_only_hint


@pytest.mark.parametrize(
    ("moves", "said"),
    [
        (["e5"], "Move 1, 'e5', is not legal for White."),
        (["e2e5"], "'e2e5', is not legal"),
        (["e4", "e5", "Ke2", "Ke7", "Ke4"], "Move 5, 'Ke4', is not legal for White."),
        (["e4", "f6", "Qh5", "a6"], "Move 4, 'a6', is not legal for Black, who is in check. May be played: g6."),
        (["O-O"], "not legal"),
        (["--"], "not legal"),
        (["0000"], "not legal"),
        (["e7e8k"], "not legal"),
        (["f3", "e5", "g4", "Qh4#", "a3"], "comes after the end of the game. Checkmate: Black wins."),
    ],
)
async def test_illegal_moves(client: Client, moves: list[str], said: str) -> None:
    assert said in await refused(client, moves=moves)
    assert said in await refused(client, "chess_play", moves=moves[:-1], move=moves[-1])


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("nonsense", "not a position in FEN"),
        ("8/8/8/8/8/8/8/8 w - - 0 1", "the board is empty"),
        ("8/8/8/8/8/8/8/K7 w - - 0 1", "Black has no king"),
        ("4k2P/8/8/8/8/8/8/4K3 w - - 0 1", "a pawn on the first or last rank"),
        ("4k3/8/8/8/8/8/8/4R1K1 w - - 0 1", "the side that just moved is in check"),
        ("x" * 101, "at most 100 characters"),
    ],
)
async def test_impossible_positions(client: Client, start: str, said: str) -> None:
    assert said in await refused(client, start=start)


async def test_castling_moves_the_rook_and_is_lost_with_the_king(client: Client) -> None:
    start = "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1"
    castled = await game(client, start=start, moves=["O-O-O"])
    assert castled["moves"][0]["uci"] == "e1c1"
    assert castled["fen"].startswith("r3k2r/8/8/8/8/8/8/2KR3R b kq")
    assert "e1g1" not in (await game(client, start=start, moves=["Ke2", "a8b8", "Ke1", "b8a8"]))["legal"]


async def test_en_passant_takes_the_pawn_beside(client: Client) -> None:
    before = await game(client, moves=["e4", "a6", "e5", "d5"])
    assert "e5d6" in before["legal"]
    assert (await game(client, moves=["e4", "a6", "e5", "d5", "exd6"]))["fen"].split()[0].split("/")[3] == "8"
    assert "e5d6" not in (await game(client, moves=["e4", "a6", "e5", "d5", "a3", "a5"]))["legal"]


async def test_a_pawn_becomes_what_is_chosen(client: Client) -> None:
    start = "8/P6k/8/8/8/8/8/K7 w - - 0 1"
    legal = (await game(client, start=start))["legal"]
    assert sorted(uci for uci in legal if uci.startswith("a7")) == ["a7a8b", "a7a8n", "a7a8q", "a7a8r"]
    assert (await game(client, start=start, moves=["a8=N"]))["fen"].startswith("N7/")
    assert "not legal" in await refused(client, start=start, moves=["a7a8"])


@pytest.mark.parametrize(
    ("start", "moves", "status", "note"),
    [
        (None, ["f3", "e5", "g4", "Qh4"], "checkmate", "Checkmate: Black wins"),
        ("7k/5Q2/8/8/8/8/8/K7 w - - 0 1", ["Kb1"], "stalemate", "Stalemate: Black has no move, so it is a draw"),
        ("7k/8/8/8/8/8/6p1/K5N1 w - - 0 1", ["Nf3", "g1=N", "Nxg1"], "draw", "Draw: neither side can give mate"),
        (None, ["Nf3", "Nf6", "Ng1", "Ng8"] * 2, "draw", "Draw: the position came up three times"),
        ("7k/8/8/8/8/8/R7/K7 w - - 99 80", ["Ra3"], "draw", "Draw: fifty moves"),
        (None, ["e4", "f6", "Qh5"], "check", "Black is in check and has to move"),
    ],
)
async def test_how_it_stands(client: Client, start: str | None, moves: list[str], status: str, note: str) -> None:
    found = await game(client, start=start, moves=moves)
    assert found["status"] == status
    assert found["note"].startswith(note)
    assert (found["legal"] == []) == (status != "check") == (found["result"] != "*")
    assert found["check"] == ("e8" if status == "check" else found["check"])


@pytest.mark.parametrize("opponent", ["easy", "medium", "hard"])
async def test_the_opponent_answers_legally_and_the_same_each_time(client: Client, opponent: str) -> None:
    first = await game(client, "chess_play", move="e4", opponent=opponent)
    assert [move["by"] for move in first["moves"]] == ["white", "black"]
    board = chess.Board()
    for move in first["moves"]:
        board.push_uci(move["uci"])
    assert board.fen(en_passant="legal") == first["fen"]
    assert await game(client, "chess_play", move="e4", opponent=opponent) == first


async def test_the_opponent_sees_a_mate_and_a_queen_that_hangs(client: Client) -> None:
    for opponent in ("medium", "hard"):
        start = "k7/8/8/8/8/1q6/7q/K7 b - - 0 1"
        mate = await game(client, "chess_play", start=start, opponent=opponent)
        assert mate["status"] == "checkmate"
        hangs = await game(client, "chess_play", moves=["e4", "e5", "Qh5", "Nf6"], move="Qh6", opponent=opponent)
        assert hangs["moves"][-1]["uci"] == "g7h6"


async def test_the_opponent_begins_when_it_is_white(client: Client) -> None:
    assert len((await game(client, "chess_play", side="black"))["moves"]) == 1
    assert (await game(client, "chess_play", side="white"))["moves"] == []
    assert (await game(client, "chess_play", side="black", opponent="nobody"))["moves"] == []


async def test_no_game_is_too_long_for_it(client: Client) -> None:
    assert "600" in await refused(client, moves=["Nf3"] * 601)
    assert "at most 10 characters" in await refused(client, moves=["e" * 11])


async def test_without_the_rules_it_says_how_to_get_them(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    # As where the package was never installed; what was imported already is forgotten.
    monkeypatch.setitem(sys.modules, "chess", None)
    monkeypatch.delitem(sys.modules, "pmcp_lab.demo.chess.rules", raising=False)
    monkeypatch.delitem(sys.modules, "pmcp_lab.demo.chess.opponent", raising=False)
    monkeypatch.delattr("pmcp_lab.demo.chess.rules", raising=False)
    assert "pip install 'pmcp_lab[demo]'" in await refused(client)
