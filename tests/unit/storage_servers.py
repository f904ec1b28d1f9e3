"""Servers that backends need, each started when first asked for and stopped with the test run."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """A redis-server with a folder of its own on a free port of the loopback interface."""

    def __init__(self, *options: str) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("no redis-server on PATH: install Redis or Valkey")
        self.program = program
        self.options = options
        self.folder = tempfile.mkdtemp(prefix="pmcp-lab-redis-")
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        atexit.register(self.close)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        """Also again after `stop`, then with further options."""
        self.process = subprocess.Popen(
            [
                *(self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder),
                *("--save", "", "--appendonly", "yes", "--appendfsync", "always", *self.options, *options),
            ],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(64).startswith(b"+PONG"):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        self.stop()
        raise RuntimeError("redis-server did not start")

    def command(self, *words: object) -> bytes:
        """One command, and the start of its answer."""
        with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(" ".join(map(str, words)).encode() + b"\r\n")
            return connection.recv(4096)

    def pause(self) -> None:
        """Keep it from doing anything. What is sent to it waits."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class RedisClusterServers:
    """Three redis-servers that share the slots of one cluster, without replicas."""

    def __init__(self) -> None:
        options = ("--appendonly", "no", "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        buses = [free_port() for _ in range(3)]
        self.nodes = [RedisServer(*options, "--cluster-port", str(bus)) for bus in buses]
        first, share = self.nodes[0], 16_384 // 3
        for n, node in enumerate(self.nodes):
            last = 16_383 if n == 2 else (n + 1) * share - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", n * share, last)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        for node, bus in zip(self.nodes[1:], buses[1:], strict=True):
            first.command("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        deadline = time.monotonic() + 15
        while not all(self._whole(node) for node in self.nodes):
            if time.monotonic() > deadline:
                raise RuntimeError("the Redis cluster did not get ready")
            time.sleep(0.05)

    @staticmethod
    def _whole(node: RedisServer) -> bool:
        said = node.command("CLUSTER", "INFO")
        return b"cluster_state:ok" in said and b"cluster_known_nodes:3" in said

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.nodes[1].port}"


@functools.cache
def shared_redis() -> RedisServer:
    return RedisServer("--appendonly", "no")


@functools.cache
def shared_redis_cluster() -> RedisClusterServers:
    return RedisClusterServers()


@functools.cache
def dynamodb_endpoint() -> str:
    """`PMCP_LAB_DYNAMODB_ENDPOINT`, or moto's server."""
    return os.environ.get("PMCP_LAB_DYNAMODB_ENDPOINT") or moto_endpoint()


@functools.cache
def moto_endpoint() -> str:
    return start_moto()


def start_moto(seen: Callable[[str], None] = lambda _: None) -> str:
    """URL of moto's server over HTTP on the loopback interface, which ends with the test run.

    Args:
        seen: Is told what each request asks for, "DynamoDB_20120810.GetItem".
    """
    if not Path("~/.aws").expanduser().exists():
        os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
        os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
    pytest.importorskip("moto.server", reason="moto's server is not installed: pip install 'moto[server]'")
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def one_at_a_time(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen(environ.get("HTTP_X_AMZ_TARGET", ""))
        # DynamoDB's transactions are isolated; moto's undo what other requests did in the meantime.
        with lock:
            return list(app(environ, start_response))

    server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    atexit.register(server.shutdown)
    return f"http://127.0.0.1:{server.server_port}"
