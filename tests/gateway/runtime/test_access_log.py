import asyncio
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import orjson
import pytest

from gateway.identity import User
from gateway.runtime.access_log import MAX_WAITING, AccessLog
from gateway.runtime.exchange import Exchange
from gateway.settings_telemetry import LoggingSettings
from gateway.target import Target
from gateway.trace_context import TraceContext, TraceHeaders
from tests.gateway.runtime.gateways import exchange_for, unsent_request

CANARY = "a-token-nobody-may-log"
FORMATS = {True: LoggingSettings(format="json"), False: LoggingSettings(format="console")}


def exchange(path: str = "/matching") -> Exchange:
    request = unsent_request("GET", f"/matching?token={CANARY}", token=CANARY)
    return exchange_for(
        request,
        target=Target(path, f"?token={CANARY}", "chat.example"),
        route="/matching",
        user=User("ada", "free", 0.0),
        service="matching",
        instance="matching-1",
        attempts=2,
    )


async def lines_of(*written: tuple[Exchange, int, float], **settings: Any) -> list[dict[str, Any]]:
    """What stands in the log after these requests."""
    stream = io.BytesIO()
    log = AccessLog(stream, LoggingSettings(**settings))
    for one, status, seconds in written:
        log.write(one, status, seconds)
    log.flush()
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


async def test_a_line_of_json_says_what_was_asked_who_served_it_and_how_it_went() -> None:
    (line,) = await lines_of((exchange(), 200, 0.01234))
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "service": "matching",
        "event": "request",
        "request_id": "request-1",
        "method": "GET",
        "url": "/matching",
        "path": "/matching",
        "route": "/matching",
        "status": 200,
        "status_code": 200,
        "reason": None,
        "duration_ms": 12.34,
        "ip": "127.0.0.1",
        "client": "127.0.0.1",
        "user_id": "ada",
        "user": "ada",
        "tier": "free",
        "instance": "matching-1",
        "attempts": 2,
        "version": None,
        "cache": None,
        "bytes_in": 0,
        "bytes_out": 0,
    }


