"""What callers are recognised by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from balancer.policy import HashBy, HashPolicy
from gateway.hash_keys import LONGEST, hash_key


def key_of(
    by: HashBy,
    name: str = "",
    *,
    headers: tuple[tuple[str, str], ...] = (),
    cookies: tuple[str, ...] = (),
    uid: str | None = None,
) -> bytes:
    return hash_key(HashPolicy(by, name), CIMultiDict(headers), cookies, uid, "192.0.2.1")


def test_a_caller_is_its_address_its_user_its_header_or_its_cookie() -> None:
    assert key_of("address", uid="ada") == b"192.0.2.1"
    assert key_of("uid", uid="ada") == b"ada"
    assert key_of("header", "X-Room", headers=(("x-room", "blue"),)) == b"blue"
    assert key_of("cookie", "room", cookies=("a=b; room=blue",)) == b"blue"


@pytest.mark.parametrize(("by", "name"), [("uid", ""), ("header", "X-Room"), ("cookie", "room")])
def test_who_cannot_be_recognised_has_the_empty_key(by: HashBy, name: str) -> None:
    assert key_of(by, name, cookies=("rooms=1; ROOM=2; room",)) == b""


@pytest.mark.parametrize(
    ("cookies", "value"),
    [
        (("room=blue",), b"blue"),
        (("a=1;room=blue",), b"blue"),
        (("room=a=b; c=d",), b"a=b"),
        (('room="blue"',), b'"blue"'),
        (("a=1", " room =\tblue ; room=red"), b"blue"),
        (("room=",), b""),
    ],
)
def test_the_first_cookie_of_the_name_counts_as_it_was_sent(cookies: tuple[str, ...], value: bytes) -> None:
    assert key_of("cookie", "room", cookies=cookies) == value


def test_long_keys_are_digested_and_still_differ() -> None:
    one, other = (key_of("uid", uid=f"{'x' * 10_000}{end}") for end in "ab")
    assert one != other
    assert len(one) == len(other) == 16


@given(st.text(max_size=200))
def test_any_text_makes_a_short_key_and_always_the_same(text: str) -> None:
    key = key_of("header", "X-Room", headers=(("X-Room", text),))
    assert key == key_of("header", "X-Room", headers=(("X-Room", text),))
    assert len(key) <= LONGEST
