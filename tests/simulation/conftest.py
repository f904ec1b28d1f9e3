from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.loop import frozen_heap

SEEDS = 150
"""What `make test` runs; `make stress` has more."""

_TOGETHER = 25


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="the one seed to simulate")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seeds" in metafunc.fixturenames:
        one = metafunc.config.getoption("seed", None)
        seeds = [range(first, first + _TOGETHER) for first in range(0, SEEDS, _TOGETHER)]
        chosen = seeds if one is None else [range(one, one + 1)]
        metafunc.parametrize("seeds", chosen, ids=lambda seeds: f"{seeds.start}-{seeds.stop}")


@pytest.fixture(scope="module", autouse=True)
def quick_collections() -> Iterator[None]:
    with frozen_heap():
        yield
