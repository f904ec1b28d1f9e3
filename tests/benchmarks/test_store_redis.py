"""The benchmarks of stores, on Redis. (DynamoDB costs what the service costs; moto, its stand-in, scans everything.)"""

from __future__ import annotations

import uuid

import pytest

from tests.benchmarks.test_store import (  # noqa: F401
    test_a_page_costs_a_page,
    test_cost_does_not_grow_with_the_store,
)
from tests.unit.storage_servers import shared_redis


@pytest.fixture
def urls() -> tuple[str, str]:
    url = shared_redis().url
    return f"{url}?prefix={uuid.uuid4()}", f"{url}?prefix={uuid.uuid4()}"
