"""What may be answered with what is kept: RFC 9111, 4, case by case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache_control import RequestControl
from gateway.caching import (
    ASKED_ABOUT_S,
    Asked,
    Forward,
    Hit,
    Unavailable,
    confirmed,
    decide,
    is_known_to,
    may_stand_in,
    validators_of,
)
from gateway.caching_terms import Terms, judge_answer
from tests.gateway.cached_answers import FRESH, LONG_AGO, NOW, PLAN, asked, date, kept, pairs

# Using (RFC 9111, 4)


@pytest.mark.parametrize(
    ("said", "age_s", "found"),
    [
        ("", 0, "hit"),
        ("", 59, "hit"),
        ("", 60, "stale"),
        ("no-cache", 0, "request"),
        ("max-age=0", 0.5, "request"),
        ("max-age=30", 30, "hit"),
        ("max-age=30", 31, "request"),
        ("max-age=30", 61, "stale"),
        ("max-age=600", 61, "stale"),
        ("max-age=x", 5, "request"),
        ("min-fresh=10", 50, "hit"),
        ("min-fresh=10", 51, "request"),
        ("min-fresh=61", 0, "request"),
        ("max-stale", 5000, "old"),
        ("max-stale=10", 70, "old"),
        ("max-stale=10", 71, "stale"),
        ("max-stale=10, max-age=65", 68, "stale"),
        ("max-stale, min-fresh=1", 61, "stale"),
        ("max-stale, no-cache", 61, "request"),
        ("no-store", 5, "hit"),
        ("only-if-cached", 5, "hit"),
        ("only-if-cached", 61, "none"),
        ("only-if-cached, max-stale", 61, "old"),
        ("only-if-cached, no-cache", 5, "none"),
        ("nonsense, x=y", 5, "hit"),
    ],
)
def test_what_a_client_gets(said: str, age_s: float, found: str) -> None:
    stored = kept(FRESH)
    by = asked(cache_control=said) if said else asked()
    match decide(stored, by, NOW + age_s):
        case Hit(got, fresh):
            assert got is stored
            assert found == ("hit" if fresh else "old")
        case Forward(got, why):
            assert got is stored
            assert found == why
        case Unavailable():
            assert found == "none"


def test_pragma_counts_where_cache_control_says_nothing() -> None:
    stored = kept(FRESH)
    assert decide(stored, asked(pragma="no-cache"), NOW) == Forward(stored, "request")
    assert decide(stored, asked(pragma="no-cache", cache_control="max-stale"), NOW) == Hit(stored, True)


@pytest.mark.parametrize("said", ["must-revalidate", "proxy-revalidate", "s-maxage=60"])
def test_some_are_never_used_stale(said: str) -> None:
    stored = kept({"Cache-Control": f"max-age=60, {said}"}, stale_if_error_s=500.0)
    late = NOW + 61
    assert decide(stored, asked(cache_control="max-stale"), late) == Forward(stored, "stale")
    assert not may_stand_in(stored, late)


def test_what_must_be_asked_about_each_time_is() -> None:
    stored = kept({"Cache-Control": "max-age=60, no-cache", "ETag": '"a"'}, stale_if_error_s=500.0)
    for by in (asked(), asked(cache_control="max-stale")):
        assert decide(stored, by, NOW) == Forward(stored, "stale")
    assert not may_stand_in(stored, NOW)


def test_nothing_kept_is_a_miss() -> None:
    assert decide(None, asked(), NOW) == Forward(None, "miss")
    assert decide(None, asked(cache_control="only-if-cached"), NOW) == Unavailable()


@pytest.mark.parametrize(
    ("by", "why"),
    [
        (asked(content_length="5"), "body"),
        (asked(content_length="0"), ""),
        (asked(range="bytes=0-4"), "range"),
        (asked(if_match='"a"'), "precondition"),
        (asked(if_unmodified_since="x"), "precondition"),
        (asked(if_none_match='"a"'), ""),
        (asked(if_range='"a"'), ""),
    ],
)
def test_what_the_cache_has_no_part_in(by: Asked, why: str) -> None:
    assert by.bypass == why


# Errors (RFC 5861)


@pytest.mark.parametrize(
    ("said", "route_s", "age_s", "may"),
    [
        ("max-age=60", 30.0, 90, True),
        ("max-age=60", 30.0, 91, False),
        ("max-age=60", 0.0, 61, False),
        ("max-age=60", 0.0, 59, True),
        ("max-age=60, stale-if-error=100", 0.0, 160, True),
        ("max-age=60, stale-if-error=0", 30.0, 61, False),
    ],
)
def test_what_stands_in_for_an_error(said: str, route_s: float, age_s: float, may: bool) -> None:
    stored = kept({"Cache-Control": said}, stale_if_error_s=route_s)
    assert may_stand_in(stored, NOW + age_s) is may
    assert stored.keep_s(NOW) >= min(60 + route_s, 60)


def test_nothing_does_not() -> None:
    assert not may_stand_in(None, NOW)


def test_how_long_an_answer_is_kept() -> None:
    assert kept(FRESH).keep_s(NOW) == 60
    assert kept(FRESH, stale_if_error_s=30.0).keep_s(NOW) == 90
    assert kept(FRESH | {"ETag": '"a"'}, stale_if_error_s=30.0).keep_s(NOW) == 60 + ASKED_ABOUT_S
    assert kept({"Cache-Control": "s-maxage=60"}, stale_if_error_s=30.0).keep_s(NOW) == 60


# Validation (RFC 9111, 4.3)


def test_who_has_it_already() -> None:
    stored = kept(FRESH | {"ETag": 'W/"a"', "Last-Modified": LONG_AGO})
    assert is_known_to(asked(if_none_match='"b", "a"'), stored)
    assert not is_known_to(asked(if_none_match='"b"', if_modified_since=date(NOW).decode()), stored)
    assert is_known_to(asked(if_modified_since=date(NOW).decode()), stored)
    assert not is_known_to(asked(), stored)
    assert not is_known_to(asked(if_none_match="*"), kept(FRESH, status=404)), "the absence of something"


def test_a_304_is_about_one_answer() -> None:
    stored = kept(FRESH | {"ETag": '"a"'})
    assert confirmed(stored, pairs({"ETag": '"a"'}))
    assert confirmed(stored, pairs({"etag": 'W/"a"'}))
    assert confirmed(stored, [])
    assert not confirmed(stored, pairs({"ETag": '"b"'}))
    assert confirmed(kept(FRESH), pairs({"ETag": '"b"'}))


def test_it_makes_the_answer_new() -> None:
    old = kept(FRESH | {"ETag": '"a"', "X-A": "1", "Date": date(NOW - 50)})
    told = pairs({"Cache-Control": "max-age=100", "X-A": "2", "Date": date(NOW)})
    renewed = old.renewed(told)
    terms = judge_answer(PLAN, asked(), old.status, b"", renewed, renewed, NOW, NOW)
    assert isinstance(terms, Terms)
    assert terms.head.left_s(NOW) == 100
    assert dict(terms.head.headers)[b"X-A"] == b"2"
    assert terms.head.etag == b'"a"'


def test_the_first_validator_counts() -> None:
    assert validators_of([(b"ETag", b' "a"'), (b"etag", b'"b"'), (b"Last-Modified", b"x")]) == (b'"a"', b"x")


# Whatever comes


@given(
    st.builds(
        RequestControl,
        max_age_s=st.none() | st.integers(0, 100),
        min_fresh_s=st.integers(0, 100),
        max_stale_s=st.integers(0, 100),
    ),
    st.floats(0, 200),
)
def test_no_client_gets_what_it_did_not_want(control: RequestControl, age_s: float) -> None:
    stored = kept(FRESH)
    found = decide(stored, Asked({}, control, False), NOW + age_s)
    if isinstance(found, Hit):
        age = stored.age_s(NOW + age_s)
        assert control.max_age_s is None or age <= control.max_age_s
        assert 60 - age >= control.min_fresh_s or control.min_fresh_s == 0
        assert age - 60 <= control.max_stale_s
        assert found.fresh is (age < 60)
