"""`python -m tests.mutation client/tasks -n 20 --seed 1`: which small faults of a room do its tests not notice?

Works in a copy of the checkout, so nothing here is changed, whatever becomes of the run. The faults are cosmic-ray's.
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

import parso  # noqa: F401 - before cosmic-ray's operators, which import it in a circle
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# They take three times as long to load as what the tests of these rooms need.
PLUGINS = ("playwright", "base_url", "xdist", "rerunfailures", "nbval", "cacheprovider")
PATIENCE = 2.5
"""So many times the time without a fault, then the tests hang."""


@dataclass(frozen=True)
class Mutant:
    """One fault: what an operator makes of the n-th place where it can do something."""

    file: str
    line: int
    operator: str
    occurrence: int
    code: str


class _Bare(ast.NodeTransformer):
    """Without annotations, and without how a class is made (`frozen`, `slots`): nobody can see those."""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list, node.keywords = [], []
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return ast.AnnAssign(self.visit(node.target), ast.Constant(None), node.value, node.simple)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)


def meaning(code: str) -> str:
    return ast.dump(_Bare().visit(ast.parse(code)))


def operators() -> Iterator[tuple[str, Operator]]:
    for name in sorted(operator_names()):
        kind = get_operator(name)
        if not kind.arguments() and not name.endswith("/NoOp"):
            yield name, kind()


def mutants(files: list[str], chance: random.Random) -> Iterator[Mutant]:
    """In random order, each place of the code once: some places have a dozen faults, and others one."""
    places: dict[tuple[str, tuple[int, int]], list[tuple[str, Operator, int]]] = {}
    sources = {file: (ROOT / file).read_text(encoding="utf-8") for file in files}
    for file, source in sources.items():
        tree = get_ast(source)
        for name, operator in operators():
            found = (start for node in ast_nodes(tree) for start, _ in operator.mutation_positions(node))
            for occurrence, start in enumerate(found):
                places.setdefault((file, start), []).append((name, operator, occurrence))
    order = sorted(places)
    chance.shuffle(order)
    for file, start in order:
        name, operator, occurrence = chance.choice(places[file, start])
        code = mutate_code(sources[file], operator, occurrence)
        # What the compiler warns of would be noticed by every test, for warnings are errors.
        with suppress(SyntaxError), warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)
            if code is not None and meaning(code) != meaning(sources[file]):
                compile(code, file, "exec")
                yield Mutant(file, start[0], name, occurrence, code)


def copied(to: Path) -> None:
    """What git knows of, as it is here, and what was built."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in [*names, *(str(each.relative_to(ROOT)) for each in (ROOT / "pmcp_lab/static").glob("*"))]:
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def tested(where: Path, tests: list[str], limit: float | None, *, keep: bool) -> tuple[str, str]:
    """How the tests went, and the first that failed."""
    env = {**os.environ, "PYTHONPATH": str(where)} | ({} if keep else {"PYTHONDONTWRITEBYTECODE": "1"})
    without = [word for name in PLUGINS for word in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--hypothesis-profile=ci", *without, *tests]
    with tempfile.TemporaryFile("w+") as said:
        run = subprocess.Popen(command, cwd=where, env=env, stdout=said, stderr=said, start_new_session=True)
        try:
            run.wait(limit)
        except subprocess.TimeoutExpired:
            return "hung", ""
        finally:
            # Also what the tests started, and could not end.
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
            run.wait()
        said.seek(0)
        text = said.read()
    if run.returncode == 0:
        return "survived", ""
    failed = [line for line in text.splitlines() if line.startswith(("FAILED tests", "ERROR tests"))]
    return "killed", failed[0].split(" - ")[0] if failed else text[-2000:]


def main() -> int:
    rooms = tomllib.loads((HERE / "rooms.toml").read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("room", choices=list(rooms))
    parser.add_argument("-n", type=int, default=20, help="how many faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file", help="only files like this: 'poller.py'")
    parser.add_argument("--skip", type=int, default=0, help="leave out the first so many, which another run had")
    parser.add_argument("--minutes", type=float, help="begin no fault after so long")
    given = parser.parse_args()
    room = rooms[given.room]
    files = sorted(str(each.relative_to(ROOT)) for pattern in room["code"] for each in ROOT.glob(pattern))
    files = [each for each in files if given.file is None or fnmatch.fnmatch(Path(each).name, given.file)]
    tests = [*room["tests"], *room.get("options", ())]
    ends = time.monotonic() + 60 * given.minutes if given.minutes else float("inf")
    counts: dict[str, int] = {"killed": 0, "hung": 0, "survived": 0}
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        where = Path(folder)
        copied(where)
        began = time.monotonic()
        how, failed = tested(where, tests, None, keep=True)
        limit = max(30.0, PATIENCE * (time.monotonic() - began))
        if how != "survived":
            print(f"{given.room}: the tests fail without any fault: {failed}")
            return 1
        print(f"{given.room}: {limit / PATIENCE:.0f} s without a fault", flush=True)
        chosen = mutants(files, random.Random(given.seed))
        for number, mutant in enumerate(chosen):
            if number < given.skip:
                continue
            if number >= given.skip + given.n or time.monotonic() > ends:
                break
            target = where / mutant.file
            before = target.read_text(encoding="utf-8")
            target.write_text(mutant.code, encoding="utf-8")
            how, failed = tested(where, tests, limit, keep=False)
            target.write_text(before, encoding="utf-8")
            counts[how] += 1
            print(f"\n{how:9}{number}: {mutant.file}:{mutant.line} {mutant.operator} {failed}")
            if how != "killed":
                lines = unified_diff(before.splitlines(), mutant.code.splitlines(), lineterm="", n=2)
                print("\n".join(list(lines)[2:]))
            sys.stdout.flush()
    print(f"\n{given.room}, seed {given.seed}: " + ", ".join(f"{count} {how}" for how, count in counts.items()))
    return 0


if __name__ == "__main__":
    # However it is ended, the copy is removed and the tests with it. Jobs in the background ignore Ctrl-C otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