async def test_what_a_line_has_only_where_there_is_something() -> None:
    traced = replace(exchange(), version="v2", cache="hit", decision=17)
    traced.head.trace = TraceHeaders(TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad", 1), frozenset())
    traced.request.bytes_in, traced.request.bytes_out = 3, 5
    (line,) = await lines_of((traced, 200, 0.0))
    assert (line["version"], line["cache"], line["decision"]) == ("v2", "hit", 17)
    assert (line["bytes_in"], line["bytes_out"]) == (3, 5)
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


async def test_what_no_service_was_called_for_is_the_gateways() -> None:
    (line,) = await lines_of((replace(exchange(), service=None), 200, 0.0), service="devmatch-gateway")
    assert line["service"] == "devmatch-gateway"


FINE, BROKEN, SLOW = (exchange(), 200, 0.01), (exchange(), 503, 0.01), (exchange(), 200, 1.0)
CUT, REFUSED = (
    (replace(exchange(), reason="body_reset"), 200, 0.01),
    (replace(exchange(), reason="x"), 404, 0.01),
)


@pytest.mark.parametrize(
    ("settings", "levels"),
    [
        ({}, ["info", "warning", "warning"]),
        ({"level": "debug"}, ["info", "warning", "warning"]),
        ({"sample": 0}, ["warning", "warning"]),
        ({"slow_s": 1.5}, ["info", "warning", "info"]),
        ({"level": "warning"}, ["warning", "warning"]),
        ({"level": "error"}, []),
        ({"access": False}, []),
    ],
)
async def test_slow_requests_and_broken_ones_are_warnings_and_always_there(
    settings: dict[str, Any], levels: list[str]
) -> None:
    assert [line["level"] for line in await lines_of(FINE, BROKEN, SLOW, **settings)] == levels


async def test_an_answer_that_was_cut_short_is_a_warning_whatever_its_status() -> None:
    assert [line["reason"] for line in await lines_of(FINE, CUT, REFUSED, level="warning")] == ["body_reset"]


async def test_of_the_others_a_share_has_a_line() -> None:
    assert len(await lines_of(*[FINE] * 100, sample=0.25)) == 25


async def test_a_tunnel_is_not_slow() -> None:
    idle = replace(exchange(), reason="tunnel_idle")
    lines = await lines_of((exchange(), 101, 3600.0), (idle, 101, 3600.0))
    assert [line["level"] for line in lines] == ["info", "info"]


async def test_other_settings_hold_from_the_next_request_on() -> None:
    stream = io.BytesIO()
    log = AccessLog(stream)
    for level in ("info", "warning", "info"):
        log.follow(LoggingSettings(level=level))
        log.write(*FINE)
    log.flush()
    assert len(stream.getvalue().splitlines()) == 2


async def test_the_line_of_a_seat_names_its_decision() -> None:
    """Else nobody could ask why that handler: `/admin/handlers/decisions/<number>`."""
    stream = io.BytesIO()
    for as_json in (True, False):
        log = AccessLog(stream, FORMATS[as_json])
        log.write(replace(exchange(), instance="WSH1", decision=17), 200, 0.001)
        log.flush()
    for_machines, for_people = stream.getvalue().splitlines()
    assert orjson.loads(for_machines)["decision"] == 17
    assert b" -> WSH1 (decision 17)" in for_people


@pytest.mark.parametrize("as_json", [True, False])
async def test_no_line_holds_a_token(as_json: bool) -> None:
    stream = io.BytesIO()
    log = AccessLog(stream, FORMATS[as_json])
    log.write(exchange(), 200, 0.001)
    log.flush()
    assert b"/matching" in stream.getvalue()
    assert CANARY.encode() not in stream.getvalue()


async def test_people_get_one_short_line() -> None:
    stream = io.BytesIO()
    log = AccessLog(stream, FORMATS[False])
    log.write(replace(exchange(), reason="no_capacity"), 503, 0.0021)
    log.flush()
    assert stream.getvalue()[12:] == b" GET /matching 503 (no_capacity) 2.1 ms -> matching-1 in 2 tries\n"


async def test_a_request_is_one_line_whatever_its_path_holds() -> None:
    stream = io.BytesIO()
    log = AccessLog(stream)
    log.write(exchange("/a\nb\x1b[31m"), 400, 0.0)
    log.flush()
    (line,) = stream.getvalue().splitlines()
    assert orjson.loads(line)["path"] == "/a\nb\x1b[31m"
    assert b"\x1b" not in line


async def test_a_log_that_cannot_be_written_fails_no_request_and_is_counted() -> None:
    class ClosedPipe(io.BytesIO):
        def write(self, _data: object) -> int:
            raise BrokenPipeError

    log = AccessLog(ClosedPipe())
    log.write(exchange(), 200, 0.0)
    log.write(exchange(), 200, 0.0)
    log.flush()
    assert log.dropped == 2


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """A pipe to write to, and its other end: whatever collects a process's output."""
    read, write = os.pipe()
    with open(read, "rb", buffering=0) as collector, open(write, "wb", buffering=0) as stream:
        yield stream, collector


@pytest.mark.timeout(10)
async def test_a_pipe_that_nobody_reads_keeps_no_request_waiting(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    stream, collector = pipe
    log = AccessLog(stream, flush_after_s=3600)
    long = exchange("/" + "x" * 4000)
    for _ in range(100):
        log.write(long, 200, 0.0)
        log.flush()
    assert log.dropped == 0
    for _ in range(MAX_WAITING // 8000):
        log.write(long, 200, 0.0)
    log.flush()
    assert log.dropped > 0, "what waits is bounded"

    taken = b""
    while len(taken) < MAX_WAITING:
        taken += collector.read(65_536)
        log.flush()
    assert all(orjson.loads(line)["path"] == long.target.path for line in taken.splitlines()[:100])
    dropped = log.dropped
    log.write(exchange(), 200, 0.0)
    assert log.dropped == dropped, "once it is read again there is room again"


async def test_what_waits_is_written_by_itself(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    stream, collector = pipe
    log = AccessLog(stream, flush_after_s=0.01)
    log.write(exchange(), 200, 0.0)
    line = await asyncio.to_thread(collector.read, 65_536)
    assert orjson.loads(line)["path"] == "/matching"


async def test_a_collector_that_has_gone_is_counted(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    stream, collector = pipe
    collector.close()
    log = AccessLog(stream)
    for _ in range(3):
        log.write(exchange(), 200, 0.0)
    log.flush()
    assert log.dropped == 3


async def test_lines_that_nobody_takes_are_bounded() -> None:
    log = AccessLog(io.BytesIO(), flush_after_s=3600)
    long = exchange("/" + "x" * 4000)
    for _ in range(MAX_WAITING // 8000 + 10):
        log.write(long, 200, 0.0)
    assert log.dropped > 0
    dropped = log.dropped
    log.flush()
    log.write(long, 200, 0.0)
    assert log.dropped == dropped, "after a flush there is room again"
    log.flush()
