"""Tells each test's report whose row of the table it belongs to: see `table.py`."""

from __future__ import annotations

import pytest

from tests.filled import collected
from tests.interop.table import PROPERTY


def pytest_itemcollected(item: pytest.Item) -> None:
    collected(item, PROPERTY)
