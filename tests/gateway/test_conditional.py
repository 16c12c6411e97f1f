"""Conditional requests, a client's and ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.conditional import (
    conditions,
    is_not_modified,
    is_tag,
    names_tag,
    of_a_304,
    refreshed,
    unconditional,
)

OLD, MIDDLE, NEW = (b"Sun, 06 Nov %d 08:49:37 GMT" % year for year in (1994, 2004, 2014))


@pytest.mark.parametrize(
    ("listed", "etag", "same"),
    [
        (b'"a"', b'"a"', True),
        (b'"b"', b'"a"', False),
        (b'W/"a"', b'"a"', True),
        (b'"a"', b'W/"a"', True),
        (b'"x", W/"a" ,"y"', b'"a"', True),
        (b'"x,"a","y"', b'"a"', False),
        (b'"a,b"', b'"a,b"', True),
        (b'"a b"', b'"a b"', False),
        (b'"a" , ,', b'"a"', True),
        (b"*", b'"a"', True),
        (b" * ", b"", True),
        (b"a", b'"a"', False),
        (b"a", b"a", False),
        (b'"a" nonsense', b'"a"', False),
        (b'w/"a"', b'"a"', False),
        (b"", b'"a"', False),
        (b'""', b'""', True),
    ],
)
def test_a_list_of_tags(listed: bytes, etag: bytes, same: bool) -> None:
    assert names_tag(listed, etag) is same


def test_what_is_a_tag() -> None:
    assert all(map(is_tag, (b'"a"', b'W/"a"', b'""', b'"\xe9"')))
    assert not any(map(is_tag, (b"a", b'w/"a"', b'"a', b'"a""', b'"a b"', b"")))


@pytest.mark.parametrize(
    ("asked", "modified", "same"),
    [
        ({b"if-modified-since": MIDDLE}, OLD, True),
        ({b"if-modified-since": MIDDLE}, MIDDLE, True),
        ({b"if-modified-since": MIDDLE}, NEW, False),
        ({b"if-modified-since": MIDDLE}, b"", False),
        ({b"if-modified-since": b"yesterday"}, OLD, False),
        ({b"if-modified-since": MIDDLE, b"if-none-match": b'"other"'}, OLD, False),
        ({b"if-modified-since": OLD, b"if-none-match": b'"a"'}, NEW, True),
        ({}, OLD, False),
    ],
)
def test_dates_count_where_no_tag_does(asked: dict[bytes, bytes], modified: bytes, same: bool) -> None:
    assert is_not_modified(asked, b'"a"', modified) is same


def test_an_instance_is_asked_by_all_there_is() -> None:
    assert conditions(b'"a"', OLD) == [(b"If-None-Match", b'"a"'), (b"If-Modified-Since", OLD)]
    assert conditions(b"", OLD) == [(b"If-Modified-Since", OLD)]
    assert conditions(b"", b"") == []


def test_a_304_renews_the_headers_but_not_those_of_the_body() -> None:
    kept = [(b"Content-Type", b"text/plain"), (b"X-A", b"1"), (b"X-A", b"2"), (b"Date", OLD)]
    told = [(b"content-type", b"text/html"), (b"x-a", b"3"), (b"Content-Length", b"0"), (b"ETag", b'"b"')]
    assert refreshed(kept, told) == [
        (b"Content-Type", b"text/plain"),
        *((b"x-a", b"3"), (b"ETag", b'"b"')),
    ]


def test_a_304_says_nothing_of_the_body() -> None:
    kept = [
        (b"Content-Type", b"text/plain"),
        (b"ETag", b'"a"'),
        (b"Content-Location", b"/x"),
        (b"Vary", b"A"),
    ]
    assert of_a_304(kept) == kept[1:]


def test_the_clients_conditions_stay_here() -> None:
    own = [(b"If-None-Match", b"*"), (b"IF-MODIFIED-SINCE", OLD), (b"If-Match", b"*"), (b"Accept", b"*/*")]
    assert unconditional(own) == own[2:]


@given(st.binary(max_size=80), st.binary(max_size=20))
def test_nothing_makes_it_fail(listed: bytes, etag: bytes) -> None:
    if names_tag(listed, etag):
        assert listed.strip(b", \t") == b"*" or etag.removeprefix(b"W/") in listed


@given(st.lists(st.from_regex(rb'(W/)?"[!#-~]{0,8}"', fullmatch=True), min_size=1, max_size=6), st.data())
def test_every_tag_of_a_list_is_found(tags: list[bytes], data: st.DataObject) -> None:
    assert names_tag(b", ".join(tags), data.draw(st.sampled_from(tags)))
