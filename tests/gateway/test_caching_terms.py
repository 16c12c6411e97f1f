"""What may be kept: RFC 9111, 3 and 4.2, case by case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache_control import LONGEST_S
from gateway.caching import ASKED_ABOUT_S, Forward, Hit, decide
from gateway.caching_terms import Terms, announced_length, judge_answer
from tests.gateway.cached_answers import FRESH, LONG_AGO, NOW, PLAN, Lines, asked, date, judged, kept, pairs

# Keeping (RFC 9111, 3)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ({}, "lifetime"),
        ({"Cache-Control": "public"}, "lifetime"),
        ({"Cache-Control": "max-age=0"}, "lifetime"),
        ({"Cache-Control": "max-age=-5"}, "lifetime"),
        ({"Cache-Control": "no-cache"}, "lifetime"),
        ({"Cache-Control": "max-age=60, no-store"}, "no-store"),
        ({"Cache-Control": "max-age=60, private"}, "private"),
        ({"Cache-Control": 'max-age=60, private="X-A"'}, "private"),
        ({"Cache-Control": "s-maxage=0, max-age=60"}, "lifetime"),
        ({"Expires": "0"}, "lifetime"),
        ({"Expires": "soon"}, "lifetime"),
        ({"Expires": date(NOW - 1)}, "lifetime"),
        ({"Expires": date(NOW + 60), "Date": date(NOW + 60)}, "lifetime"),
        ({"Expires": date(NOW + 60), "Cache-Control": "max-age=0"}, "lifetime"),
        (FRESH | {"Set-Cookie": "a=b"}, "set-cookie"),
        (FRESH | {"set-cookie2": "a=b"}, "set-cookie"),
        (FRESH | {"Vary": "*"}, "vary"),
        (FRESH | {"Vary": "Accept, *"}, "vary"),
        (FRESH | {"Content-Range": "bytes 0-4/10"}, "status"),
        (FRESH | {"Content-Type": "text/event-stream; charset=utf-8"}, "endless"),
        (FRESH | {"Age": "60"}, "lifetime"),
        (FRESH | {"Age": "9999999999"}, "lifetime"),
        (FRESH | {"Date": date(NOW - 60)}, "lifetime"),
    ],
)
def test_these_are_not_kept(lines: Lines, why: str) -> None:
    assert judged(lines) == why


@pytest.mark.parametrize(
    ("lines", "left_s"),
    [
        (FRESH, 60),
        ({"Cache-Control": 'MAX-AGE="60"'}, 60),
        ({"Cache-Control": "max-age=1, s-maxage=60"}, 60),
        ({"Cache-Control": "max-age=60, s-maxage=10"}, 10),
        ({"Cache-Control": "max-age=60, max-age=10"}, 10),
        ({"Cache-Control": "max-age=99999999999"}, LONGEST_S),
        ({"Expires": date(NOW + 60)}, 60),
        ({"Expires": date(NOW + 60), "Date": date(NOW - 20)}, 60),
        ({"Expires": date(NOW + 10), "Cache-Control": "max-age=60"}, 60),
        ({"Expires": "0", "Cache-Control": "max-age=60"}, 60),
        (FRESH | {"Age": "20"}, 40),
        (FRESH | {"Age": "x"}, 60),
        (FRESH | {"Age": "-5"}, 60),
        (FRESH | {"Date": date(NOW - 20)}, 40),
        (FRESH | {"Date": date(NOW - 20), "Age": "30"}, 30),
        (FRESH | {"Date": date(NOW + 500)}, 60),
        (FRESH | {"Date": "today"}, 60),
        (FRESH | {"Pragma": "no-cache"}, 60),
        (FRESH | {"Content-Type": "text/plain", "X-Any": "1"}, 60),
    ],
)
def test_how_long_they_are_fresh(lines: Lines, left_s: float) -> None:
    assert kept(lines).left_s(NOW) == left_s


def test_the_time_on_the_way_counts_as_age() -> None:
    assert kept(FRESH, sent_s=15.0).left_s(NOW) == 45
    assert kept(FRESH | {"Age": "10"}, sent_s=15.0).left_s(NOW) == 35
    assert kept(FRESH, sent_s=-15.0).left_s(NOW) == 60, "a clock that was put back"


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 302, 307, 308, 404, 410, 501])
def test_statuses_that_are_kept_when_they_say_so(status: int) -> None:
    assert kept(FRESH, status=status).status == status


@pytest.mark.parametrize("status", [206, 304, 400, 401, 403, 408, 416, 418, 429, 500, 502, 503, 504, 599])
def test_statuses_that_are_never_kept(status: int) -> None:
    assert judged(FRESH, status=status, ttl_s=60.0) == "status"


@pytest.mark.parametrize(
    ("status", "is_kept"), [(200, True), (301, True), (404, True), (302, False), (405, False), (501, False)]
)
def test_which_are_kept_for_the_routes_time(status: int, is_kept: bool) -> None:
    terms = judged({}, status=status, ttl_s=60.0)
    assert isinstance(terms, Terms) is is_kept


def test_the_routes_time_is_for_answers_that_do_not_say_it_themselves() -> None:
    assert kept({}, ttl_s=30.0).left_s(NOW) == 30
    assert kept({"Cache-Control": "public"}, ttl_s=30.0).left_s(NOW) == 30
    assert kept(FRESH, ttl_s=30.0).left_s(NOW) == 60
    for said in ("no-store", "private", "max-age=0"):
        assert isinstance(judged({"Cache-Control": said}, ttl_s=30.0), str)
    assert isinstance(judged({"Expires": "0"}, ttl_s=30.0), str)
    assert isinstance(judged({"Set-Cookie": "a=b"}, ttl_s=30.0), str)


def test_what_can_be_asked_about_is_kept_although_it_is_not_fresh() -> None:
    for lines in ({"Cache-Control": "no-cache"}, {"Cache-Control": "max-age=0"}, {"Expires": "0"}):
        for validator in ({"ETag": '"a"'}, {"Last-Modified": LONG_AGO}):
            stored = kept({**lines, **validator})
            assert stored.can_be_asked_about
            assert stored.keep_s(NOW) == ASKED_ABOUT_S
        for none in ({"ETag": "a"}, {"Last-Modified": "once"}):
            assert judged({**lines, **none}) == "lifetime"


@pytest.mark.parametrize("credential", ["authorization", "token", "x_api_key"])
@pytest.mark.parametrize(
    ("said", "shared"),
    [
        ("max-age=60", False),
        ("max-age=60, proxy-revalidate", False),
        ("max-age=60, public", True),
        ("max-age=60, must-revalidate", True),
        ("s-maxage=60", True),
    ],
)
def test_what_was_asked_for_with_credentials(credential: str, said: str, shared: bool) -> None:
    """RFC 9111, 3.5."""
    terms = judged({"Cache-Control": said}, by=asked(**{credential: "secret"}))
    assert isinstance(terms, Terms) if shared else terms == "credentials"
    own = judged({"Cache-Control": said}, by=asked(True, **{credential: "secret"}))
    assert isinstance(own, Terms), "a user's own answers are the user's"


def test_no_answer_is_shared_by_default_that_a_cookie_may_have_shaped() -> None:
    with_cookie = asked(cookie="session=1")
    assert judged({}, by=with_cookie, ttl_s=60.0) == "credentials"
    assert isinstance(judged(FRESH, by=with_cookie), Terms), "it says itself that it may be kept"
    by_ttl, said = kept({}, ttl_s=60.0), kept(FRESH)
    assert isinstance(decide(by_ttl, with_cookie, NOW), Forward)
    assert isinstance(decide(by_ttl, asked(authorization="x"), NOW), Forward)
    assert isinstance(decide(said, with_cookie, NOW), Hit)
    assert isinstance(decide(by_ttl, asked(True, cookie="session=1"), NOW), Hit)


def test_a_request_can_ask_not_to_be_kept() -> None:
    assert judged(FRESH, by=asked(cache_control="no-store")) == "no-store"


def test_what_is_of_one_answer_only_is_not_kept() -> None:
    lines: Lines = FRESH | {"Age": "5", "Content-Length": "5", "X-Request-Id": "1", "Date": date(NOW)}
    assert {name for name, _ in kept(lines).headers} == {b"Cache-Control", b"Date"}


@pytest.mark.parametrize("given_date", [{}, {"Date": "today"}])
def test_an_answer_without_a_date_gets_one(given_date: Lines) -> None:
    assert (b"Date", date(NOW)) in kept({**FRESH, **given_date}).headers
    assert [n for n, _ in kept({**FRESH, **given_date}).headers].count(b"Date") == 1


@pytest.mark.parametrize(
    ("status", "lines", "length"),
    [
        (200, {"Content-Length": "5"}, 5),
        (200, {"Transfer-Encoding": "chunked"}, 0),
        (200, {"Connection": "close"}, None),
        (204, {}, 0),
        (200, {"Content-Length": "5, 5"}, None),
    ],
)
def test_what_ends_with_its_connection_may_have_been_cut(
    status: int, lines: Lines, length: int | None
) -> None:
    assert announced_length(status, pairs(lines)) == length


# Whatever comes


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                b"Cache-Control",
                b"Expires",
                b"Date",
                b"Age",
                b"Vary",
                b"ETag",
                b"Last-Modified",
                b"Pragma",
                b"X",
            ]
        ),
        st.sampled_from(
            [
                b"max-age=60",
                b"s-maxage=5",
                b"no-store",
                b"private",
                b"public",
                b"no-cache",
                b'"a"',
                b"*",
                b"0",
            ]
        )
        | st.integers(-10, 10).map(lambda s: date(NOW + 100 * s))
        | st.binary(max_size=12),
    ),
    max_size=7,
)


@given(HEADERS, st.integers(200, 599), st.none() | st.floats(0, 1000), st.booleans())
def test_what_is_kept_may_be(
    headers: list[tuple[bytes, bytes]], status: int, ttl_s: float | None, authorised: bool
) -> None:
    by = asked(authorization="x") if authorised else asked()
    terms = judge_answer(PLAN._replace(ttl_s=ttl_s), by, status, b"", headers, headers, NOW, NOW)
    if isinstance(terms, str):
        return
    said = b",".join(value.lower() for name, value in headers if name == b"Cache-Control")
    assert b"no-store" not in said
    assert b"private" not in said
    if authorised:
        assert b"public" in said or b"s-maxage" in said
    stored = terms.with_body(b"")
    if isinstance(decide(stored, asked(), NOW), Hit):
        explicit = any(name in (b"Cache-Control", b"Expires") for name, _ in headers)
        assert explicit or (ttl_s is not None and ttl_s > 0)
    assert isinstance(decide(stored, asked(), NOW + LONGEST_S + 1), Forward)
