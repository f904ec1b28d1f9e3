"""Every backend passes the conformance suite."""

from __future__ import annotations

import pytest

from pmcp_lab.tasks.backends.conformance import CHECKS, Check
from tests.unit.backend_cases import CASES, BackendCase


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(case: BackendCase, check: Check) -> None:
    async with case.make() as backend:
        await check(backend)
