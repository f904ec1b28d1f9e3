"""Tells each test's report whose row of the table it belongs to: see `table.py`."""

from __future__ import annotations

import pytest

from tests.interop.table import PROPERTY


def pytest_itemcollected(item: pytest.Item) -> None:
    for mark in item.iter_markers(PROPERTY):
        item.user_properties.append((PROPERTY, list(mark.args)))
