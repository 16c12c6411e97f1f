"""Heads of answers, judged by another reader of HTTP: h11."""

from email.utils import parsedate_to_datetime
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.answer_head import (
    LAST_CHUNK,
    AnswerHead,
    Framing,
    Pairs,
    answer_head,
    chunk,
    date_line,
    status_line,
    switch_head,
    whole_answer,
)

NOW = 1_795_000_000
BODY = b"hello"


def head(
    method: str = "GET",
    version: tuple[int, int] = (1, 1),
    status: int = 200,
    own: Pairs = (),
    *,
    keep_alive: bool = True,
    **facts: Any,
) -> AnswerHead:
    return answer_head(method, version, status, own, keep_alive=keep_alive, second=NOW, **facts)


def whole(
    method: str = "GET",
    version: tuple[int, int] = (1, 1),
    status: int = 200,
    own: Pairs = (),
    body: bytes = b"",
    *,
    keep_alive: bool = True,
    **facts: Any,
) -> bytes:
    return whole_answer(method, version, status, own, body, keep_alive=keep_alive, second=NOW, **facts)


def read_by_h11(method: str, data: bytes, body: bytes = b"") -> tuple[h11.Response, bytes, bool]:
    """The answer as h11 takes it, its body, and whether the connection is good for another one."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(data + body)
    response = reader.next_event()
    assert isinstance(response, h11.Response)
    received = b""
    while True:
        event = reader.next_event()
        if isinstance(event, h11.Data):
            received += bytes(event.data)
        elif event is h11.NEED_DATA:
            reader.receive_data(b"")
        else:
            assert isinstance(event, h11.EndOfMessage)
            return response, received, reader.their_state is h11.DONE


@pytest.mark.parametrize(
    ("method", "version", "status", "announced", "framing"),
    [
        ("GET", (1, 1), 200, b"5", Framing.LENGTH),
        ("GET", (1, 1), 200, b"0", Framing.LENGTH),
        ("GET", (1, 1), 200, None, Framing.CHUNKED),
        ("GET", (1, 0), 200, None, Framing.CLOSE),
        ("GET", (1, 0), 200, b"5", Framing.LENGTH),
        ("HEAD", (1, 1), 200, b"5", Framing.NONE),
        ("HEAD", (1, 0), 200, None, Framing.NONE),
        ("GET", (1, 1), 304, b"5", Framing.NONE),
        ("GET", (1, 1), 204, None, Framing.NONE),
        ("GET", (1, 1), 204, b"5", Framing.NONE),
        ("HEAD", (1, 1), 204, b"0", Framing.NONE),
    ],
)
def test_how_a_body_to_come_ends_is_decided_once_and_everybody_reads_it_so(
    method: str, version: tuple[int, int], status: int, announced: bytes | None, framing: Framing
) -> None:
    theirs = [] if announced is None else [(b"content-length", announced)]
    made = head(method, version, status, theirs=theirs)
    assert made.framing is framing
    sent = b""
    if framing is Framing.CLOSE or announced == b"5":
        sent = BODY
    if framing is Framing.CHUNKED:
        sent = chunk(BODY[:2]) + chunk(BODY[2:]) + LAST_CHUNK
    if framing is Framing.NONE:
        sent = b""
    response, received, goes_on = read_by_h11(method, made.data, sent)
    lengths = [value for name, value in response.headers if name == b"content-length"]
    assert lengths == ([] if announced is None or status == 204 else [announced])
    assert received == (BODY if sent else b"")
    assert goes_on is made.keep_alive is (framing is not Framing.CLOSE)


@pytest.mark.parametrize(
    ("method", "version", "status", "announced", "length"),
    [
        ("GET", (1, 1), 200, None, b"5"),
        ("GET", (1, 0), 200, None, b"5"),
        ("GET", (1, 1), 200, b"7", b"5"),
        ("HEAD", (1, 1), 200, b"7", b"7"),
        ("HEAD", (1, 1), 200, None, None),
        ("GET", (1, 1), 304, b"7", b"7"),
        ("GET", (1, 1), 304, None, None),
        ("GET", (1, 1), 204, b"7", None),
        ("HEAD", (1, 1), 204, b"0", None),
    ],
)
def test_a_body_that_is_at_hand_is_as_long_as_it_is(
    method: str, version: tuple[int, int], status: int, announced: bytes | None, length: bytes | None
) -> None:
    theirs = [] if announced is None else [(b"content-length", announced)]
    response, received, goes_on = read_by_h11(
        method, whole(method, version, status, body=BODY, theirs=theirs)
    )
    assert [value for name, value in response.headers if name == b"content-length"] == (
        [] if length is None else [length]
    )
    assert received == (BODY if length == b"5" else b"")
    assert goes_on


@pytest.mark.parametrize(
    ("version", "keep_alive", "said"),
    [
        ((1, 1), True, []),
        ((1, 1), False, [b"close"]),
        ((1, 0), True, [b"keep-alive"]),
        ((1, 0), False, [b"close"]),
        ((2, 0), False, [b"close"]),
        ((0, 9), False, [b"close"]),
    ],
)
def test_connection_says_what_the_version_does_not(
    version: tuple[int, int], keep_alive: bool, said: list[bytes]
) -> None:
    facts: dict[str, Any] = {"version": version, "keep_alive": keep_alive}
    for data in (whole(**facts), head(**facts, theirs=[(b"Content-Length", b"0")]).data):
        response, _, goes_on = read_by_h11("GET", data)
        assert [value for name, value in response.headers if name == b"connection"] == said
        assert goes_on is keep_alive


def test_an_answer_of_unknown_length_to_http_1_0_ends_the_connection_whatever_the_client_wished() -> None:
    made = head(version=(1, 0), keep_alive=True)
    assert made.keep_alive is False
    assert b"\r\nConnection: close\r\n" in made.data


def test_an_instances_bytes_are_not_touched() -> None:
    theirs = [
        (b"X-Odd", b"caf\xe9 \xff\x80"),
        (b"SET-cookie", b"a"),
        (b"set-Cookie", b"b"),
        (b"X-Empty", b""),
    ]
    data = whole(theirs=theirs, reason=b"Tr\xe8s bien")
    assert data.startswith(
        b"HTTP/1.1 200 Tr\xe8s bien\r\nX-Odd: caf\xe9 \xff\x80\r\nSET-cookie: a\r\nset-Cookie: b\r\n"
    )
    assert b"X-Empty: \r\n" in data


def test_what_both_say_the_gateway_says_and_vary_is_true_twice() -> None:
    theirs = [(b"x-request-ID", b"theirs"), (b"Vary", b"Accept"), (b"X-Kept", b"1")]
    own = (("X-Request-Id", "ours"), ("Vary", "Origin"))
    lines = whole(own=own, theirs=theirs).split(b"\r\n")
    assert b"X-Request-Id: ours" in lines
    assert not [line for line in lines if b"theirs" in line]
    assert {b"Vary: Accept", b"Vary: Origin", b"X-Kept: 1"} <= set(lines)


def test_the_date_is_an_instances_own_where_it_has_one() -> None:
    ours = read_by_h11("GET", whole())[0]
    (date,) = [value.decode() for name, value in ours.headers if name == b"date"]
    assert parsedate_to_datetime(date).timestamp() == NOW
    theirs = whole(theirs=[(b"date", b"then")])
    assert theirs.count(b"ate: ") == 1
    assert date_line(NOW + 1) != date_line(NOW)


def test_nothing_is_made_up_beside_the_date_and_the_length() -> None:
    names = [line.split(b":")[0] for line in whole().split(b"\r\n")[1:-2]]
    assert names == [b"Date", b"Content-Length"]


@pytest.mark.parametrize("status", [200, 299, 404, 418, 599])
def test_a_status_without_a_phrase_gets_the_usual_one_or_none(status: int) -> None:
    line = status_line(status)
    assert line.startswith(b"HTTP/1.1 %d " % status)
    assert status_line(404) == b"HTTP/1.1 404 Not Found"
    assert status_line(404, b"Gone fishing") == b"HTTP/1.1 404 Gone fishing"
    assert whole(status=status).startswith(line + b"\r\n")


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nX: y", "a\rb", "\r\n"])
def test_a_line_break_never_begins_another_header(value: str) -> None:
    for make in (head, whole):
        with pytest.raises(ValueError, match="line break"):
            make(own=(("X-Name", value),))
        with pytest.raises(ValueError, match="line break"):
            make(theirs=[(b"X-Name", value.encode())])
        with pytest.raises(ValueError, match="line break"):
            make(theirs=[(b"X" + value.encode(), b"")])
        with pytest.raises(ValueError, match="line break"):
            make(reason=value.encode())
    with pytest.raises(ValueError, match="line break"):
        switch_head(b"", (("X-Name", value),), ())


names = st.text("abcXYZ-_019!", min_size=1, max_size=12).filter(
    lambda name: name.lower() not in ("content-length", "date", "connection", "transfer-encoding")
)
values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


@given(
    theirs=st.lists(st.tuples(names, values), max_size=6),
    own=st.lists(st.tuples(names, values), max_size=4),
    body=st.binary(max_size=200),
)
def test_any_headers_come_out_as_they_went_in(
    theirs: list[tuple[str, str]], own: list[tuple[str, str]], body: bytes
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in theirs]
    response, received, _ = read_by_h11("GET", whole(own=own, theirs=raw, body=body))
    replaced = {name.lower() for name, _ in own} - {"vary"}
    expected = [(n.lower(), v) for n, v in theirs if n.lower() not in replaced]
    expected += [(n.lower(), v) for n, v in own]
    got = [(n.decode(), v.decode()) for n, v in response.headers][: len(expected)]
    assert (got, received) == (expected, body)


@given(pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=8))
def test_any_pieces_make_one_body(pieces: list[bytes]) -> None:
    sent = b"".join(map(chunk, pieces)) + LAST_CHUNK
    assert read_by_h11("GET", head().data, sent)[1] == b"".join(pieces)
