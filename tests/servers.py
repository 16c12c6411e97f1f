"""Real servers for tests: each started on free loopback ports, stopped by its own process id.

On a user's machine a missing program is a skip that says how to get it; under `CI=true` it is a failure.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parent.parent


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def find_program(name: str, how: str = "run `make servers`, or put it on PATH") -> str:
    """The path of a program, from `.servers/bin` or PATH; else the test is skipped or failed.

    `how` tells how to get it.
    """
    unpacked = ROOT / ".servers" / "bin" / name
    found = str(unpacked) if unpacked.exists() else shutil.which(name)
    return found or _miss(f"no {name}: {how}")


def find_modules(folder: str) -> Path:
    """The `node_modules` of an example in Node.js, as `make servers` puts them; else the test is skipped
    or failed."""
    modules = ROOT / ".servers" / folder / "node_modules"
    return modules if modules.is_dir() else _miss(f"no packages of {folder}: run `make servers`, with npm")


def _miss(message: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", timeout_s: float = 15.0) -> None:
    """Returns once somebody accepts connections; raises `RuntimeError` if the process died instead."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not listen on {port}")


class ConsulAgent:
    """One `consul agent -dev`, which forgets everything when it stops.

    `stop`, `start`, `pause` and `resume` are the faults tests need; the ports stay the same.
    """

    def __init__(self) -> None:
        self.program = find_program("consul")
        self.port, self._server, self._serf_lan, self._serf_wan = free_ports(4)
        self.address = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the agent and returns once it has a leader, which takes one to four seconds."""
        self._process = subprocess.Popen(
            [
                self.program, "agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-log-level=err",
                f"-http-port={self.port}", f"-server-port={self._server}",
                f"-serf-lan-port={self._serf_lan}", f"-serf-wan-port={self._serf_wan}",
                "-dns-port=-1", "-grpc-port=-1",
                '-hcl=leave_on_terminate=false performance { raft_multiplier = 1 }',
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for_port(self.port, self._process)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self._ask("GET", "/v1/catalog/nodes") not in ("", "[]", "null"):
                return
            time.sleep(0.05)
        raise RuntimeError("consul has no leader after 20 s")

    def _ask(self, method: str, path: str) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
            s.sendall(f"{method} {path} HTTP/1.0\r\nHost: consul\r\n\r\n".encode())
            answer = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        head, _, body = answer.partition("\r\n\r\n")
        return body.strip() if " 200 " in head.split("\r\n")[0] else ""

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None

    def pause(self) -> None:
        """The agent keeps its connections and says nothing more: a half-open long poll."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def consul_agent() -> Iterator[ConsulAgent]:
    """A real Consul agent of one's own, for tests that stop or pause it."""
    agent = ConsulAgent()
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


class RedisServer:
    """One `redis-server`, which forgets everything when it stops; the port stays the same."""

    def __init__(self, folder: str) -> None:
        self.program = find_program("redis-server")
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                self.program, "--port", str(self.port), "--bind", "127.0.0.1",
                "--save", "", "--appendonly", "no", "--dir", self._folder,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for_port(self.port, self._process)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def pause(self) -> None:
        """It keeps its connections, and takes new ones, and says nothing more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def own_redis() -> Iterator[RedisServer]:
    """A real Redis of one's own, for tests that stop or pause it."""
    with tempfile.TemporaryDirectory(prefix="quaymaster-redis-") as folder:
        server = RedisServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def redis_server() -> Iterator[str]:
    """A real Redis; yields its URL."""
    with own_redis() as server:
        yield server.url


def forget_all(url: str) -> None:
    """Empties a Redis, as a restart without a file does."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as s:
        s.sendall(b"FLUSHALL\r\n")
        assert s.recv(100) == b"+OK\r\n"


def patient(url: str) -> str:
    """The same Redis for a client that gives a busy test machine time to answer."""
    return f"{url}?socket_timeout=10&socket_connect_timeout=10"


def hasty(url: str) -> str:
    """The same Redis for a client that soon gives up on one that hangs, and not on a busy test machine."""
    return f"{url}?socket_timeout=0.5&socket_connect_timeout=0.5"
