"""Under what answers are kept: what makes another one, and what does not."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.field_lines import FieldLines
from balancer.headers import ForwardFacts, for_upstream
from gateway.cache_keys import (
    MOST_NAMES,
    CacheKey,
    asker_key,
    digest,
    names_of,
    read_lines,
    read_pairs,
    read_vary,
    together,
    uri_key,
)
from gateway.identity import User

PARTS = st.lists(st.none() | st.binary(max_size=6), max_size=5)
STRANGER = "192.0.2.7"


def sent(*headers: tuple[bytes, bytes], trusted: bool = False) -> dict[bytes, bytes]:
    """What an instance gets of these headers of a client."""
    facts = ForwardFacts(peer=STRANGER, scheme="http", peer_trusted=trusted)
    return read_lines(FieldLines(for_upstream([(b"Host", b"shop.example"), *headers], facts)).data)


def key(*headers: tuple[bytes, bytes], trusted: bool = False, user: User | None = None) -> bytes:
    asked = sent(*headers, trusted=trusted)
    asker = asker_key(b"plan", (b"x-room",), user, asked)
    return CacheKey(uri_key("shop.example", "/x"), asker, b"/x", asked).variant((b"accept-language",))


@given(PARTS, PARTS)
def test_no_two_lists_of_parts_are_one_key(one: list[bytes | None], other: list[bytes | None]) -> None:
    assert (digest(*one) == digest(*other)) is (one == other)


def test_nothing_is_not_empty() -> None:
    assert len({digest(), digest(None), digest(b""), digest(b"-"), digest(b"", b"")}) == 5


@pytest.mark.parametrize(
    "header",
    [
        (b"User-Agent", b"evil"),
        (b"Referer", b"https://evil.example"),
        (b"X-Forwarded-Host", b"evil.example"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-For", b"203.0.113.9"),
        (b"X_Forwarded_Host", b"evil.example"),
        (b"Forwarded", b"host=evil.example"),
        (b"X-Real-IP", b"203.0.113.9"),
        (b"X-User-Id", b"root"),
        (b"X-Request-Id", b"mine"),
        (b"Accept-Encoding", b"gzip"),
    ],
)
def test_these_make_no_other_answer(header: tuple[bytes, bytes]) -> None:
    """Either an instance never sees what a client says there, or it says so in `Vary`."""
    assert key(header) == key()


@pytest.mark.parametrize(
    "header",
    [
        (b"X-Forwarded-Port", b"1337"),
        (b"X-Forwarded-Scheme", b"nothttps"),
        (b"X-Forwarded-Server", b"evil.example"),
        (b"X-Forwarded-Prefix", b"/evil"),
        (b"X_Forwarded_Port", b"1337"),
        (b"x-original-url", b"/admin"),
        (b"X-Rewrite-URL", b"/admin"),
        (b"X-HTTP-Method-Override", b"DELETE"),
        (b"X-Method-Override", b"DELETE"),
        (b"X-HTTP-Host-Override", b"evil.example"),
        (b"X-Host", b"evil.example"),
        (b"Front-End-Https", b"on"),
        (b"X-Room", b"blue"),
        (b"Accept-Language", b"de"),
    ],
)
def test_these_make_an_answer_of_their_own(header: tuple[bytes, bytes]) -> None:
    """If they get as far as an instance."""
    reaches_an_instance = header[0].lower() in sent(header)
    assert (key(header) != key()) is reaches_an_instance
    assert key(header) == key((header[0].lower(), header[1]))


@pytest.mark.parametrize(
    "header",
    [
        (b"X-Forwarded-Host", b"other.example"),
        (b"X-Forwarded-Proto", b"https"),
        (b"Forwarded", b"for=192.0.2.1;host=other.example"),
        (b"Forwarded", b'for="[::1]";Proto=https'),
    ],
)
def test_what_a_trusted_proxy_says_of_the_address_counts(header: tuple[bytes, bytes]) -> None:
    assert key(header, trusted=True) != key(trusted=True)


def test_for_whom_a_trusted_proxy_asks_does_not() -> None:
    one, other = ((b"Forwarded", b"for=%b;proto=https" % who) for who in (b"192.0.2.1", b"192.0.2.2"))
    assert key(one, trusted=True) == key(other, trusted=True)


def test_the_same_path_elsewhere_is_another_uri() -> None:
    assert uri_key("a.example", "/x") != uri_key("b.example", "/x")
    assert uri_key("a", "/x?a=1") != uri_key("a", "/x?a=2")
    assert uri_key("a", "/x") != uri_key("a", "/x?")
    assert uri_key("a/x", "") != uri_key("a", "/x")


def test_each_user_and_what_it_may_is_apart() -> None:
    users = [
        None,
        User("ada", None, 0.0),
        User("bob", None, 0.0),
        User("ada", "free", 0.0),
        User("ada", "", 0.0),
        User("ada", None, 0.0, roles=frozenset({"admin"})),
        User("ada", None, 0.0, scopes=frozenset({"admin"})),
        User("ada", None, 0.0, roles=frozenset({"admin", "ops"})),
        User("ada", None, 0.0, headers=((b"X-Org", b"1"),)),
        User("\udcff", None, 0.0),
    ]
    keys = [key(user=user) for user in users]
    assert all(one != other for one, other in combinations(keys, 2))
    again = User("ada", None, 99.0, token_id="2", roles=frozenset({"ops", "admin"}))
    assert key(user=again) == keys[7], "a new token with the same rights finds what the old one has left"


def test_the_route_and_what_goes_upstream_count() -> None:
    asked = sent()
    keys = {
        CacheKey(b"uri", asker_key(plan, (), None, asked), target, asked).variant(())
        for plan, target in [(b"a", b"/x"), (b"b", b"/x"), (b"a", b"/y"), (b"a/", b"x")]
    }
    assert len(keys) == 4


def test_long_targets_have_keys_too() -> None:
    assert uri_key("a", "/" + "x" * 5000) != uri_key("a", "/" + "x" * 5001)


def test_lines_are_read_as_they_go_out() -> None:
    data = FieldLines([(b"Accept", b"a"), (b"ACCEPT", b"b"), (b"X-Empty", b""), (b"X", b" a: b ")]).data
    assert read_lines(data) == {b"accept": b"a, b", b"x-empty": b"", b"x": b"a: b"}
    assert read_pairs(data) == [(b"Accept", b"a"), (b"ACCEPT", b"b"), (b"X-Empty", b""), (b"X", b" a: b ")]


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        ([], ()),
        ([(b"Vary", b"Accept, COOKIE ,,accept")], (b"accept", b"cookie")),
        ([(b"vary", b"b"), (b"Vary", b"a")], (b"a", b"b")),
        ([(b"Vary", b"*")], None),
        ([(b"Vary", b"Accept"), (b"Vary", b"x, *")], None),
        ([(b"Access-Control-Allow-Origin", b"https://a.example")], (b"origin",)),
        ([(b"Access-Control-Allow-Origin", b"*")], ()),
        ([(b"Content-Encoding", b"gzip")], (b"accept-encoding",)),
        ([(b"Content-Encoding", b"identity")], ()),
        ([(b"Vary", b",".join(b"h%d" % n for n in range(MOST_NAMES + 1)))], None),
        ([(b"Vary", b"x" * 600)], None),
        ([(b"Vary", b"accept, Traceparent")], None),
    ],
)
def test_what_an_answer_varies_by(
    headers: list[tuple[bytes, bytes]], names: tuple[bytes, ...] | None
) -> None:
    assert read_vary(headers) == names


def test_names_come_together() -> None:
    assert together((b"b",), (b"a", b"b")) == (b"a", b"b")
    assert together(tuple(b"%d" % n for n in range(MOST_NAMES)), (b"x",)) is None
    assert names_of(["X-B", "x-a", "x-b"]) == (b"x-a", b"x-b")


def test_a_value_of_one_header_is_none_of_another() -> None:
    names = (b"a", b"b")
    keys = [
        CacheKey(b"", b"", b"", headers).variant(names)
        for headers in ({b"a": b"1"}, {b"b": b"1"}, {b"a": b"", b"b": b"1"}, {b"a": b"1b"}, {})
    ]
    assert len(set(keys)) == len(keys)
    assert CacheKey(b"", b"", b"", {}).variant(()) != keys[-1], "nor is it when answers vary by other headers"
