from hypothesis import given
from hypothesis import strategies as st

from registry.failover import AddressLedger


def test_the_one_that_works_is_kept() -> None:
    ledger = AddressLedger(3)
    assert not ledger.away
    assert ledger.failed(0)
    assert (ledger.current, ledger.moves) == (1, 1)
    ledger.answered(1)
    assert ledger.failed(0), "late news of an address that was left"
    assert (ledger.current, ledger.moves) == (1, 1)


def test_the_next_one_that_has_not_failed_is_taken() -> None:
    ledger = AddressLedger(3)
    assert ledger.failed(0)
    assert ledger.failed(1)
    assert ledger.current == 2
    ledger.answered(0)
    assert ledger.failed(2)
    assert ledger.current == 0


def test_when_all_have_failed_nobody_hurries_and_each_gets_its_turn() -> None:
    ledger = AddressLedger(3)
    hurried, tried = [], []
    for _ in range(9):
        tried.append(ledger.current)
        hurried.append(ledger.failed(ledger.current))
    assert tried == [0, 1, 2] * 3
    assert hurried == [True, True] + [False] * 7


def test_one_without_a_leader_is_left_once_and_kept_when_nobody_knows_more() -> None:
    ledger = AddressLedger(2)
    ledger.knows_no_leader(0)
    assert ledger.current == 1
    for _ in range(5):
        ledger.knows_no_leader(1)
    assert (ledger.current, ledger.moves) == (1, 1), "no wandering in a cluster without a leader"
    ledger.answered(1)
    ledger.knows_no_leader(0)
    assert ledger.current == 1
    alone = AddressLedger(1)
    alone.knows_no_leader(0)
    assert (alone.current, alone.moves) == (0, 0)


def test_home_is_returned_to() -> None:
    ledger = AddressLedger(2)
    ledger.failed(0)
    assert ledger.away
    ledger.go_home()
    assert (ledger.current, ledger.away, ledger.is_failing(0), ledger.moves) == (0, False, False, 2)


def test_one_address_is_always_home() -> None:
    ledger = AddressLedger(1)
    assert not ledger.failed(0)
    assert (ledger.current, ledger.moves, ledger.is_failing(0)) == (0, 0, True)


def test_one_line() -> None:
    ledger = AddressLedger(2)
    ledger.failed(0)
    assert repr(ledger) == "<AddressLedger: at 1 of 2, 1 failing>"


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("fahl"), st.integers(0, 3)), max_size=40))
def test_whatever_happens_there_is_a_current_address_and_a_hurry_only_to_one_that_may_work(
    count: int, events: list[tuple[str, int]]
) -> None:
    ledger = AddressLedger(count)
    for event, number in events:
        address = number % count
        if event == "f":
            assert ledger.failed(address) is not ledger.is_failing(ledger.current)
            assert count == 1 or ledger.current != address or ledger.is_failing(address)
        elif event == "l":
            ledger.knows_no_leader(address)
        elif event == "a":
            ledger.answered(address)
            assert not ledger.is_failing(address)
        else:
            ledger.go_home()
        assert 0 <= ledger.current < count
