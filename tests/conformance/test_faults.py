"""Every way in which an instance may fail: what the client gets, how often it was tried, what is left."""

import asyncio
import json
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from registry.model import Instance
from tests.balancer import origins
from tests.balancer.origins import Origin, origin, until
from tests.conformance import faults
from tests.conformance.faults import Faulty, behaving
from tests.conformance.gateways import open_gateway
from tests.conformance.oracle import Answer
from tests.conformance.talk import PROBE, talk
from tests.gateway.runtime.gateways import until_idle

TIMEOUTS = {"connect_s": 0.2, "first_byte_s": 0.2, "idle_s": 0.2, "total_s": 0.8}
LOGGED = {"level": "info", "format": "json"}
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"


@dataclass(frozen=True, slots=True)
class End:
    """What became of one call."""

    answer: Answer | None
    """`None`: the client has seen that it was cut short."""
    executed: int
    """Requests that instances have read, all together."""
    logged: int
    """Tries, as the access log says."""
    reason: str | None


async def carried_to(faulty: Faulty, request: bytes, capture: pytest.CaptureFixture[bytes]) -> End:
    """One call to a service of two instances with the same fault."""
    async with AsyncExitStack() as stack:
        both = [await stack.enter_async_context(faulty(id)) for id in ("a", "b")]
        instances = [one if isinstance(one, Instance) else one.instance for one in both]
        counting = [one for one in both if isinstance(one, Origin)]
        running = await stack.enter_async_context(
            open_gateway(*instances, route={"timeouts": TIMEOUTS}, logging=LOGGED)
        )
        async with talk(running.port) as client:
            await client.say(request)
            await client.hear(lambda: bool(client.answers) or b"\r\n\r\n" in client.raw)
            for one in counting:
                one.go.set()
            await client.hear(lambda: bool(client.answers))
            answer = client.answers[0] if client.answers else None
            assert answer is not None or client.closed
        await until_idle(running.port)
        executed = sum(one.requests for one in counting)
    lines = [json.loads(line) for line in capture.readouterr().out.splitlines() if line.startswith(b"{")]
    (line,) = (line for line in lines if line.get("event") == "request" and line["path"] == "/x")
    return End(answer, executed, line["attempts"], line["reason"])


