"""Bytes in, events out, without any socket."""

from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.model import Headers, OutboundRequest
from balancer.runtime.wire import (
    MAX_FIELDS,
    AnswerReader,
    BadAnswer,
    BadRequest,
    CutShort,
    chunk,
    encode_head,
)
from registry.model import Instance, InstanceId, ServiceName

H, AUTH = (
    Instance(InstanceId(name), ServiceName("auth"), host=name, port=port, ip="127.0.0.1")
    for name, port in (("h", 1), ("auth", 9001))
)
TOKEN = st.text("abcXYZ019-_!~", min_size=1, max_size=12).map(str.encode)
VALUE = st.binary(max_size=20).map(
    lambda raw: bytes(byte for byte in raw if byte >= 0x20 and byte != 0x7F).strip()
)
FRAMING = {b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"host", b"trailer"}
FIELDS = st.lists(st.tuples(TOKEN, VALUE), max_size=6).map(
    lambda pairs: [pair for pair in pairs if pair[0].lower() not in FRAMING]
)


def read(data: bytes, cuts: list[int], method: str = "GET") -> AnswerReader:
    """Feeds the data cut at those places, and then the end."""
    reader = AnswerReader()
    reader.expect(method)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        reader.feed(data[start:end])
    reader.eof()
    return reader


def feed_all(reader: AnswerReader, pieces: list[bytes]) -> None:
    for piece in pieces:
        reader.feed(piece)


# Answers


@given(
    status=st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    reason=VALUE,
    fields=FIELDS,
    pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=5),
    framing=st.sampled_from(["length", "chunked", "close"]),
    interim=st.integers(0, 2),
    cuts=st.lists(st.integers(0, 2000), max_size=12),
)
def test_any_split_of_the_bytes_gives_the_same_events(
    status: int,
    reason: bytes,
    fields: Headers,
    pieces: list[bytes],
    framing: str,
    interim: int,
    cuts: list[int],
) -> None:
    body, sent = b"".join(pieces), list(fields)
    if framing == "length":
        sent.append((b"Content-Length", str(len(body)).encode()))
        wire = body
    elif framing == "chunked":
        sent.append((b"transfer-ENCODING", b"Chunked"))
        wire = b"".join(map(chunk, pieces)) + b"0\r\nX-Trailer: dropped\r\n\r\n"
    else:
        wire = body
    head = b"HTTP/1.1 %d %b\r\n" % (status, reason) + b"".join(b"%b:  %b\r\n" % pair for pair in sent)
    data = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * interim + head + b"\r\n" + wire
    reader = read(data, cuts)
    assert reader.head is not None
    assert (reader.head.status, reader.head.reason, reader.head.headers) == (status, reason, sent)
    assert b"".join(reader.pieces) == body
    assert reader.buffered == len(body)
    assert reader.keep_alive is (framing != "close")


HOSTILE = {
    "RTSP": b"RTSP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no HTTP at all": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "bare LF after a header": b"HTTP/1.1 200 OK\r\nContent-Length: 2\nX: y\r\n\r\nok",
    "bare CR": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
    "NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
    "DEL": b"HTTP/1.1 200 OK\r\nX: a\x7fb\r\nContent-Length: 2\r\n\r\nok",
    "control character in the reason": b"HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nok",
    "folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "space before the colon": b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok",
    "no name": b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nok",
    "name that is no token": b"HTTP/1.1 200 OK\r\nX(y): a\r\nContent-Length: 2\r\n\r\nok",
    "length and coding": b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "coding and length": b"HTTP/1.1 200\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "other coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    "two codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding twice": b"HTTP/1.1 200 OK" + b"\r\nTransfer-Encoding: chunked" * 2 + b"\r\n\r\n0\r\n\r\n",
    "coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "101 nobody asked for": b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nabc",
    "status 000": b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok",
    "status 999": b"HTTP/1.1 999 OK\r\nContent-Length: 2\r\n\r\nok",
    "status of four digits": b"HTTP/1.1 0200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (MAX_FIELDS + 1) + b"\r\n",
    "much of headers": b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"y" * 4000 + b"\r\n") * 20 + b"\r\n",
    "one header without an end": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
    "interim answers without an end": b"HTTP/1.1 103 X\r\n\r\n" * 10_000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_head_that_two_readers_could_read_differently_is_refused(data: bytes, at_once: bool) -> None:
    step = len(data) if at_once else 7
    reader = AnswerReader()
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    with pytest.raises(BadAnswer):
        feed_all(reader, pieces)
    assert reader.head is None
    assert not reader.keep_alive


@pytest.mark.parametrize(
    "chunks",
    [
        b"2 \r\nok\r\n0\r\n\r\n",
        b"-2\r\nok",
        b"f" * 17 + b"\r\n",
        b"2\nok",
        b"2\r\nokX",
        b"0\r\nX\0: 1\r\n\r\n",
    ],
)
def test_a_chunk_that_two_readers_could_read_differently_breaks_the_body(chunks: bytes) -> None:
    reader = AnswerReader()
    with pytest.raises(BadAnswer):
        reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    assert not reader.ended


@pytest.mark.parametrize(
    "extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"garbage"], ids=["answer", "garbage"]
)
def test_what_comes_behind_an_answer_spoils_the_connection_and_not_the_answer(extra: bytes) -> None:
    reader = AnswerReader()
    with pytest.raises(BadAnswer):
        reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + extra)
    assert (reader.ended, b"".join(reader.pieces), reader.keep_alive) == (True, b"ok", False)


