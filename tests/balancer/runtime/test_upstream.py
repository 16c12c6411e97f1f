"""What goes over the wire and what comes back, against real sockets, well-behaved and not."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from balancer.budget import RetryLedger
from balancer.model import OutboundRequest, PoolLimits, Timeouts, UpstreamBroke, UpstreamFailed
from balancer.outcome import Kind, Outcome, Phase, Side
from balancer.policy import RetryBudget
from balancer.runtime.base import UpstreamAnswer
from balancer.runtime.bodies import WholeBody
from balancer.runtime.upstream import PooledUpstream, PoolStats, fault_of_connect
from registry.model import Instance, ServiceSnapshot, Status
from tests.balancer import origins
from tests.balancer.origins import Behaviour, answers, counts_requests, origin, until

PATIENT = Timeouts(connect_s=10, first_byte_s=20, idle_s=20, total_s=60)
TOLD = "X-Request-Timeout-Ms: 60000"
SHORT = Timeouts(connect_s=10, first_byte_s=0.25, idle_s=0.25, total_s=20)
"""For instances that keep one waiting: long enough for a busy machine, short enough for a test."""
GET = OutboundRequest("GET", "/", [(b"Host", b"chat.example")])


async def whole(answer: UpstreamAnswer) -> bytes:
    try:
        return b"".join([chunk async for chunk in answer.body])
    finally:
        await release(answer)


async def release(answer: UpstreamAnswer) -> None:
    if not isinstance(answer.body, WholeBody):
        await answer.body.release()


async def ask_whole(upstream: PooledUpstream, instance: Instance) -> bytes:
    return await whole(await upstream.send(instance, GET, PATIENT))


async def failure(
    upstream: PooledUpstream, instance: Instance, request: OutboundRequest = GET, timeouts: Timeouts = SHORT
) -> Outcome:
    with pytest.raises(UpstreamFailed) as raised:
        await upstream.send(instance, request, timeouts)
    return raised.value.outcome


async def breakage(upstream: PooledUpstream, instance: Instance) -> Outcome:
    answer = await upstream.send(instance, GET, SHORT)
    with pytest.raises(UpstreamBroke) as raised:
        await whole(answer)
    return raised.value.outcome


def post(body: bytes | AsyncIterator[bytes], *headers: tuple[bytes, bytes]) -> OutboundRequest:
    return OutboundRequest("POST", "/", [(b"Host", b"chat.example"), *headers], body)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


# Requests, byte for byte


@pytest.mark.parametrize(
    "target",
    [
        "/a/%2e%2e/b",
        "/a/../b",
        "//x",
        "///x?y=//z",
        "/a;b?c=%2F",
        "/%7euser/%c3%a9/%C3%A9/%zz",
        "/a?",
        "/a??b=+&b=%20&&=",
        "/a?q=\"<>^`{|}[]'",
        "/é?ü",
    ],
)
async def test_the_target_arrives_byte_for_byte(upstream: PooledUpstream, target: str) -> None:
    async with origin(counts_requests) as there:
        request = OutboundRequest("GET", target, [(b"Host", b"chat.example")])
        await whole(await upstream.send(there.instance, request, PATIENT))
    assert there.heads == [f"GET {target} HTTP/1.1\r\nHost: chat.example\r\n{TOLD}\r\n\r\n".encode()]


async def test_headers_arrive_in_order_with_case_and_duplicates_and_nothing_is_added(
    upstream: PooledUpstream,
) -> None:
    headers = [
        (b"Host", b"chat.example"),
        (b"x-ODD", b"1"),
        (b"Cookie", b"a=1"),
        (b"cookie", "b=é".encode()),
        (b"x-latin", b"caf\xe9"),
        (b"x-odd", b""),
    ]
    async with origin(counts_requests) as there:
        await whole(await upstream.send(there.instance, OutboundRequest("DELETE", "/", headers), PATIENT))
    lines = [name + b": " + value for name, value in headers]
    assert there.heads[0].split(b"\r\n")[1:-2] == [*lines, TOLD.encode()]


async def test_without_a_host_the_instance_is_named_and_its_ip_connected_to(
    upstream: PooledUpstream,
) -> None:
    async with origin(counts_requests) as there:
        await whole(await upstream.send(there.instance, OutboundRequest("GET", "/", []), PATIENT))
    host = f"Host: localhost:{there.instance.port}"
    assert there.heads[0] == f"GET / HTTP/1.1\r\n{host}\r\n{TOLD}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("a_request", "framing", "body"),
    [
        (lambda: post(b"in memory"), b"Content-Length: 9", b"in memory"),
        (lambda: post(b"x" * 300_000), b"Content-Length: 300000", b"x" * 300_000),
        (lambda: post(b"", (b"Content-Length", b"0")), b"Content-Length: 0", b""),
        (lambda: post(chunks(b"ab", b"cde"), (b"content-length", b"5")), b"content-length: 5", b"abcde"),
        (lambda: post(chunks(b"ab", b"cde")), b"Transfer-Encoding: chunked", b"abcde"),
        (lambda: post(chunks()), b"Transfer-Encoding: chunked", b""),
    ],
    ids=["bytes", "many bytes", "no bytes", "stream of known length", "stream", "empty stream"],
)
async def test_bodies_keep_the_clients_framing(
    upstream: PooledUpstream, a_request: Callable[[], OutboundRequest], framing: bytes, body: bytes
) -> None:
    async with origin(counts_requests) as there:
        for _ in range(2):
            await whole(await upstream.send(there.instance, a_request(), PATIENT))
            lines = there.heads[-1].split(b"\r\n")[2:-2]
            assert sorted(lines) == sorted([framing, TOLD.encode()])
            assert there.bodies[-1] == body


@pytest.mark.parametrize(
    "request_",
    [
        OutboundRequest("GET", "/a b", []),
        OutboundRequest("GET", "/a\r\nX: y", []),
        OutboundRequest("GET", "*", []),
        OutboundRequest("GET", "http://elsewhere/", []),
        OutboundRequest("GET", "/\udcff", []),
        OutboundRequest("get", "/", []),
        OutboundRequest("CONNECT", "/", []),
        OutboundRequest("GET", "/", [(b"X", b"a\r\nY: z")]),
        OutboundRequest("POST", "/", [(b"Transfer-Encoding", b"gzip")]),
        OutboundRequest("G T", "/", []),
    ],
    ids=repr,
)
async def test_what_cannot_be_written_faithfully_is_the_clients_fault(
    upstream: PooledUpstream, request_: OutboundRequest
) -> None:
    async with origin(counts_requests) as there:
        outcome = await failure(upstream, there.instance, request_)
        assert (outcome.side, outcome.kind, outcome.sent) == (Side.CLIENT, Kind.GARBAGE, False)
        assert there.requests == 0


# Answers


async def test_an_answers_head_comes_as_it_was_sent(upstream: PooledUpstream) -> None:
    head = (
        b"HTTP/1.1 207 Caf\xe9 o'clock\r\nset-cookie: a=1\r\nSet-Cookie: b=\xe9\r\nContent-Length: 2\r\n\r\n"
    )
    async with origin(answers(head + b"ok")) as there:
        answer = await upstream.send(there.instance, GET, PATIENT)
        assert (answer.status, answer.reason) == (207, b"Caf\xe9 o'clock")
        assert answer.headers == [
            (b"set-cookie", b"a=1"),
            (b"Set-Cookie", b"b=\xe9"),
            (b"Content-Length", b"2"),
        ]
        assert await whole(answer) == b"ok"


async def test_bodies_are_not_unpacked_and_redirects_not_followed(upstream: PooledUpstream) -> None:
    packed = gzip.compress(b"hello")
    head = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    async with origin(answers(head % len(packed) + packed)) as there:
        answer = await upstream.send(there.instance, GET, PATIENT)
        assert answer.status == 302
        assert await whole(answer) == packed
        assert there.requests == 1


async def test_cookies_of_one_answer_do_not_go_out_with_the_next_request(upstream: PooledUpstream) -> None:
    async with origin(
        answers(b"HTTP/1.1 200 OK\r\nSet-Cookie: s=1; Path=/\r\nContent-Length: 0\r\n\r\n")
    ) as there:
        for _ in range(2):
            await whole(await upstream.send(there.instance, GET, PATIENT))
    assert b"ookie" not in there.heads[1]


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n"),
    ],
)
async def test_answers_without_a_body_have_ended_with_their_head(
    upstream: PooledUpstream, method: str, head: bytes
) -> None:
    async with origin(answers(head)) as there:
        for _ in range(2):
            answer = await upstream.send(there.instance, OutboundRequest(method, "/", []), PATIENT)
            assert answer.body.whole() == b""
        assert there.connections == 1


async def test_interim_answers_are_skipped(upstream: PooledUpstream) -> None:
    async with origin(answers(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + origins.OK)) as there:
        assert await whole(await upstream.send(there.instance, GET, PATIENT)) == b"ok"


async def test_a_slow_reader_slows_the_instance_down(upstream: PooledUpstream) -> None:
    """Back-pressure: what the client does not read is not collected here."""
    written = 0

    async def pours(connection: origins.Connection) -> None:
        nonlocal written
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n")
        while True:
            await connection.say(b"x" * 65536)
            written += 65536

    async with origin(pours) as there:
        answer = await upstream.send(there.instance, GET, PATIENT)
        first = await anext(aiter(answer.body))
        stuck = -1
        while stuck != written:
            stuck = written
            await asyncio.sleep(0.05)
        assert len(first) <= stuck < 64 * 2**20
        await release(answer)


async def test_a_slow_instance_slows_the_client_down(upstream: PooledUpstream) -> None:
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(4096):
            taken += 65536
            yield b"x" * 65536

    async with origin(origins.never_reads) as there:
        outcome = await failure(upstream, there.instance, post(body()))
    assert (outcome.phase, outcome.side, outcome.kind) == (Phase.SEND, Side.INSTANCE, Kind.TIMEOUT)
    assert outcome.sent
    assert taken < 64 * 2**20


async def test_an_answer_may_come_before_the_body_is_out(upstream: PooledUpstream) -> None:
    """And the connection is not used again: the rest of the body would be read as a request."""

    async def turns_down(connection: origins.Connection) -> None:
        connection.origin.heads.append(await connection.reader.readuntil(b"\r\n\r\n"))
        await connection.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await connection.reader.read()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.001)

    async with origin(turns_down) as there:
        for seen in (1, 2):
            answer = await upstream.send(there.instance, post(endless()), SHORT)
            assert (answer.status, await whole(answer)) == (413, b"no")
            assert there.connections == seen


# Faults


@pytest.mark.parametrize(
    ("behaviour", "label"),
    [
        (origins.accepts_and_closes, "wait_reset"),
        (origins.closes_after_request_read, "wait_reset"),
        (origins.resets_after_request_read, "wait_reset"),
        (origins.never_answers, "wait_timeout"),
        (origins.sends_garbage, "wait_garbage"),
        (origins.answers_101_unasked, "wait_garbage"),
        (answers(b"HTTP/1.1 200 OK\r\nContent-Le"), "wait_timeout"),
        (answers(b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n"), "wait_garbage"),
        (answers(b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"), "wait_garbage"),
        (answers(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"), "wait_garbage"),
        (
            answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "wait_garbage",
        ),
        (answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "wait_garbage"),
        (answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "wait_garbage"),
        (answers(b"HTTP/1.1 200 OK\r\nX: a\x01\r\nContent-Length: 0\r\n\r\n"), "wait_garbage"),
        (answers(b"HTTP/1.1 200 OK\r\nX: a\x00\r\nContent-Length: 0\r\n\r\n"), "wait_garbage"),
        (answers(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"), "wait_garbage"),
        (answers(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 500 + b"\r\n"), "wait_garbage"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_an_instance_that_fails_before_its_answer_is_blamed(
    upstream: PooledUpstream, behaviour: Behaviour, label: str
) -> None:
    async with origin(behaviour) as there:
        outcome = await failure(upstream, there.instance)
    assert outcome.label == label
    assert outcome.blames_instance
    assert outcome.sent


async def test_a_refused_connection_has_sent_nothing(upstream: PooledUpstream) -> None:
    async with origins.refuses() as instance:
        outcome = await failure(upstream, instance, post(chunks(b"never taken")))
    assert outcome == Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False, detail="ECONNREFUSED")


async def test_a_connection_that_is_never_accepted_runs_into_its_deadline(upstream: PooledUpstream) -> None:
    async with origins.never_accepts() as instance:
        outcome = await failure(upstream, instance, timeouts=Timeouts(connect_s=0.1))
    assert outcome == Outcome(Phase.CONNECT, Side.INSTANCE, Kind.TIMEOUT, sent=False)


async def test_tls_spoken_to_a_plain_port_is_garbage(upstream: PooledUpstream) -> None:
    async def speaks_plain(connection: origins.Connection) -> None:
        await connection.reader.read(1)
        await connection.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with origin(speaks_plain) as there:
        plain = there.instance
        tls = Instance(plain.id, plain.service, plain.host, plain.port, plain.ip, meta={"scheme": "https"})
        outcome = await failure(upstream, tls)
    assert (outcome.phase, outcome.side, outcome.kind) == (Phase.CONNECT, Side.INSTANCE, Kind.GARBAGE)
    assert not outcome.sent


async def test_a_dripped_head_is_cut_at_the_first_byte_deadline(upstream: PooledUpstream) -> None:
    async with origin(origins.drips_the_head) as there:
        outcome = await failure(upstream, there.instance)
    assert outcome.label == "wait_timeout"


async def test_the_deadline_of_the_whole_call_blames_nobody(upstream: PooledUpstream) -> None:
    async with origin(origins.never_answers) as there:
        outcome = await failure(upstream, there.instance, timeouts=Timeouts(connect_s=9, total_s=0.3))
    assert (outcome.side, outcome.kind, outcome.sent) == (Side.GATEWAY, Kind.TIMEOUT, True)


async def test_the_deadline_of_the_whole_call_cuts_a_body_too(upstream: PooledUpstream) -> None:
    async with origin(origins.stops_mid_body) as there:
        answer = await upstream.send(there.instance, GET, Timeouts(total_s=0.4))
        with pytest.raises(UpstreamBroke) as raised:
            await whole(answer)
    assert (raised.value.outcome.side, raised.value.outcome.label) == (Side.GATEWAY, "body_timeout")


@pytest.mark.parametrize(
    ("behaviour", "label"),
    [
        (origins.ends_mid_body, "body_reset"),
        (origins.ends_mid_chunk, "body_reset"),
        (origins.stops_mid_body, "body_timeout"),
    ],
)
async def test_a_body_cut_short_never_looks_complete(
    upstream: PooledUpstream, behaviour: Behaviour, label: str
) -> None:
    async with origin(behaviour) as there:
        outcome = await breakage(upstream, there.instance)
    assert outcome.label == label
    assert outcome.blames_instance


async def test_a_body_that_ends_by_close_is_cut_by_any_other_end(upstream: PooledUpstream) -> None:
    async def stops_before_its_close(connection: origins.Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await connection.reader.read()

    async def resets_instead_of_closing(connection: origins.Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await connection.origin.go.wait()
        connection.reset()

    async with origin(stops_before_its_close) as there:
        assert (await breakage(upstream, there.instance)).label == "body_timeout"
    async with origin(resets_instead_of_closing) as there:
        answer = await upstream.send(there.instance, GET, PATIENT)
        there.go.set()
        with pytest.raises(UpstreamBroke) as raised:
            await whole(answer)
        assert raised.value.outcome.label == "body_reset"


async def test_a_body_that_ends_by_close_ends_there(upstream: PooledUpstream) -> None:
    async def closes(connection: origins.Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    async with origin(closes) as there:
        for _ in range(2):
            assert await ask_whole(upstream, there.instance) == b"all of it"
        assert there.connections == 2


async def test_a_reset_between_head_and_body_breaks_the_body(upstream: PooledUpstream) -> None:
    async with origin(origins.resets_after_headers) as there:
        answer = await upstream.send(there.instance, GET, PATIENT)
        there.go.set()
        with pytest.raises(UpstreamBroke) as raised:
            await whole(answer)
    assert raised.value.outcome.label == "body_reset"


async def test_garbage_between_chunks_breaks_the_body(upstream: PooledUpstream) -> None:
    async def behaviour(connection: origins.Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await connection.origin.go.wait()
        await connection.say(b"zz not a size\r\n")
        await connection.reader.read()

    async with origin(behaviour) as there:
        answer = await upstream.send(there.instance, GET, SHORT)
        body = aiter(answer.body)
        assert await anext(body) == b"abc"
        there.go.set()
        with pytest.raises(UpstreamBroke) as raised:
            await anext(body)
        await release(answer)
    assert raised.value.outcome.label == "body_garbage"
    assert raised.value.outcome.blames_instance


async def test_a_client_that_breaks_off_its_body_is_not_the_instances_fault(
    upstream: PooledUpstream,
) -> None:
    async def breaks_off() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    async with origin(counts_requests) as there:
        outcome = await failure(upstream, there.instance, post(breaks_off()))
    assert outcome == Outcome(Phase.SEND, Side.CLIENT, Kind.RESET, sent=True, detail="ConnectionResetError")


async def test_a_client_that_stops_sending_is_not_the_instances_fault(upstream: PooledUpstream) -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.Event().wait()

    async with origin(counts_requests) as there:
        outcome = await failure(upstream, there.instance, post(stalls()))
    assert (outcome.phase, outcome.side, outcome.kind) == (Phase.SEND, Side.CLIENT, Kind.TIMEOUT)


@pytest.mark.parametrize(
    "parts", [[b"ab"], [b"abcd", b"GET /smuggled HTTP/1.1\r\n\r\n"]], ids=["short", "long"]
)
async def test_a_body_of_another_length_than_declared_spoils_no_other_request(
    upstream: PooledUpstream, parts: list[bytes]
) -> None:
    async with origin(counts_requests) as there:
        outcome = await failure(upstream, there.instance, post(chunks(*parts), (b"Content-Length", b"4")))
        assert (outcome.side, outcome.detail) == (Side.CLIENT, "ClientBodyLength")
        await whole(await upstream.send(there.instance, GET, PATIENT))
        assert there.connections == 2
        assert [head.split(b" HTTP/")[0] for head in there.heads] == [b"POST /", b"GET /"]


# Connections


async def test_connections_are_kept_and_used_again(upstream: PooledUpstream) -> None:
    async with origin(counts_requests) as there:
        for _ in range(5):
            await whole(await upstream.send(there.instance, GET, PATIENT))
        assert (there.requests, there.connections) == (5, 1)


async def test_what_may_have_run_is_not_repeated_when_a_connection_closes(
    upstream: PooledUpstream,
) -> None:
    async with origin(origins.answers_once_then_closes_on_the_second) as there:
        await whole(await upstream.send(there.instance, GET, PATIENT))
        outcome = await failure(upstream, there.instance)
        assert (outcome.label, outcome.sent) == ("wait_reset", True)
        assert there.requests == 2
        assert not upstream.resent


async def test_what_may_run_twice_goes_out_again_once_on_a_fresh_connection(upstream: PooledUpstream) -> None:
    async with origin(origins.answers_once_then_closes_on_the_second) as there:
        await whole(await upstream.send(there.instance, GET, PATIENT))
        answer = await upstream.send(there.instance, GET, PATIENT, repeatable=True)
        assert await whole(answer) == b"ok"
        assert (there.requests, there.connections) == (3, 2)
        assert upstream.resent == {origins.SERVICE: 1}


async def test_what_may_run_twice_does_so_within_the_budget_only(upstream: PooledUpstream) -> None:
    none_left = RetryLedger(RetryBudget(percent=0, at_least=0))
    async with origin(origins.answers_once_then_closes_on_the_second) as there:
        await whole(await upstream.send(there.instance, GET, PATIENT))
        with pytest.raises(UpstreamFailed) as failed:
            await upstream.send(there.instance, GET, PATIENT, repeatable=True, budget=none_left)
        assert failed.value.outcome.label == "wait_reset"
        assert there.requests == 2
        assert not upstream.resent


async def test_what_goes_out_again_is_a_second_try_while_it_is_under_way(upstream: PooledUpstream) -> None:
    budget = RetryLedger(RetryBudget(percent=0, at_least=1))
    async with origin(origins.answers_once_then_closes_on_the_second) as there:
        await whole(await upstream.send(there.instance, GET, PATIENT))
        await whole(await upstream.send(there.instance, GET, PATIENT, repeatable=True, budget=budget))
        assert budget.second == 0
        assert not budget.has_room(asyncio.get_running_loop().time())
        assert upstream.resent == {origins.SERVICE: 1}


async def test_what_could_not_go_out_again_has_used_no_budget(upstream: PooledUpstream) -> None:
    budget = RetryLedger(RetryBudget(percent=0, at_least=1))
    async with origin(closes_its_port_and_the_second_request) as there:
        await whole(await upstream.send(there.instance, GET, PATIENT))
        with pytest.raises(UpstreamFailed) as failed:
            await upstream.send(there.instance, GET, PATIENT, repeatable=True, budget=budget)
        outcome = failed.value.outcome
        assert (outcome.label, outcome.sent) == ("connect_refused", True)
        assert budget.second == 0
        assert budget.has_room(asyncio.get_running_loop().time())


async def closes_its_port_and_the_second_request(connection: origins.Connection) -> None:
    """As a process that ends while its clients' connections are kept."""
    await connection.request()
    await connection.say(origins.OK)
    await connection.request()
    connection.origin.stop_listening()


