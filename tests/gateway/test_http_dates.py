"""Dates as HTTP writes them."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http_dates import read_date

NOVEMBER = 784_111_777


@pytest.mark.parametrize(
    "text",
    [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"],
)
def test_all_three_forms_are_read(text: bytes) -> None:
    assert read_date(text) == NOVEMBER
    assert read_date(b" " + text + b"\t") == NOVEMBER


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0",
        b"-1",
        b"784111777",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun, 06 nov 1994 08:49:37 GMT",
        b"Sun, 31 Feb 1994 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1969 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT".encode(),
    ],
)
def test_what_is_none_is_none(text: bytes) -> None:
    assert read_date(text) is None


def test_years_of_two_digits_are_of_our_time() -> None:
    assert read_date(b"Tuesday, 01-Jan-69 00:00:00 GMT") == read_date(b"Tue, 01 Jan 2069 00:00:00 GMT")
    assert read_date(b"Thursday, 01-Jan-70 00:00:00 GMT") == 0


def test_leap_days_are_days() -> None:
    assert read_date(b"Tue, 29 Feb 2000 00:00:00 GMT") is not None
    assert read_date(b"Thu, 29 Feb 2024 00:00:00 GMT") is not None
    assert read_date(b"Sat, 29 Feb 2025 00:00:00 GMT") is None
    assert read_date(b"Mon, 29 Feb 2100 00:00:00 GMT") is None


@given(st.integers(0, 4_000_000_000))
def test_what_is_written_is_read(seconds: int) -> None:
    assert read_date(formatdate(seconds, usegmt=True).encode()) == seconds


@given(st.binary(max_size=60))
def test_nothing_makes_it_fail(text: bytes) -> None:
    read = read_date(text)
    assert read is None or read >= 0
