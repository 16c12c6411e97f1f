from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from balancer.record import Record, Tally
from registry.model import Instance, InstanceId, ServiceName


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), max_size=60), st.integers(0, 3))
def test_a_tally_holds_this_half_and_the_one_before(tries: list[tuple[int, int]], idle: int) -> None:
    tally, half = Tally(), 0
    every: Counter[int] = Counter()
    good: Counter[int] = Counter()
    for later, was_good in tries:
        half += later
        tally.add(half, was_good)
        every[half] += 1
        good[half] += was_good
    half += idle
    assert tally.sums(half) == (every[half] + every[half - 1], good[half] + good[half - 1])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.booleans()), max_size=60))
def test_what_moves_out_leaves_the_rest_of_the_whole(tries: list[tuple[int, int, bool]]) -> None:
    whole, own, rest, half = Tally(), Tally(), Tally(), 0
    for later, was_good, is_own in tries:
        half += later
        for tally in (whole, own if is_own else rest):
            tally.add(half, was_good)
    own.move_out(whole, half)
    assert own.sums(half) == (0, 0)
    assert whole.sums(half) == rest.sums(half)


def test_nothing_is_held_against_a_new_record() -> None:
    record = Record(Instance(InstanceId("a"), ServiceName("s"), "h", 1, "127.0.0.1"))
    assert record.reason is None
    assert not record.usable, "no view of the registry has held it yet"