UNANSWERED: Iterable[tuple[str, Faulty, int, tuple[int, int], tuple[int, int]]] = [
    # fault, status, tries and executions of a GET, and of a POST: what may have run is not run again
    ("refuses", origins.refuses, 502, (2, 0), (2, 0)),
    ("never_accepts", origins.never_accepts, 504, (2, 0), (2, 0)),
    ("accepts_and_closes", behaving(origins.accepts_and_closes), 502, (2, 0), (1, 0)),
    ("closes_after_request_read", behaving(origins.closes_after_request_read), 502, (2, 2), (1, 1)),
    ("resets_after_request_read", behaving(origins.resets_after_request_read), 502, (2, 2), (1, 1)),
    ("never_answers", behaving(origins.never_answers), 504, (2, 2), (1, 1)),
    ("never_reads", behaving(origins.never_reads), 504, (2, 0), (1, 0)),
    ("sends_garbage", behaving(origins.sends_garbage), 502, (2, 2), (1, 1)),
    ("answers_101_unasked", behaving(origins.answers_101_unasked), 502, (2, 2), (1, 1)),
    ("ends_in_the_head", behaving(faults.ends_in_the_head), 502, (2, 2), (1, 1)),
    ("drips_the_head", behaving(origins.drips_the_head), 504, (2, 2), (1, 1)),
    ("interim_for_ever", behaving(faults.interim_for_ever), 504, (2, 2), (1, 1)),
]


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("faulty", "status", "get", "post"), [pytest.param(*rest, id=name) for name, *rest in UNANSWERED]
)
async def test_no_answer_is_the_gateways_own_and_tried_again_where_that_is_safe(
    faulty: Faulty,
    status: int,
    get: tuple[int, int],
    post: tuple[int, int],
    method: str,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    end = await carried_to(faulty, GET if method == "GET" else POST, capfdbinary)
    assert end.answer is not None
    assert end.answer.status == status
    assert json.loads(end.answer.body)["reason"] == end.reason
    assert (end.logged, end.executed) == (get if method == "GET" else post)


CUT_SHORT = {
    "resets_after_headers": origins.resets_after_headers,
    "ends_mid_body": origins.ends_mid_body,
    "ends_mid_chunk": origins.ends_mid_chunk,
    "stops_mid_body": origins.stops_mid_body,
    "stops_an_open_end": faults.stops_an_open_end,
    "resets_an_open_end": faults.resets_an_open_end,
    "sends_a_broken_chunk": faults.sends_a_broken_chunk,
    "drips_the_body": faults.drips_the_body,
}


@pytest.mark.parametrize("name", CUT_SHORT)
async def test_an_answer_cut_short_never_looks_whole_and_what_has_begun_is_not_tried_again(
    name: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    end = await carried_to(behaving(CUT_SHORT[name]), GET, capfdbinary)
    if end.answer is None:
        assert (end.logged, end.executed) == (1, 1)
    else:
        assert end.answer.status == 502, "it had ended before any of it was passed on"
        assert (end.logged, end.executed) == (2, 2)


async def test_a_slow_answer_that_keeps_coming_is_whole(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    end = await carried_to(behaving(faults.drips_a_whole_answer), GET, capfdbinary)
    assert end.answer is not None
    assert (end.answer.status, end.answer.body) == (200, b"hello")
    assert (end.logged, end.executed) == (1, 1)


@pytest.mark.parametrize(
    ("behaviour", "status"), [(faults.answers_early, 200), (faults.answers_early_and_closes, 403)]
)
@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
async def test_an_answer_before_the_upload_has_ended_reaches_the_client(
    behaviour: origins.Behaviour, status: int, framing: str
) -> None:
    async with (
        origin(behaviour) as early,
        open_gateway(early.instance, route={"timeouts": TIMEOUTS}) as running,
        talk(running.port) as client,
    ):
        await client.say(f"POST /x HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode())
        if "chunked" in framing:
            await client.say(b"5\r\nhello\r\n")
        assert (await client.answer()).status == status
        assert early.requests == 1
        await until_idle(running.port)


@pytest.mark.parametrize("later", [False, True])
async def test_a_second_answer_reaches_nobody(*, later: bool) -> None:
    behaviour = faults.sends_a_second_answer_later if later else faults.sends_two_answers
    async with origin(behaviour) as two, open_gateway(two.instance) as running:
        async with talk(running.port) as client, talk(running.port) as other:
            await client.say(GET)
            assert (await client.answer()).body == b"ok"
            two.go.set()
            await until(lambda: two.open_connections == 0)
            for asks, count in ((client, 2), (other, 1), (other, 2)):
                await asks.say(PROBE)
                assert (await asks.answer(count)).body == b"ok"
            assert b"poison" not in client.raw + other.raw
        assert two.connections == 2, "what spoke unasked is not used again"


async def test_an_upload_that_nobody_reads_stops_the_client_and_ends() -> None:
    offered = 64 << 20
    async with (
        origin(origins.never_reads) as deaf,
        open_gateway(
            deaf.instance, route={"timeouts": TIMEOUTS}, listen={"port": 0, "max_body_bytes": offered}
        ) as running,
        talk(running.port) as client,
    ):
        await client.say(f"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {offered}\r\n\r\n".encode())
        piece, taken = bytes(1 << 16), 0

        async def upload() -> None:
            nonlocal taken
            while taken < offered and not client.closed:
                await client.say(piece)
                taken += len(piece)

        uploading = asyncio.get_running_loop().create_task(upload())
        try:
            assert (await client.answer()).status == 504
            assert taken < offered / 2
            assert deaf.connections == 1
        finally:
            uploading.cancel()
            await asyncio.gather(uploading, return_exceptions=True)
        await client.to_the_end()
        await until_idle(running.port)
