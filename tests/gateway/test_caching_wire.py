"""Kept answers as bytes."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.caching import Stored
from gateway.caching_wire import VERSION, pack, unpack

TEXTS = st.binary(max_size=30)
TIMES = st.floats(0, 2e9)
FLAGS = st.booleans()
ANSWERS = st.builds(
    Stored,
    status=st.integers(200, 599),
    reason=TEXTS,
    headers=st.lists(st.tuples(TEXTS, TEXTS), max_size=4).map(tuple),
    body=st.binary(max_size=100),
    born_at=TIMES,
    fresh_s=TIMES,
    stale_s=TIMES,
    strict=FLAGS,
    always_ask=FLAGS,
    by_ttl=FLAGS,
    etag=TEXTS,
    modified=TEXTS,
)


@given(ANSWERS)
def test_what_is_written_is_read(stored: Stored) -> None:
    assert unpack(pack(stored)) == stored


@given(ANSWERS, st.data())
def test_what_was_cut_short_is_no_answer(stored: Stored, data: st.DataObject) -> None:
    packed = pack(stored)
    assert unpack(packed[: data.draw(st.integers(0, len(packed) - 1))]) is None
    assert unpack(packed + b"x") is None


@given(st.binary(max_size=120))
def test_nothing_makes_it_fail(data: bytes) -> None:
    unpack(data)
    unpack(VERSION + data)


def test_another_version_is_no_answer() -> None:
    stored = Stored(200, b"OK", (), b"x", 0.0, 1.0, 0.0, False, False, False, b"", b"")
    assert unpack(b"q0" + pack(stored)[2:]) is None
