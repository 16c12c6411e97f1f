from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.fleet import FleetSnapshot, fleet
from handlers.model import Admin, HandlerId, HandlerState
from handlers.rebalance import COOL_DOWN_S, MARGIN, PER_S, SETTLE_S, Rebalance

A, B, C = HandlerId("A"), HandlerId("B"), HandlerId("C")


def seen(
    connections: Mapping[HandlerId, int], weights: Mapping[HandlerId, int] | None = None
) -> FleetSnapshot:
    return fleet(
        [
            HandlerState(
                name, "http://h:1", 5, 10_000, count, 0, Admin.UP, True, "", 0.0,
                weight=(weights or {}).get(name, 1), joins_per_s=200.0,
            )
            for name, count in connections.items()
        ],
        200.0,
    )  # fmt: skip


def wanted(
    rebalance: Rebalance, connections: Mapping[HandlerId, int], now: float = 0.0, of: HandlerId = A
) -> int:
    return rebalance.wanted(of, connections[of], seen(connections), now, 1)


def test_only_who_is_well_above_the_mean_gives_clients_away() -> None:
    for much, little in ((120, 100), (140, 100), (1200, 1000), (0, 0)):
        assert wanted(Rebalance(), {A: much, B: little}) == 0
    assert wanted(Rebalance(), {A: 142, B: 100}) == 1, "the mean is 121"
    assert wanted(Rebalance(), {A: 1230, B: 1000}) == 4, "the mean is 1115, a tenth of it 111.5"
    assert wanted(Rebalance(), {A: 100, B: 142}) == 0
    assert wanted(Rebalance(), {A: 500}) == 0, "there is nobody else"
    assert wanted(Rebalance(), {A: 500, B: 0}) == PER_S


def test_a_heavier_one_has_more_by_right() -> None:
    weighted = seen({A: 200, B: 100}, {A: 2})
    assert Rebalance().wanted(A, 200, weighted, 0.0, 1) == 0
    assert Rebalance().wanted(A, 240, weighted, 0.0, 1) == 0
    assert Rebalance().wanted(A, 243, weighted, 0.0, 1) == 3


def test_one_that_gets_no_clients_gives_none() -> None:
    """Its drain moves them, at a rate of its own."""
    assert Rebalance().wanted(C, 500, seen({A: 1, B: 1}), 0.0, 1) == 0


def test_all_gateways_together_keep_the_pace() -> None:
    rebalance, load = Rebalance(), {A: 900, B: 0, C: 900}
    assert [wanted(rebalance, load, now) for now in (0.0, 0.5, 0.5)] == [10, 5, 0]
    assert wanted(rebalance, load, 1.0, of=C) == 5
    assert Rebalance().wanted(A, 900, seen(load), 0.0, 3) == 3
    assert Rebalance().wanted(A, 900, seen(load), 0.0, 50) == 1


def test_who_is_on_the_way_is_not_asked_for_again() -> None:
    rebalance, load = Rebalance(), {A: 146, B: 100}
    assert wanted(rebalance, load, 0.0) == 3
    assert wanted(rebalance, load, SETTLE_S - 1) == 0
    assert wanted(rebalance, load, SETTLE_S) == 3, "they have not moved"


def test_when_none_is_above_the_margin_all_is_left_alone_for_a_while() -> None:
    rebalance, uneven, even = Rebalance(), {A: 200, B: 100}, {A: 120, B: 110}
    assert wanted(rebalance, uneven, 0.0) > 0
    assert wanted(rebalance, even, 1.0) == 0
    assert wanted(rebalance, uneven, COOL_DOWN_S + 0.9) == 0
    assert wanted(rebalance, uneven, COOL_DOWN_S + 1) > 0


def test_the_rest_begins_when_the_last_is_done() -> None:
    rebalance, load = Rebalance(), {A: 200, B: 200, C: 0}
    assert wanted(rebalance, load, 0.0) > 0
    assert wanted(rebalance, load, 1.0, of=B) > 0
    even = {A: 120, B: 200, C: 100}
    assert wanted(rebalance, even, 2.0) == 0
    assert wanted(rebalance, even, 3.0, of=B) > 0
    assert repr(rebalance) == "<Rebalance: 1 handlers give clients away>"


def test_one_that_is_gone_gives_nobody_away() -> None:
    rebalance, load = Rebalance(), {A: 200, B: 0, C: 200}
    assert wanted(rebalance, load, 0.0) > 0
    assert wanted(rebalance, load, SETTLE_S, of=C) == 0, "A's was the last, so all rests"
    assert repr(rebalance) == "<Rebalance: 0 handlers give clients away>"


def test_only_who_was_asked_for_may_be_named_and_once() -> None:
    rebalance = Rebalance()
    assert rebalance.named(A, 5) == 0
    assert wanted(rebalance, {A: 500, B: 0}) == 10
    assert [rebalance.named(A, 6), rebalance.named(A, 6), rebalance.named(A, 6)] == [6, 4, 0]
    assert rebalance.named(B, 1) == 0


@settings(max_examples=40)
@given(st.lists(st.integers(0, 200), min_size=2, max_size=4), st.integers(1, 4))
def test_it_comes_to_rest_inside_the_margin_whatever_the_fleet(loads: list[int], obeyed_after: int) -> None:
    """However slowly clients move, nobody gives away more than is above the margin."""
    names = [HandlerId(str(number)) for number in range(len(loads))]
    connections, rebalance = dict(zip(names, loads, strict=True)), Rebalance()
    mean = sum(loads) / len(loads)
    limit = max(1.1 * mean, mean + MARGIN)
    moving: list[tuple[int, HandlerId]] = []
    for now in range(60):
        if max(connections.values()) <= limit and not moving:
            break
        view = seen(connections)
        asked = {name: rebalance.wanted(name, connections[name], view, float(now), 1) for name in names}
        assert sum(asked.values()) <= PER_S
        moving += [(now + obeyed_after, name) for name, count in asked.items() for _ in range(count)]
        for due, name in [entry for entry in moving if entry[0] <= now]:
            moving.remove((due, name))
            connections[name] -= 1
            connections[min(connections, key=connections.__getitem__)] += 1
    assert max(connections.values()) <= limit
    assert all(
        now >= before or now > limit - 1 for now, before in zip(connections.values(), loads, strict=True)
    )
