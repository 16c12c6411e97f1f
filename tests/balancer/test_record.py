from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from balancer.record import Record, Tally
from registry.model import Instance, InstanceId, ServiceName


def count(tally: Tally, half: int, bad: int) -> None:
    tally.turn(half)
    tally.all += 1
    tally.bad += bad


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), max_size=60), st.integers(0, 3))
def test_a_tally_holds_this_half_and_the_one_before(tries: list[tuple[int, int]], idle: int) -> None:
    tally, half = Tally(), 0
    every: Counter[int] = Counter()
    bad: Counter[int] = Counter()
    for later, was_bad in tries:
        half += later
        count(tally, half, was_bad)
        every[half] += 1
        bad[half] += was_bad
    half += idle
    assert tally.sums(half) == (every[half] + every[half - 1], bad[half] + bad[half - 1])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.booleans()), max_size=60))
def test_what_moves_out_leaves_the_rest_of_the_whole(tries: list[tuple[int, int, bool]]) -> None:
    whole, own, rest, half = Tally(), Tally(), Tally(), 0
    for later, was_bad, is_own in tries:
        half += later
        for tally in (whole, own if is_own else rest):
            count(tally, half, was_bad)
    own.move_out(whole, half)
    assert own.sums(half) == (0, 0)
    assert whole.sums(half) == rest.sums(half)


def test_nothing_is_held_against_a_new_record() -> None:
    record = Record(Instance(InstanceId("a"), ServiceName("s"), "h", 1, "127.0.0.1"))
    assert record.reason is None
    assert not record.usable, "no view of the registry has held it yet"
