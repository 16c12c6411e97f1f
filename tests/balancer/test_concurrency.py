from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.concurrency import ConcurrencyLedger
from balancer.gradient import LEAST
from balancer.model import Subset
from balancer.policy import ConcurrencyPolicy
from tests.balancer.origins import instance_at

A, B = instance_at(1001, "a"), instance_at(1002, "b")


class Waits:
    def __init__(self, subset: Subset | None = None) -> None:
        self.subset = subset
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def test_who_finds_no_room_is_served_in_the_order_of_coming() -> None:
    places = ConcurrencyLedger(ConcurrencyPolicy(service=2, queue=3))
    assert [places.enter() for _ in range(3)] == [True, True, False]
    line = [Waits() for _ in range(3)]
    assert all(places.line_up(waiter) for waiter in line)
    assert not places.line_up(Waits()), "three may wait"
    places.leave()
    assert [waiter.woken for waiter in line] == [1, 0, 0]
    assert (places.under_way, places.waiting) == (2, 2)
    assert not places.enter(), "nobody overtakes who waits"
    assert places.step_out(line[1])
    assert not places.step_out(line[0]), "it has a place, and gives it back itself"
    places.leave()
    assert [waiter.woken for waiter in line] == [1, 0, 1]
    places.leave()
    places.leave()
    assert (places.under_way, places.waiting) == (0, 0)


def test_a_queue_of_none_refuses_at_once() -> None:
    places = ConcurrencyLedger(ConcurrencyPolicy(service=1, queue=0))
    assert places.enter()
    assert not places.line_up(Waits())


def test_more_room_is_given_out_at_once() -> None:
    policy = ConcurrencyPolicy(service=1)
    places = ConcurrencyLedger(policy)
    assert places.enter()
    line = [Waits() for _ in range(3)]
    for waiter in line:
        places.line_up(waiter)
    places.follow(replace(policy, service=3))
    assert [waiter.woken for waiter in line] == [1, 1, 0]
    places.follow(replace(policy, service=None))
    assert (line[2].woken, places.limit) == (1, None)


def test_less_room_comes_about_as_calls_end() -> None:
    policy = ConcurrencyPolicy(service=3)
    places = ConcurrencyLedger(policy)
    for _ in range(3):
        places.enter()
    waiter = Waits()
    places.line_up(waiter)
    places.follow(replace(policy, service=1))
    places.leave()
    places.leave()
    assert waiter.woken == 0
    places.leave()
    assert (waiter.woken, places.under_way) == (1, 1)


def test_an_instance_is_full_at_its_limit() -> None:
    policy = ConcurrencyPolicy(instance=2)
    places = ConcurrencyLedger(policy)
    places.started(A)
    assert places.full == set()
    places.started(A)
    places.started(B)
    assert places.full == {A.id}
    places.finished(A)
    assert places.full == set()
    places.follow(replace(policy, instance=1))
    assert places.full == {A.id, B.id}
    places.follow(replace(policy, instance=None))
    assert places.full == set()
    places.finished(A)
    places.finished(B)


def test_whoever_waits_longest_is_called_to_look_for_an_instance() -> None:
    places = ConcurrencyLedger(ConcurrencyPolicy(instance=1, queue=2))
    places.started(A)
    first, second = Waits(), Waits()
    assert places.line_up_for_instance(first, first=False)
    assert places.line_up_for_instance(second, first=False)
    assert not places.line_up_for_instance(Waits(), first=False)
    places.finished(A)
    assert (first.woken, second.woken, places.waiting) == (1, 0, 2)
    assert not places.step_out_for_instance(first)
    assert places.line_up_for_instance(first, first=True), "called, and found none: it keeps its turn"
    places.looked(first, again=True)
    places.started(A)
    places.finished(A)
    assert (first.woken, second.woken) == (2, 0)
    places.looked(first, again=False)
    assert second.woken == 1, "there may be room for both"
    assert (places.contended(), places.waiting) == (True, 1)
    places.looked(second, again=False)
    assert (places.contended(), places.waiting) == (False, 0)


NEW, OLD = Subset("v2"), Subset("v2", inside=False)


