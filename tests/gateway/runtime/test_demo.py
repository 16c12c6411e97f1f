"""The command a newcomer runs first, as that newcomer runs it."""

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import jwt
import pytest

from tests.gateway.runtime.gateways import ask, post_json
from tests.servers import ROOT

ADA = {
    "email": "ada@example.com",
    "username": "ada",
    "password": "correct horse",
    "sex": "female",
    "age": 30,
    "preferred_age": "20-40",
    "preferred_sex": "male",
}


FIRST, LAST, BLOCK = 21000, 31000, 60
"""Below the ports that the system gives to everybody else."""


@pytest.fixture
def port() -> Iterator[int]:
    """A port whose followers are free too, and ours: other runs of these tests keep off.

    What says so is the last of them, which the demo does not use: it is held as long as the test runs.
    """
    claim, port = claimed_block()
    with claim:
        yield port


def claimed_block() -> tuple[socket.socket, int]:
    for port in range(FIRST, LAST, BLOCK):
        try:
            claim = socket.create_server(("127.0.0.1", port + BLOCK - 1))
        except OSError:
            continue
        if all(map(is_free, range(port, port + BLOCK - 1))):
            return claim, port
        claim.close()
    raise AssertionError(f"no {BLOCK} ports in a row are free from {FIRST} to {LAST}")


def is_free(port: int) -> bool:
    """Whether nobody listens there, and nobody's connection ends there either."""
    with socket.socket() as asking:
        try:
            asking.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@asynccontextmanager
async def demo(port: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The demo, once it has welcomed us, and its words."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "demo", "--port", str(port)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    words = ""
    try:
        async with asyncio.timeout(60):
            while "Ctrl-C stops" not in words:
                line = await process.stdout.readline()
                assert line, f"the demo ended: {words}"
                words += line.decode()
        yield process, words
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            await process.stdout.read()
            await process.wait()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def pasted(words: str) -> str:
    """What a shell says to the lines that the demo offers, up to the seat."""
    lines = [line for line in words.splitlines() if line.startswith(("  curl", "  TOKEN="))]
    shell = await asyncio.create_subprocess_exec(
        *("sh", "-c", "\n".join(lines[:3])), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        said, _ = await shell.communicate()
    return said.decode()


async def test_the_demo_is_the_whole_chat_system_and_leaves_nothing_behind(port: int) -> None:
    async with demo(port) as (process, words):
        assert f"http://127.0.0.1:{port}/" in words
        assert (await ask(port, "GET", "/ping")).json() == {"message": "API Gateway работает"}
        page = await ask(port, "GET", "/")
        assert (page.status, page.one("Content-Type")) == (200, "text/html; charset=utf-8")

        assert (await post_json(port, "/register", ADA)).json()["status"] == "success"
        login = (await post_json(port, "/login", {"email": ADA["email"], "password": ADA["password"]})).json()
        assert jwt.decode(login["access_token"], options={"verify_signature": False})["sub"] == login["uid"]
        mine = (f"token: {login['access_token']}", f"uid: {login['uid']}")
        seats = [(await ask(port, "GET", "/get_websocket_handler", *mine)).json() for _ in range(3)]
        assert {seat["handler_id"] for seat in seats} == {"WSH1", "WSH2", "WSH3"}
        asked = await post_json(port, "/matching", {"uid": login["uid"]}, *mine)
        assert (asked.status, asked.json()["status"]) == (200, "waiting")
        peer = await ask(port, "GET", "/get_service_instance?service_name=auth")
        assert peer.json()["instance"]["id"] in ("auth-1", "auth-2")
        if shutil.which("curl"):
            assert '"handler_id":"WSH' in await pasted(words)
        children = [int(pid) for pid in re.findall(r"\((\d+)\)", words)]
        assert len(children) == 8
        assert all(map(is_alive, children))
    assert process.returncode == 0
    assert not any(map(is_alive, children))


async def test_a_port_in_use_is_said_in_one_line_with_the_way_out(port: int) -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", port)
    async with server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "demo", "--port", str(port)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            _, said = await process.communicate()
    assert process.returncode == 1
    assert f"listen.port: 127.0.0.1:{port} is in use" in said.decode()
    assert "--port" in said.decode()
    assert "Traceback" not in said.decode()
