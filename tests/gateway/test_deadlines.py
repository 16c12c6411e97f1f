"""`X-Request-Timeout-Ms`, as callers write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.deadlines import Malformed, read_deadline


def test_who_says_nothing_has_no_deadline() -> None:
    assert read_deadline(()) is None


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("1", 0.001), ("1500", 1.5), ("000250", 0.25)])
def test_milliseconds_are_read_as_seconds(text: str, seconds: float) -> None:
    assert read_deadline((text,)) == seconds


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.5", "1s", " 1", "1 ", "1e3", "0x10", "1" * 13, "١٢", "²"]
)
def test_what_is_no_whole_number_is_malformed(text: str) -> None:
    assert isinstance(read_deadline((text,)), Malformed)


def test_a_repeated_header_is_malformed_even_where_both_say_the_same() -> None:
    assert isinstance(read_deadline(("100", "100")), Malformed)


@given(st.text(max_size=20))
def test_any_text_is_a_time_or_malformed(text: str) -> None:
    found = read_deadline((text,))
    assert isinstance(found, Malformed) or (isinstance(found, float) and 0 <= found < 10**9)