def test_who_waits_for_a_subset_is_in_nobody_elses_way() -> None:
    """A canary at its limits must not hold up those who don't go there."""
    places, tagged = ConcurrencyLedger(ConcurrencyPolicy(instance=1)), replace(B, tags=("v2",))
    for instance in (A, tagged):
        places.started(instance)
    canary, stable, anywhere = Waits(NEW), Waits(OLD), Waits()
    places.line_up_for_instance(canary, first=False)
    assert (places.contended(NEW), places.contended(OLD), places.contended()) == (True, False, True)
    assert places.contended(Subset("v3")), "an instance may have both tags"
    for waiter in (stable, anywhere):
        places.line_up_for_instance(waiter, first=False)
    assert places.contended(OLD)
    places.finished(A)
    assert (canary.woken, stable.woken, anywhere.woken) == (0, 1, 0)
    places.looked(stable, again=False)
    assert canary.woken == 1, "there may be room for more than one"
    places.line_up_for_instance(canary, first=True)
    places.looked(canary, again=True)
    places.started(A)
    places.finished(A)
    assert (canary.woken, anywhere.woken) == (1, 1)
    places.looked(anywhere, again=True)
    places.finished(tagged)
    assert canary.woken == 2
    places.looked(canary, again=False)
    assert (places.contended(), places.waiting) == (False, 0)


def test_room_elsewhere_is_of_use_to_those_whose_own_side_may_be_down() -> None:
    places = ConcurrencyLedger(ConcurrencyPolicy(instance=1))
    places.started(A)
    strict, rather = Waits(NEW), Waits(replace(NEW, or_others=True))
    for waiter in (strict, rather):
        places.line_up_for_instance(waiter, first=False)
    places.finished(A)
    assert (strict.woken, rather.woken) == (0, 1)


def test_a_waiter_for_an_instance_may_step_out() -> None:
    places = ConcurrencyLedger(ConcurrencyPolicy(instance=1))
    waiter = Waits()
    places.line_up_for_instance(waiter, first=False)
    assert places.step_out_for_instance(waiter)
    places.started(A)
    places.finished(A)
    assert waiter.woken == 0


def test_an_adaptive_limit_gives_out_what_it_grows_by() -> None:
    policy = ConcurrencyPolicy(service=1000, adaptive=True)
    places = ConcurrencyLedger(policy)
    assert places.under_way == 0
    for _ in range(LEAST):
        assert places.enter()
    waiter = Waits()
    places.line_up(waiter)
    for second in range(30):
        for _ in range(20):
            places.took(0.1, float(second))
    assert waiter.woken == 1
    assert (places.limit or 0) > LEAST
    places.follow(replace(policy, adaptive=False))
    assert places.limit == 1000


@pytest.mark.parametrize("most", [None, 300])
def test_what_an_adaptive_limit_has_learned_outlives_a_reload(most: int | None) -> None:
    places = ConcurrencyLedger(ConcurrencyPolicy(adaptive=True))
    for _ in range(LEAST):
        assert places.enter()
    for second in range(30):
        for _ in range(20):
            places.took(0.1, float(second))
    learned = places.limit or 0
    assert learned > LEAST
    places.follow(ConcurrencyPolicy(adaptive=True, service=most, queue=7))
    assert places.limit == learned
    places.follow(ConcurrencyPolicy(adaptive=True, service=5))
    assert places.limit == 5


@given(
    limit=st.integers(1, 3),
    queue=st.integers(0, 4),
    moves=st.lists(st.sampled_from(["come", "leave", "give up"]), max_size=60),
)
def test_places_are_the_calls_under_way_and_nobody_overtakes(
    limit: int, queue: int, moves: list[str]
) -> None:
    places = ConcurrencyLedger(ConcurrencyPolicy(service=limit, queue=queue))
    inside, line = 0, deque[Waits]()
    for move in moves:
        if move == "come":
            if places.enter():
                assert not line
                inside += 1
            else:
                waiter = Waits()
                if places.line_up(waiter):
                    line.append(waiter)
                else:
                    assert len(line) == queue
        elif move == "leave" and inside:
            inside -= 1
            places.leave()
            if line:
                assert line.popleft().woken == 1
                inside += 1
        elif move == "give up" and line:
            assert places.step_out(line.pop())
        assert (places.under_way, places.waiting) == (inside, len(line))
        assert inside <= limit
        assert not line or inside == limit
        assert all(waiter.woken == 0 for waiter in line)
