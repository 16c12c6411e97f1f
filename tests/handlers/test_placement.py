from hypothesis import given
from hypothesis import strategies as st

from handlers.model import Candidate, Decision, HandlerId, Uid
from handlers.placement import CANDIDATES, Order, replay

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
    assert order.choose(exclude) == (min(wanted)[1] if wanted else None)
    assert [rank[2] for rank in order.head(exclude)] == [handler for _, handler in sorted(wanted)]


def test_ties_go_round() -> None:
    """With the id as the only tie-break, the first in the alphabet would get every first client."""
    order = Order()
    for handler in (A, B, C):
        order.put(handler, 0, 1, 0)
    got = []
    for sequence in range(1, 7):
        chosen = order.choose(NOBODY)
        assert chosen is not None
        got.append(chosen)
        order.put(chosen, 0, 1, sequence)
    assert got == [A, B, C, A, B, C]


def test_a_client_goes_back_where_the_load_is_not_far_above_the_least() -> None:
    order = Order()
    order.put(A, 20, 1, 0)
    order.put(B, 23, 1, 5)
    order.put(C, 24, 1, 0)
    assert order.choose(NOBODY, B, 0.1) == B  # 23 = 1.1 x 20 + 1
    assert order.choose(NOBODY, C, 0.1) == A
    assert order.choose(NOBODY, C, 0.2) == C
    assert order.choose(NOBODY, HandlerId("gone"), 0.1) == A
    assert order.choose(frozenset({B}), B, 0.1) == A
    assert order.choose(frozenset({A}), C, 0.1) == C  # the least is that of those who are not excluded


def test_the_head_of_a_long_order_is_short_and_has_the_clients_last_handler() -> None:
    order = Order()
    for number in range(20):
        order.put(HandlerId(f"h{number:02}"), number, 1, 0)
    last = HandlerId("h15")
    assert [rank[3] for rank in order.head(NOBODY, last)] == [*range(CANDIDATES), 15]
    assert [rank[3] for rank in order.head(frozenset({last}), last)] == list(range(CANDIDATES))
    assert [rank[3] for rank in order.head(NOBODY, HandlerId("h03"))] == list(range(CANDIDATES))


PLACES = st.tuples(st.integers(0, 5), st.integers(1, 3), st.integers(0, 9))


@given(
    st.dictionaries(HANDLERS, PLACES, min_size=1),
    st.frozensets(HANDLERS),
    st.none() | HANDLERS,
    st.sampled_from([0.0, 0.1, 1.0]),
)
def test_what_is_told_of_a_choice_leads_to_it_again(
    handlers: dict[HandlerId, tuple[int, int, int]],
    exclude: frozenset[HandlerId],
    last: HandlerId | None,
    affinity: float,
) -> None:
    """I15."""
    order = Order()
    for handler, place in handlers.items():
        order.put(handler, *place)
    chosen = order.choose(exclude, last, affinity)
    if chosen is None:
        assert handlers.keys() <= exclude
        return
    told = tuple(Candidate(name, load, weight, at) for _, at, name, load, weight in order.head(exclude, last))
    decision = Decision(1, 0.0, Uid("ann"), chosen, "", told, tuple(exclude), last)
    assert replay(decision, affinity) == chosen


def test_weights_share_the_load_in_proportion() -> None:
    order = Order()
    loads = {A: 0, B: 0}
    weights = {A: 3, B: 1}
    for handler in loads:
        order.put(handler, 0, weights[handler], 0)
    for sequence in range(1, 401):
        chosen = order.choose(NOBODY)
        assert chosen is not None
        loads[chosen] += 1
        order.put(chosen, loads[chosen], weights[chosen], sequence)
    assert loads == {A: 300, B: 100}
