import pytest

from balancer.record import Record
from balancer.success_rate import SuccessRates
from registry.model import Instance, InstanceId, ServiceName


def record(name: str) -> Record:
    return Record(Instance(InstanceId(name), ServiceName("s"), "h", 1, "127.0.0.1"))


def counted(rates: SuccessRates, where: Record, good: int, bad: int, now: float = 0) -> None:
    for was_bad in [0] * good + [1] * bad:
        rates.count(where, was_bad, now)


@pytest.mark.parametrize(
    ("own", "others", "below"),
    [
        ((9, 11), (20, 0), True),
        ((10, 10), (20, 0), False),
        ((5, 15), (10, 10), False),
        ((4, 16), (10, 10), True),
        ((0, 19), (20, 0), False),
        ((0, 20), (19, 0), False),
        ((0, 20), (0, 20), False),
    ],
    ids=["below", "half", "as bad as half", "worse", "too few", "too few others", "all are down"],
)
def test_far_below_is_below_half_of_the_rest(
    own: tuple[int, int], others: tuple[int, int], below: bool
) -> None:
    rates, one, two = SuccessRates(window_s=10), record("a"), record("b")
    counted(rates, one, *own)
    counted(rates, two, *others)
    assert rates.far_below_the_rest(one, 0.5, min_requests=20) is below


def test_what_ended_a_window_ago_is_over() -> None:
    rates, one, two = SuccessRates(window_s=10), record("a"), record("b")
    counted(rates, two, 50, 0, now=9)
    counted(rates, one, 0, 20, now=9)
    counted(rates, two, 1, 0, now=14)
    assert rates.far_below_the_rest(one, 0.5, min_requests=20)
    counted(rates, two, 50, 0, now=15)
    assert not rates.far_below_the_rest(one, 0.5, min_requests=20)


def test_what_is_forgotten_is_held_against_nobody() -> None:
    rates, one, two = SuccessRates(window_s=10), record("a"), record("b")
    counted(rates, two, 8, 12)
    counted(rates, one, 0, 100)
    rates.forget(one)
    assert not rates.far_below_the_rest(one, 0.5, min_requests=20)
    counted(rates, one, 20, 0)
    assert rates.far_below_the_rest(two, 0.5, min_requests=20)
