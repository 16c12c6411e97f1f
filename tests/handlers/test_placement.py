from hypothesis import given
from hypothesis import strategies as st

from handlers.model import HandlerId
from handlers.placement import Order

NOBODY: frozenset[HandlerId] = frozenset()
A, B, C = (HandlerId(name) for name in "abc")
HANDLERS = st.sampled_from([HandlerId(name) for name in "abcdef"])
PUTS = st.tuples(HANDLERS, st.integers(0, 5), st.integers(1, 3), st.integers(0, 9))


@given(st.lists(st.one_of(PUTS, HANDLERS)), st.frozensets(HANDLERS))
def test_the_first_has_the_least_load_per_weight_and_was_used_longest_ago(
    steps: list[tuple[HandlerId, int, int, int] | HandlerId], exclude: frozenset[HandlerId]
) -> None:
    order = Order()
    model: dict[HandlerId, tuple[float, int]] = {}
    for step in steps:
        if isinstance(step, tuple):
            handler, load, weight, allocated = step
            order.put(handler, load, weight, allocated)
            model[handler] = (load / weight, allocated)
        else:
            order.remove(step)
            model.pop(step, None)
    assert len(order) == len(model)
    wanted = [(rank, handler) for handler, rank in model.items() if handler not in exclude]
    assert order.first(exclude) == (min(wanted)[1] if wanted else None)


def test_ties_go_round() -> None:
    """With the id as the only tie-break, the first in the alphabet would get every first client."""
    order = Order()
    for handler in (A, B, C):
        order.put(handler, 0, 1, 0)
    got = []
    for sequence in range(1, 7):
        chosen = order.first(NOBODY)
        assert chosen is not None
        got.append(chosen)
        order.put(chosen, 0, 1, sequence)
    assert got == [A, B, C, A, B, C]


def test_a_hint_decides_a_tie_and_nothing_else() -> None:
    order = Order()
    order.put(A, 1, 1, 0)
    order.put(B, 1, 1, 5)
    order.put(C, 2, 1, 0)
    assert order.first(NOBODY, B) == B
    assert order.first(NOBODY, C) == A
    assert order.first(NOBODY, HandlerId("gone")) == A
    assert order.first(frozenset({B}), B) == A


def test_weights_share_the_load_in_proportion() -> None:
    order = Order()
    loads = {A: 0, B: 0}
    weights = {A: 3, B: 1}
    for handler in loads:
        order.put(handler, 0, weights[handler], 0)
    for sequence in range(1, 401):
        chosen = order.first(NOBODY)
        assert chosen is not None
        loads[chosen] += 1
        order.put(chosen, loads[chosen], weights[chosen], sequence)
    assert loads == {A: 300, B: 100}
