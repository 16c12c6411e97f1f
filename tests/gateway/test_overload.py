"""When there is room for one more request, and which requests can be refused at sight."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.overload import BURST, has_room, plain_get

BEARABLE_S = 0.1
PACE = 1000.0
IN_TIME = int(PACE * BEARABLE_S)
"""As many leave the queue in the time that is bearable."""


def room(*, waiting: int, standing_s: float, **other: Any) -> bool:
    facts: dict[str, Any] = {"in_flight": 0, "max_in_flight": 10_000, "pace": PACE, **other}
    return has_room(waiting=waiting, empty_at=0.0, max_queue_s=BEARABLE_S, now=standing_s, **facts)


def test_who_is_served_in_time_is_let_in() -> None:
    assert room(waiting=0, standing_s=100)
    assert room(waiting=IN_TIME, standing_s=100)


def test_who_would_wait_too_long_in_a_standing_queue_is_refused() -> None:
    assert not room(waiting=IN_TIME + 1, standing_s=100)


def test_a_burst_may_wait_longer_but_not_for_ever() -> None:
    assert room(waiting=BURST * IN_TIME, standing_s=BEARABLE_S)
    assert not room(waiting=BURST * IN_TIME + 1, standing_s=BEARABLE_S)


@pytest.mark.parametrize(("in_flight", "waiting"), [(50, 0), (0, 50), (30, 20)])
def test_there_are_never_more_than_so_many(in_flight: int, waiting: int) -> None:
    assert not room(waiting=waiting, standing_s=0, in_flight=in_flight, max_in_flight=50)
    assert room(waiting=waiting, standing_s=0, in_flight=in_flight, max_in_flight=51)


@given(waiting=st.integers(0, 10_000), standing_s=st.floats(0, 100), pace=st.floats(0, 1e6))
def test_one_fewer_in_the_queue_never_costs_anybody_the_place(
    waiting: int, standing_s: float, pace: float
) -> None:
    if room(waiting=waiting + 1, standing_s=standing_s, pace=pace):
        assert room(waiting=waiting, standing_s=standing_s, pace=pace)


# At sight


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a?b=%20 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nX-Empty:\r\n\r\n",
        b"GET /a HTTP/1.1\r\nhost: x\r\nCookie: a=b; c=d\r\nConnections: 5\r\n\r\n",
    ],
)
def test_a_plain_get_is_known(data: bytes) -> None:
    target = plain_get(data)
    assert (target is None) == data.lower().__contains__(b"connections")
    assert target in (None, data.split(b" ")[1])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\ncontent-LENGTH : 5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\nContent-Length: 5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_nothing_else_is(data: bytes) -> None:
    assert plain_get(data) is None


@given(st.binary(max_size=60), st.integers(0, 60))
def test_no_byte_put_anywhere_makes_it_end_elsewhere(extra: bytes, at: int) -> None:
    whole = b"GET /a HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n"
    data = whole[:at] + extra + whole[at:]
    if plain_get(data) is not None:
        assert data.index(b"\r\n\r\n") == len(data) - 4
        assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
