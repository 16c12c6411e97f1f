"""What is no request, or could be read as two: refused whole, and nothing of it reaches an instance."""

import asyncio
import json
from functools import partial

import pytest

from tests.conformance.gateways import open_gateway
from tests.conformance.oracle import Answer
from tests.conformance.recorder import Recorder, recorder
from tests.conformance.talk import Talk, converse, talk

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

HOST = b"Host: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"


async def told(*steps: bytes) -> tuple[Talk, Recorder]:
    async with recorder() as kept, open_gateway(kept.instance) as running:
        client, _ = await converse(running.port, steps)
        return client, kept


def reason(answer: Answer) -> str:
    return str(json.loads(answer.body)["reason"])


@pytest.mark.parametrize(
    "raw",
    [
        CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        POST + b"Content-Length: 5, 5\r\n\r\nhello",
        POST + b"Content-Length: -5\r\n\r\nhello",
        POST + b"Content-Length: +5\r\n\r\nhello",
        POST + b"Content-Length: 0x5\r\n\r\nhello",
        POST + b"Content-Length: 5_0\r\n\r\nhello",
        POST + b"Content-Length: \r\n\r\nhello",
        POST + b"Content-Length: 99999999999999999999999\r\n\r\nhello",
        POST + b"Content-Length : 5\r\n\r\nhello",
        POST + b"Content-Length\r\n\r\n",
        POST + b"X: a\nContent-Length: 5\r\n\r\nhello",
        POST + b"X: a\rContent-Length: 5\r\n\r\nhello",
        POST + b"X: a\x00b\r\nContent-Length: 5\r\n\r\nhello",
        POST + b"X: a\r\n folded\r\nContent-Length: 5\r\n\r\nhello",
        POST + b"X: a\r\n\tContent-Length: 5\r\n\r\nhello",
        POST + b" X: a\r\n\r\n",
        POST + b": a\r\n\r\n",
        POST + b"X(y): a\r\n\r\n",
        POST + b"X\xe9: a\r\n\r\n",
        b"GET / HTTP/1.1\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\n\n",
        b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
        b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
)
async def test_a_head_that_two_could_read_differently_ends_its_connection_unseen(raw: bytes) -> None:
    client, kept = await told(raw)
    (answer,) = client.answers
    assert (answer.status, reason(answer)) == (400, "bad_request")
    assert client.closed
    assert not kept.begun()


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5\rX\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    ],
)
async def test_a_broken_chunk_ends_the_call_at_both_ends(body: bytes) -> None:
    client, kept = await told(CHUNKED + b"\r\n" + body)
    (answer,) = client.answers
    assert answer.status == 400
    assert client.closed
    assert kept.requests() == []


