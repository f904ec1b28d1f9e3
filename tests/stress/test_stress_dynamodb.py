"""The definition of a backend, on Amazon's own local DynamoDB, which imitates nothing.

Maven fetches it once, into `.peers/dynamodb-local`.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from pmcp_lab.tasks.backends.conformance import CHECKS, Check
from tests.unit.backend_cases import dynamodb
from tests.unit.storage_servers import free_port

ROOT = Path(__file__).parents[2]
PINS = ROOT / "tests" / "peers" / "dynamodb-local" / "pom.xml"
HERE = ROOT / ".peers" / "dynamodb-local"
SERVER = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The URL of a DynamoDB Local that ends with the tests."""
    for needed in ("java", "mvn"):
        if shutil.which(needed) is None:
            pytest.skip(f"there is no {needed} here, which DynamoDB Local needs")
    jars = HERE / "lib"
    if not jars.exists():
        unfinished = HERE / "fetching"
        shutil.rmtree(unfinished, ignore_errors=True)
        fetch = ["mvn", "--quiet", "--batch-mode", "--file", str(PINS), "dependency:copy-dependencies"]
        fetched = subprocess.run([*fetch, f"-DoutputDirectory={unfinished}"], capture_output=True, text=True)
        if fetched.returncode:
            pytest.skip(f"Maven could not fetch DynamoDB Local: {fetched.stdout[-300:]}")
        unfinished.rename(jars)
    port = free_port()
    command = ["java", f"-Djava.library.path={jars}", "-cp", f"{jars}/*", SERVER, "-inMemory", "-port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
            while True:
                try:
                    httpx2.get(url)
                    break
                except httpx2.TransportError:
                    assert server.poll() is None, "DynamoDB Local has ended"
                    assert time.monotonic() < deadline, "DynamoDB Local did not start"
                    time.sleep(0.1)
            yield url
        finally:
            server.terminate()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_dynamodb_local_is_a_backend(check: Check, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMCP_LAB_DYNAMODB_ENDPOINT", endpoint)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    async with dynamodb() as backend:
        await check(backend)
