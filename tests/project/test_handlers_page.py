"""docs/handlers.md, done step by step: its program runs, its calls are made, its answers come back."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import ClientSession

from handlers import control_frames
from handlers.closing import CloseCode
from handlers.heard import Migration
from handlers.model import HandlerId
from registry.runtime.probe import accepts_connections
from tests.gateway.runtime.gateways import eventually, gateway, token
from tests.project.source import ROOT
from tests.servers import free_ports

PAGE = (ROOT / "docs" / "handlers.md").read_text()
SECOND = {"handler_id": "WSH2", "epoch": 1, "url": "http://127.0.0.1:8002", "capacity": 1000}
CURL = re.compile(
    r"```sh\ncurl -s (?:-X (\w+) )?http://127\.0\.0\.1:8000(\S+)(?: -d '(.*?)')?\n```", re.DOTALL
)
ANSWER = re.compile(r"\s*```json\n(.*?)```", re.DOTALL)
REGISTRY = {"backend": "embedded", "address": "127.0.0.1:0", "register_as": None}


class Call(NamedTuple):
    method: str
    path: str
    body: Any
    answer: Any
    """`None` where the page shows none."""


def calls() -> list[Call]:
    """The page's curl commands in their order, each with the answer that stands below it."""
    found = []
    for shown in CURL.finditer(PAGE):
        method, path, body = shown.groups()
        answer = ANSWER.match(PAGE, shown.end())
        found.append(
            Call(
                method or "POST",
                path,
                json.loads(body) if body else None,
                json.loads(answer.group(1)) if answer else None,
            )
        )
    return found


def shape(value: Any) -> Any:
    """What of an answer is always the same: names, and of what kind the values are."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return "number" if type(value) in (int, float) else type(value).__name__


@asynccontextmanager
async def harbour(**handlers: Any) -> AsyncIterator[tuple[ClientSession, str]]:
    """A gateway, as anybody starts it, and a client session."""
    settings = {"dead_after_s": 30, **handlers}
    async with gateway(registry=REGISTRY, handlers=settings) as running, ClientSession() as session:
        yield session, f"http://127.0.0.1:{running.port}"


def test_every_command_of_the_page_is_read_here() -> None:
    assert len(calls()) == PAGE.count("curl -s")
    assert {call.path for call in calls()} >= {"/handlers/register", "/handlers/report", "/handlers/admit"}


async def test_the_calls_are_answered_as_the_page_says() -> None:
    async with harbour() as (session, base):
        async with session.post(f"{base}/handlers/register", json=SECOND) as answer:
            assert answer.status == 200
        for call in calls():
            async with session.request(call.method, base + call.path, json=call.body) as answer:
                told = await answer.json()
            assert answer.status == 200, (call, told)
            if call.answer is not None:
                assert shape(told) == shape(call.answer), call.path


def test_the_frames_are_the_ones_that_handlers_send() -> None:
    shown = [json.loads(text) for text in re.findall(r"```json\n(\{\"type\".*?)```", PAGE, re.DOTALL)]
    seat = Migration("s", HandlerId("WSH2"), "ws://h:1/ws", "jwt")
    advice = {"first_ms": [0, 8000], "base_ms": 1000, "cap_ms": 30000, "jitter": "full"}
    sent = {
        "welcome": control_frames.welcome(HandlerId("WSH9"), "s"),
        "migrate": control_frames.migrate(seat, 20.0),
        "advice": control_frames.advice(advice),
    }
    assert {frame["type"]: shape(frame) for frame in shown} == {
        kind: shape(json.loads(text)) for kind, text in sent.items()
    }


def test_the_close_codes_are_all_there() -> None:
    table = PAGE.split("| close code |")[1].split("\n\n")[0]
    assert {int(code) for code in re.findall(r"\b(?:4\d\d\d|1\d\d\d)\b", table)} == set(CloseCode)


async def test_the_program_at_the_top_is_a_handler(tmp_path: Path) -> None:
    (text,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (port,) = free_ports(1)
    async with harbour() as (session, base):
        program = text.replace("http://127.0.0.1:8000", base).replace("8001", str(port))
        program = program.replace("capacity=1000", "capacity=1000, consul=None")  # there may be one here
        (tmp_path / "handler.py").write_text(program)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "handler.py",
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:

            async def has_a_seat() -> bool:
                async with session.get(f"{base}/get_websocket_handler", headers=asking) as answer:
                    seat.update(await answer.json())
                    return answer.status == 200

            seat: dict[str, Any] = {}
            asking = {"token": token("ada")}
            await eventually(has_a_seat, 20)
            # It says hello while it starts, which may be a moment before it listens.
            await eventually(partial(accepts_connections, "127.0.0.1", port), 20)
            protocols = ("wst.v1", f"wst.{seat['ticket']}")
            async with session.ws_connect(seat["websocket_url"], protocols=protocols) as socket:
                assert (await socket.receive_json(timeout=5))["handler_id"] == "WSH1"
                await socket.send_str("ahoy")
                told = await socket.receive_str(timeout=5)
                while told.startswith('{"type":"advice"'):  # whenever there is news of the fleet
                    told = await socket.receive_str(timeout=5)
                assert told == "ada: ahoy"
        finally:
            process.kill()
            await process.wait()
