"""What is wrong with a program, found before anything of it runs, and which tools it names.

A program can hide what it calls from any reader (`eval`). So what is found here is also what may be called: the name of
another tool stands for nothing while it runs.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pmcp_lab.server.code_mode.errors import ProgramRefused
from pmcp_lab.server.code_mode.functions import BUILTINS, ToolFunction


@dataclass(frozen=True, slots=True)
class Checked:
    """A program that may be tried.

    Args:
        functions: The tools it names, by the name it has for them.
        lines: Where it names each.
        awaits: It awaits, so that calls may run side by side.
    """

    source: str
    functions: Mapping[str, ToolFunction]
    lines: Mapping[str, tuple[int, ...]]
    awaits: bool


def check(source: str, functions: Mapping[str, ToolFunction], most: int) -> Checked:
    """Look at a program.

    Args:
        functions: What it may call, by name.
        most: Bytes it may have.

    Raises:
        ProgramRefused: It can't be run; every reason is named.
    """
    tree = _parsed(source, most)
    # As Python reads it; the sandbox counts only these.
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    bound = set(_bound(tree))
    problems: list[tuple[int, str]] = []
    lines: dict[str, set[int]] = {}
    offered = ", ".join(functions) or "none"
    for name, line in bound:
        if name in functions:
            problems.append((line, f"{name!r} is a tool; give this another name"))
    names = {name for name, _ in bound}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in names:
            if node.id in functions:
                lines.setdefault(node.id, set()).add(node.lineno)
            elif node.id not in BUILTINS:
                problems.append((node.lineno, f"there is no {node.id!r}; the tools a program may call are {offered}"))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            problem = _call_problem(node, functions[node.func.id])
            if problem is not None:
                problems.append((node.lineno, problem))
    if problems:
        raise ProgramRefused(problems)
    awaits = any(isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor) for node in ast.walk(tree))
    return Checked(
        source,
        {name: functions[name] for name in lines},
        {name: tuple(sorted(found)) for name, found in lines.items()},
        awaits,
    )


def _parsed(source: str, most: int) -> ast.Module:
    try:
        size = len(source.encode())
    except UnicodeEncodeError:
        raise ProgramRefused([(0, "it holds half a character, which UTF-8 can't have")]) from None
    if size > most:
        raise ProgramRefused([(0, f"it has {size} bytes, and at most {most} are allowed")])
    if not source.strip():
        raise ProgramRefused([(0, "it is empty")])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError as error:
        raise ProgramRefused([(error.lineno or 0, error.msg)]) from None
    except (RecursionError, MemoryError):
        raise ProgramRefused([(0, "it is nested too deeply")]) from None
    except ValueError as error:
        raise ProgramRefused([(0, str(error))]) from None


def _bound(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name the program gives to something of its own, wherever that is, and the line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    yield alias.asname or alias.name.partition(".")[0], node.lineno
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, node.lineno
            case ast.MatchMapping(rest=str(name)):
                yield name, node.lineno


def _call_problem(call: ast.Call, function: ToolFunction) -> str | None:
    if call.args:
        wanted = ", ".join(f"{name}=…" for name in function.types)
        return f"{function.name} takes its arguments by name: {function.name}({wanted})"
    given = [each.arg for each in call.keywords if each.arg is not None]
    return function.problem(given, complete=len(given) == len(call.keywords))
