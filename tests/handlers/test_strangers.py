import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.strangers import StrangerLedger


def test_only_so_many_in_all() -> None:
    strangers = StrangerLedger(most=2, most_per_address=2)
    assert strangers.come("192.0.2.1")
    assert strangers.come("192.0.2.2")
    assert not strangers.come("192.0.2.3")
    strangers.gone("192.0.2.1")
    assert strangers.come("192.0.2.3")


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ("", "", "192.0.2.1"),
    ],
)
def test_one_party_leaves_places_to_others(address: str, same: str, other: str) -> None:
    strangers = StrangerLedger(most=10, most_per_address=1)
    assert strangers.come(address)
    assert not strangers.come(same)
    assert strangers.come(other)


@given(st.lists(st.tuples(st.sampled_from(["192.0.2.1", "192.0.2.2", "::1", ""]), st.booleans())))
def test_it_counts_who_is_there(steps: list[tuple[str, bool]]) -> None:
    strangers = StrangerLedger(most=4, most_per_address=2)
    here: list[str] = []
    for address, comes in steps:
        if comes and strangers.come(address):
            here.append(address)
        elif not comes and address in here:
            strangers.gone(address)
            here.remove(address)
        assert len(strangers) == len(here) <= 4
        assert all(here.count(address) <= 2 for address in here)
    for address in here:
        strangers.gone(address)
    assert repr(strangers) == "<StrangerLedger: 0 of 4, from 0 addresses>"
