"""With real child processes: what is started here is gone afterwards, whatever it does meanwhile."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from gateway.runtime import processes
from gateway.runtime.processes import Processes
from tests.servers import free_ports

SERVES = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
IGNORES_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + SERVES


@dataclass(frozen=True)
class Program:
    argv: tuple[str, ...]
    name: str = "program"
    env: Mapping[str, str] = field(default_factory=dict)
    health_url: str = "http://127.0.0.1:9/health"


def python(text: str, *arguments: str, **facts: str) -> Program:
    return Program((sys.executable, "-c", text, *arguments), **facts)  # type: ignore[arg-type]  # only texts


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_child_is_healthy_once_it_answers_and_gone_at_the_end() -> None:
    (port,) = free_ports(1)
    async with Processes() as running:
        child = await running.start(python(SERVES, str(port), health_url=f"http://127.0.0.1:{port}/health"))
        assert await running.healthy(child)
        assert child.running
    assert not is_alive(child.process.pid)


async def test_a_child_that_dies_is_not_healthy_and_nobody_waits_for_it() -> None:
    async with Processes() as running:
        child = await running.start(python("raise SystemExit(3)"))
        assert not await running.healthy(child, timeout_s=30)
        assert child.process.returncode == 3


async def test_a_child_that_ignores_the_signal_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_S", 0.2)
    (port,) = free_ports(1)
    async with Processes() as running:
        deaf = python(IGNORES_SIGTERM, str(port), health_url=f"http://127.0.0.1:{port}/")
        child = await running.start(deaf)
        assert await running.healthy(child)
    assert child.process.returncode == -signal.SIGKILL


async def test_a_child_gets_its_own_environment_over_the_common_one() -> None:
    says = "import os, sys; sys.exit(int(os.environ['ONE'] + os.environ['TWO']))"
    program = Program((sys.executable, "-c", says), env={"TWO": "2"})
    async with Processes({**os.environ, "ONE": "4", "TWO": "9"}) as running:
        child = await running.start(program)
        async with asyncio.timeout(20):
            assert await child.process.wait() == 42
