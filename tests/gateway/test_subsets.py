from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.subsets import Split, salt_of

NO_HEADERS: CIMultiDict[str] = CIMultiDict()


def split(
    weight: int = 50,
    header: str | None = None,
    value: str | None = None,
    salt: bytes = salt_of("shop", "v2"),
    rng: Random | None = None,
) -> Split[str]:
    return Split("asked", "inside", "outside", weight, header, value, salt, rng)


def side(of: Split[str], user: str | None, address: str = "10.0.0.1") -> str:
    return of.side(NO_HEADERS, user, address)


@given(user=st.none() | st.text(), address=st.ip_addresses().map(str))
def test_a_caller_stays_on_its_side_and_a_growing_weight_moves_it_once(
    user: str | None, address: str
) -> None:
    sides = [split(weight).side(NO_HEADERS, user, address) for weight in range(101)]
    assert sides == [split(weight).side(NO_HEADERS, user, address) for weight in range(101)]
    assert sides == sorted(sides, reverse=True), "outside until it is inside, and then for good"
    assert (sides[0], sides[-1]) == ("outside", "inside")


@pytest.mark.parametrize("weight", [1, 5, 50, 95])
@pytest.mark.parametrize("sticky", [True, False])
def test_a_side_gets_its_share(weight: int, sticky: bool) -> None:
    of = split(weight, rng=None if sticky else Random(1))
    calls = 4_000
    inside = sum(side(of, f"user-{n}") == "inside" for n in range(calls))
    # Four standard deviations of so many draws.
    bound = 4 * (calls * weight / 100 * (1 - weight / 100)) ** 0.5
    assert abs(inside - calls * weight / 100) < bound


def test_a_caller_is_known_by_its_user_and_else_by_its_address() -> None:
    of = split()
    names = [f"10.0.0.{n}" for n in range(64)]
    assert len({side(of, "ada", address) for address in names}) == 1
    by_address = [side(of, None, name) for name in names]
    assert len(set(by_address)) == 2
    assert by_address != [side(of, name) for name in names], "a user may call itself as an address is called"


def test_another_split_has_others_among_the_first() -> None:
    users = [str(n) for n in range(64)]
    one, other = (split(salt=salt_of(*names)) for names in [("shop", "v2"), ("shop", "v3")])
    assert [side(one, user) for user in users] != [side(other, user) for user in users]
    assert salt_of("a", "b" * 500) != salt_of("a", "b" * 501)


def test_without_sticky_a_callers_calls_are_divided() -> None:
    of = split(rng=Random(1))
    assert {side(of, "ada") for _ in range(64)} == {"inside", "outside"}


@pytest.mark.parametrize(
    ("given_values", "value", "expected"),
    [
        ([], None, "outside"),
        (["anything"], None, "asked"),
        ([""], None, "asked"),
        (["always"], "always", "asked"),
        (["never", "always"], "always", "asked"),
        (["Always"], "always", "outside"),
        ([], "always", "outside"),
    ],
)
def test_a_header_asks_for_the_tagged_side(given_values: list[str], value: str | None, expected: str) -> None:
    headers = CIMultiDict([("X-Canary", each) for each in given_values])
    assert split(0, "x-canary", value).side(headers, "ada", "10.0.0.1") == expected