@pytest.mark.parametrize(
    "coding",
    [
        *(b"", b"gzip", b"identity", b"xchunked", b"chunked, gzip", b"gzip, chunked", b"chunked, chunked"),
        *(b", chunked", b"chunked,", b'"chunked"', b"chunked;q=1", b"\x0bchunked", b"chunkedchunked"),
        *(b"chunked\r\nTransfer-Encoding: chunked", b"chunked\r\nTransfer-Encoding: identity"),
    ],
)
@pytest.mark.parametrize("length", [b"", b"Content-Length: 5\r\n"])
async def test_a_coding_that_is_not_plain_chunked_is_refused(coding: bytes, length: bytes) -> None:
    client, kept = await told(
        POST + length + b"Transfer-Encoding: " + coding + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    assert client.answers[0].status in (400, 501)
    assert all(seen.target == b"/probe" for seen in kept.requests())


async def test_chunked_is_not_for_http_1_0() -> None:
    client, kept = await told(CHUNKED.replace(b"1.1", b"1.0") + b"\r\n5\r\nhello\r\n0\r\n\r\n")
    assert client.answers[0].status == 400
    assert client.closed
    assert not kept.begun()


@pytest.mark.parametrize("whole", [b"POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", b""])
async def test_whole_requests_before_a_broken_one_are_answered_however_they_are_cut(whole: bytes) -> None:
    raw = whole + b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n\x01\x02\r\n\r\n"
    sound = raw.count(b"HTTP")
    async with recorder() as kept, open_gateway(kept.instance) as running:
        for cut in range(len(raw)):
            async with talk(running.port) as client:
                await client.say(raw[:cut])
                await asyncio.sleep(0)
                await client.say(raw[cut:])
                await client.hear(partial(_has, client, sound + 1))
                assert [answer.status for answer in client.answers] == [200] * sound + [400]
        assert len(kept.requests()) == sound * len(raw)


async def test_what_comes_behind_the_last_request_of_a_connection_is_not_read() -> None:
    client, kept = await told(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + NEXT)
    assert [answer.status for answer in client.answers] == [200]
    assert client.closed
    assert len(kept.requests()) == 1


TRAILED = CHUNKED + b"\r\n5\r\nhello\r\n0\r\nX: 1\r\nAuthorization: Bearer evil\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("trailed", [TRAILED, TRAILED.replace(b"X: 1\r\n", b"")])
async def test_trailers_are_no_headers_of_what_follows_however_it_is_cut(trailed: bytes) -> None:
    """aiohttp's parser takes the last one for the first header of the next request."""
    whole = trailed + NEXT
    async with recorder() as kept, open_gateway(kept.instance) as running:
        for cut in range(len(CHUNKED), len(whole)):
            async with talk(running.port) as client:
                await client.say(whole[:cut])
                # Only a turn of the loop, so that the pieces are read one by one.
                await asyncio.sleep(0)
                await client.say(whole[cut:])
                assert (await client.answer()).status == 200
                await client.hear(partial(_has, client, 2))
        seen = kept.requests()
        assert seen
        assert not [request for request in seen if request.all(b"authorization") or request.all(b"x")]
        assert kept.problem() is None


def _has(client: Talk, count: int) -> bool:
    return len(client.answers) == count


UPGRADE = POST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize("hidden", [b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n", b""])
async def test_a_body_behind_an_upgrade_is_a_body_and_what_follows_is_not_lost(hidden: bytes) -> None:
    inside = b"GET /inside HTTP/1.1\r\nHost: a\r\n\r\n"
    client, kept = await told(UPGRADE + b"Content-Length: %d\r\n\r\n" % len(inside) + inside + hidden)
    first, *others = kept.requests()
    assert (first.target, first.body) == (b"/", inside)
    assert not first.all(b"upgrade")
    assert not first.all(b"connection")
    seen = [request.target for request in others]
    if not client.closed:
        assert seen == [b"/hidden", b"/probe"] if hidden else [b"/probe"]
    assert b"/inside" not in seen


@pytest.mark.parametrize(
    "host",
    [
        *(b"Host:\r\n", b"", b"Host: a\r\nHost: a\r\n", b"Host: a\r\nHost: b\r\n", b"Host: a, b\r\n"),
        *(b"Host: u@a\r\n", b"Host: a/b\r\n", b"Host: a:99999\r\n", b"Host: a:x\r\n", b"Host: a:\r\n"),
        *(b"Host: [::1\r\n", b"Host: [::g]\r\n", b"Host: a?b\r\n", b"Host: a%41\r\n", b"Host: a b\r\n"),
    ],
)
async def test_a_host_that_names_no_one_place_is_refused(host: bytes) -> None:
    client, kept = await told(b"GET / HTTP/1.1\r\n" + host + b"\r\n")
    answer = client.answers[0]
    assert answer.status == 400
    assert reason(answer) in ("bad_host", "bad_request")
    assert all(seen.target == b"/probe" for seen in kept.requests())


async def test_an_absolute_target_of_another_host_is_refused() -> None:
    client, kept = await told(b"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (client.answers[0].status, reason(client.answers[0])) == (400, "bad_host")
    assert all(seen.target == b"/probe" for seen in kept.requests())


async def test_an_absolute_target_of_the_same_host_is_forwarded_as_its_path() -> None:
    client, kept = await told(b"GET http://a/y?z HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [answer.status for answer in client.answers] == [200, 200]
    assert [seen.target for seen in kept.requests()] == [b"/y?z", b"/probe"]


@pytest.mark.parametrize("method", [b"get", b"Get", b"G@T", b"TRACE", b"CONNECT", b"X" * 33, b"PROPFIND"])
async def test_a_method_that_is_not_carried_is_refused(method: bytes) -> None:
    target = b"a:443" if method == b"CONNECT" else b"/"
    client, kept = await told(method + b" " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert client.answers[0].status in (400, 405, 501)
    assert all(seen.target == b"/probe" for seen in kept.requests())


@pytest.mark.parametrize(
    "hello",
    [
        b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
        b"GET / HTTP/0.9\r\n" + HOST + b"\r\n",
        b"GET /\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / http/1.1\r\n" + HOST + b"\r\n",
        b"GET / RTSP/1.1\r\n" + HOST + b"\r\n",
        b"OPTIONS * RTSP/1.0\r\n" + HOST + b"\r\n",
        b"POST / RTSP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
        b"SOURCE / ICE/1.0\r\n" + HOST + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ],
)
async def test_another_protocol_is_refused_and_the_connection_ended(hello: bytes) -> None:
    client, kept = await told(hello)
    assert [answer.status for answer in client.answers] in ([400], [405], [505])
    assert client.closed
    assert not kept.begun()


async def test_a_refusal_is_fixed_text_that_shows_nothing_of_what_came() -> None:
    for raw in (
        b"GET /<script>canary HTTP/1.1\r\nHost: canary:x\r\n\r\n",
        b"canary / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\ncanary canary\r\n\r\n",
        b"GET /%00canary HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        client, _ = await told(raw)
        answer = client.answers[0]
        assert set(json.loads(answer.body)) == {"error", "message", "reason", "timestamp", "request_id"}
        assert answer.one(b"x-content-type-options") == b"nosniff"
        assert answer.one(b"content-type").startswith(b"application/json")
        assert not answer.all(b"server")
        assert b"canary" not in client.raw


async def test_internal_endpoints_are_not_for_the_world() -> None:
    everywhere = {"internal": {"networks": ["192.0.2.0/24"]}}
    async with recorder() as kept, open_gateway(kept.instance, **everywhere) as running:
        for path in ("/metrics", "/health/detailed", "/get_service_instance?service_name=auth"):
            client, _ = await converse(running.port, [f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()])
            assert client.answers[0].status in (403, 404, 405), path
        routes = {seen.target for seen in kept.requests()}
        assert routes <= {b"/probe", b"/dashboard", b"/admin/drain"}, (
            "only what is no endpoint of the gateway"
        )