async def test_a_fresh_connection_that_closes_is_a_failure_at_once(upstream: PooledUpstream) -> None:
    async with origin(origins.closes_after_request_read) as there:
        with pytest.raises(UpstreamFailed):
            await upstream.send(there.instance, GET, PATIENT, repeatable=True)
        assert there.requests == 1


async def test_an_answer_that_has_begun_is_not_asked_for_again(upstream: PooledUpstream) -> None:
    async def breaks_off_the_second_head(connection: origins.Connection) -> None:
        await connection.request()
        await connection.say(origins.OK)
        await connection.request()
        await connection.say(b"HTTP/1.1 200 O")

    async with origin(breaks_off_the_second_head) as there:
        await whole(await upstream.send(there.instance, GET, PATIENT))
        with pytest.raises(UpstreamFailed):
            await upstream.send(there.instance, GET, PATIENT, repeatable=True)
        assert there.requests == 2


async def test_a_post_does_not_run_into_a_connection_that_was_just_closed(upstream: PooledUpstream) -> None:
    """The end has arrived in the kernel, and the loop had no turn yet to tell of it."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        there = origins.instance_at(listener.getsockname()[1], "a")

        async def serve_one() -> socket.socket:
            accepted, _ = await loop.sock_accept(listener)
            await loop.sock_recv(accepted, 1000)
            await loop.sock_sendall(accepted, origins.OK)
            return accepted

        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve_one())
            assert await ask_whole(upstream, there) == b"ok"
            (await serving).close()
            serving = group.create_task(serve_one())
            assert await whole(await upstream.send(there, post(b"once"), PATIENT)) == b"ok"
            (await serving).close()


async def test_no_more_connections_than_allowed_and_the_rest_wait_their_turn() -> None:
    async with (
        origin(counts_requests) as there,
        PooledUpstream(lambda _: PoolLimits(max_connections=3)) as upstream,
        asyncio.TaskGroup() as group,
    ):
        calls = [group.create_task(ask_whole(upstream, there.instance)) for _ in range(50)]
        assert [await call for call in calls] == [b"ok"] * 50
        assert (there.requests, there.connections) == (50, 3)


async def test_whoever_waits_too_long_or_comes_too_late_is_told_that_it_is_full() -> None:
    limits = PoolLimits(max_connections=1, max_waiting=1)
    async with (
        origin(origins.never_answers) as there,
        PooledUpstream(lambda _: limits) as upstream,
        asyncio.TaskGroup() as group,
    ):
        stuck = group.create_task(failure(upstream, there.instance, timeouts=Timeouts()))
        await until(lambda: there.requests)
        waits = group.create_task(failure(upstream, there.instance, timeouts=Timeouts(connect_s=0.2)))
        await asyncio.sleep(0)
        full = Outcome(Phase.CONNECT, Side.GATEWAY, Kind.SATURATED, sent=False)
        assert await failure(upstream, there.instance, timeouts=Timeouts()) == full
        assert await waits == full
        await there.stop()
        assert (await stuck).label == "wait_reset"


async def test_who_waits_may_make_a_connection_when_another_breaks() -> None:
    async def breaks_the_first(connection: origins.Connection) -> None:
        await connection.request()
        if connection.origin.requests == 1:
            await connection.origin.go.wait()
            return
        await connection.say(origins.OK)
        await connection.reader.read()

    async with (
        origin(breaks_the_first) as there,
        PooledUpstream(lambda _: PoolLimits(max_connections=1)) as upstream,
        asyncio.TaskGroup() as group,
    ):
        first = group.create_task(failure(upstream, there.instance, timeouts=PATIENT))
        await until(lambda: there.requests)
        second = group.create_task(ask_whole(upstream, there.instance))
        gives_up = group.create_task(ask_whole(upstream, there.instance))
        await asyncio.sleep(0)
        gives_up.cancel()
        there.go.set()
        assert (await first).label == "wait_reset"
        assert await second == b"ok"


async def test_connections_of_an_instance_that_has_left_are_closed_after_their_last_call() -> None:
    async def answers_on_the_word(connection: origins.Connection) -> None:
        while True:
            await connection.request()
            await connection.origin.go.wait()
            await connection.say(origins.OK)

    here: list[Instance] = []
    nobody = ServiceSnapshot(origins.SERVICE, Status.KNOWN, 1, (), ())
    async with (
        origin(answers_on_the_word) as there,
        PooledUpstream(current=lambda _: replace(nobody, instances=tuple(here))) as upstream,
        asyncio.TaskGroup() as group,
    ):
        now = asyncio.get_running_loop().time
        here.append(there.instance)
        call = group.create_task(ask_whole(upstream, there.instance))
        await until(lambda: there.requests)
        here.clear()
        upstream.sweep(now())
        assert upstream.stats() == {origins.SERVICE: PoolStats(in_use=1, idle=0, waiting=0)}
        there.go.set()
        assert await call == b"ok"
        await until(lambda: there.open_connections == 0)
        upstream.sweep(now())
        assert upstream.stats() == {}


async def test_what_is_idle_for_too_long_is_closed() -> None:
    limits = PoolLimits(idle_s=15, max_idle=2)
    async with (
        origin(counts_requests) as there,
        PooledUpstream(lambda _: limits) as upstream,
        asyncio.TaskGroup() as group,
    ):
        calls = [group.create_task(ask_whole(upstream, there.instance)) for _ in range(5)]
        assert [await call for call in calls] == [b"ok"] * 5
        await until(lambda: there.open_connections == 2)
        now = asyncio.get_running_loop().time()
        upstream.sweep(now + 14)
        assert upstream.stats()[origins.SERVICE].idle == 2
        upstream.sweep(now + 16)
        await until(lambda: there.open_connections == 0)


async def test_an_instance_that_speaks_unasked_loses_its_connection(upstream: PooledUpstream) -> None:
    async def says_one_too_many(connection: origins.Connection) -> None:
        await connection.request()
        await connection.say(origins.OK)
        await connection.origin.go.wait()
        await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        await connection.reader.read()

    async with origin(says_one_too_many) as there:
        await whole(await upstream.send(there.instance, GET, PATIENT))
        there.go.set()
        await until(lambda: there.open_connections == 0)
        assert await whole(await upstream.send(there.instance, GET, PATIENT)) == b"ok"


async def test_an_answer_given_up_closes_its_connection(upstream: PooledUpstream) -> None:
    async with origin(origins.stops_mid_body) as there:
        answer = await upstream.send(there.instance, GET, PATIENT)
        assert answer.body.whole() is None
        await release(answer)
        await until(lambda: there.open_connections == 0)


async def test_a_cancelled_send_closes_its_connection(upstream: PooledUpstream) -> None:
    async with origin(origins.never_answers) as there:
        async with asyncio.TaskGroup() as group:
            call = group.create_task(upstream.send(there.instance, GET, Timeouts()))
            await until(lambda: there.requests)
            call.cancel()
        await until(lambda: there.open_connections == 0)


def test_what_this_machine_lacks_is_not_the_instances_fault() -> None:
    outcome = fault_of_connect(OSError(24, "Too many open files"), Side.INSTANCE)
    assert outcome == Outcome(Phase.CONNECT, Side.GATEWAY, Kind.REFUSED, sent=False, detail="EMFILE")


async def test_it_says_how_it_wants_to_be_used() -> None:
    with pytest.raises(RuntimeError, match="context manager"):
        await PooledUpstream().send(origins.instance_at(1, "a"), GET, SHORT)
