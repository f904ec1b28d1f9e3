"""Which URL opens what, and what is said when one opens nothing."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from pmcp_lab.errors import MissingExtra, StoreError
from pmcp_lab.tasks import Limits, open_store, store_url
from pmcp_lab.tasks.backends.memory import MemoryBackend


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("memory://name", "has no name"),
        ("postgres://x", "no store for postgres://"),
        ("tasks.db", "not a store URL"),
        ("sqlite://tasks.db", "sqlite:///tasks.db"),
        ("sqlite:///", "needs a file"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///a.db?mode=ro", "takes no options"),
        ("sqlite:////nowhere/at/all.db", "/nowhere/at/all.db"),
    ],
)
def test_urls_that_open_nothing(url: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        open_store(url)


async def test_sqlite_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url, path in (("sqlite:///here.db", "here.db"), (f"sqlite:///{tmp_path}/a%20b.db", "a b.db")):
        store = open_store(url, Limits(tasks_per_owner=1))
        assert store.limits.tasks_per_owner == 1
        assert (tmp_path / path).is_file()
        await store.close()


def test_a_missing_extra_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needs_an_extra.py").write_text("import pmcp_lab_missing")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(store_url.SCHEMES, "x", store_url._Scheme("needs_an_extra", "extra-x"))
    with pytest.raises(MissingExtra, match=r"pmcp_lab\[extra-x\]"):
        open_store("x://")
    monkeypatch.setitem(store_url.SCHEMES, "y", store_url._Scheme("needs_to_be_written"))
    with pytest.raises(StoreError, match="not available in this version"):
        open_store("y://")


def test_others_can_add_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("mine", "tests.unit.tasks.test_open_store:made", store_url.ENTRY_POINTS)

    def points(*, group: str, name: str) -> list[importlib.metadata.EntryPoint]:
        assert (group, name) == (store_url.ENTRY_POINTS, "mine")
        return [point]

    monkeypatch.setattr(store_url, "entry_points", points)
    monkeypatch.setitem(sys.modules, "tests.unit.tasks.test_open_store", sys.modules[__name__])
    assert isinstance(open_store("mine://somewhere").backend, MemoryBackend)


def made(url: str) -> MemoryBackend:
    assert url == "mine://somewhere"
    return MemoryBackend()