def test_a_body_behind_the_answer_to_head_spoils_the_connection() -> None:
    reader = AnswerReader()
    reader.expect("HEAD")
    with pytest.raises(BadAnswer):
        reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (reader.ended, list(reader.pieces), reader.keep_alive) == (True, [], False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
    ],
)
def test_an_answer_cut_short_is_told(data: bytes) -> None:
    with pytest.raises(CutShort):
        read(data, [])


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_whether_the_connection_may_be_kept(head: bytes, keep_alive: bool) -> None:
    reader = AnswerReader()
    reader.feed(head + b"Content-Length: 0\r\n\r\n")
    assert (reader.ended, reader.keep_alive) == (True, keep_alive)


def test_one_reader_reads_many_answers() -> None:
    reader = AnswerReader()
    for method, data, body in [
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2000\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"x"),
    ]:
        reader.expect(method)
        assert not reader.begun
        reader.feed(data)
        assert (reader.ended, b"".join(reader.pieces), reader.keep_alive) == (True, body, True)


def test_a_switch_of_protocols_leaves_what_belongs_to_the_new_one() -> None:
    reader = AnswerReader()
    reader.expect("GET", switch=True)
    reader.feed(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00")
    assert reader.head is not None
    assert (reader.head.status, reader.ended, reader.leftover) == (101, True, b"\x81\x00")


# Requests


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"]),
    target=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20),
    fields=FIELDS,
    body=st.binary(max_size=20),
)
def test_what_is_written_is_read_the_same_way(method: str, target: str, fields: Headers, body: bytes) -> None:
    head, declared = encode_head(OutboundRequest(method, f"/{target}", fields, body), AUTH)
    assert declared == len(body)
    server = h11.Connection(h11.SERVER)
    server.receive_data(head + body)
    request = server.next_event()
    assert isinstance(request, h11.Request)
    assert (request.method, request.target) == (method.encode(), f"/{target}".encode())
    expected = [(name.lower(), value) for name, value in fields]
    got = [(name, value) for name, value in request.headers if name not in (b"host", b"content-length")]
    assert got == expected
    assert dict(request.headers)[b"host"] == b"auth:9001"
    event, read_back = server.next_event(), b""
    while isinstance(event, h11.Data):
        read_back += bytes(event.data)
        event = server.next_event()
    assert isinstance(event, h11.EndOfMessage)
    assert read_back == body


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (OutboundRequest("GET", "/x", []), b"GET /x HTTP/1.1\r\nHost: h:1\r\n\r\n"),
        (OutboundRequest("GET", "/x", [(b"hOsT", b"a")]), b"GET /x HTTP/1.1\r\nhOsT: a\r\n\r\n"),
        (
            OutboundRequest("POST", "/x", [(b"Host", b"a")]),
            b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            OutboundRequest("PUT", "/x", [(b"content-length", b"2"), (b"Host", b"a")], b"ok"),
            b"PUT /x HTTP/1.1\r\ncontent-length: 2\r\nHost: a\r\n\r\n",
        ),
    ],
)
def test_what_is_added_to_a_head(request_: OutboundRequest, expected: bytes) -> None:
    assert encode_head(request_, H)[0] == expected


@pytest.mark.parametrize(
    "headers",
    [
        [(b"X", b"a\r\nY: z")],
        [(b"X", b"a\n")],
        [(b"X", b"a\r")],
        [(b"X", b"a\0")],
        [(b"X\r\nY", b"a")],
        [(b"Content-Length", b"3")],
        [(b"Content-Length", b"2"), (b"content-length", b"2")],
        [(b"Content-Length", b"+2")],
        [(b"Transfer-Encoding", b"chunked")],
    ],
    ids=str,
)
def test_what_could_be_read_in_two_ways_is_not_written(headers: Headers) -> None:
    with pytest.raises(BadRequest):
        encode_head(OutboundRequest("POST", "/", headers, b"ok"), H)


@pytest.mark.parametrize(
    ("body", "end"), [(b"", b"\r\n\r\n"), (b"ab", b"\r\nContent-Length: 2\r\n\r\n")], ids=["none", "some"]
)
def test_what_is_left_of_the_calls_time_is_told(body: bytes, end: bytes) -> None:
    request = OutboundRequest("GET", "/", [(b"Host", b"x")], body)
    head, _ = encode_head(request, H, 1.5)
    assert head == b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Timeout-Ms: 1500" + end
    assert b"Timeout" not in encode_head(request, H)[0]
    switching = OutboundRequest("GET", "/", [(b"Host", b"x")], switch=True)
    assert b"Timeout" not in encode_head(switching, H, 1.5)[0]


@pytest.mark.parametrize(
    ("line", "eject"),
    [
        (b"X-Quaymaster-Eject: 30\r\n", b"30"),
        (b"x-quaymaster-eject: true\r\nX-Quaymaster-Eject: 5\r\n", b"true"),
        (b"X-Quaymaster-Other: 30\r\n", None),
        (b"", None),
    ],
)
def test_an_instance_that_asks_for_its_ejection_is_heard(line: bytes, eject: bytes | None) -> None:
    reader = AnswerReader()
    reader.expect("GET")
    reader.feed(b"HTTP/1.1 200 OK\r\n" + line + b"Content-Length: 0\r\n\r\n")
    assert reader.head is not None
    assert reader.head.eject == eject
