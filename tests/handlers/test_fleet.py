from handlers.fleet import FleetSnapshot, fleet
from handlers.model import Admin, HandlerId, HandlerState

A, B, C, D = (HandlerId(name) for name in "ABCD")


def state(name: HandlerId, joins_per_s: float = 200.0, why_not: str = "", weight: int = 1) -> HandlerState:
    return HandlerState(
        name, "http://h:1", 5, 2000, 800, 0, Admin.UP, not why_not, why_not, 0.0,
        weight=weight, joins_per_s=joins_per_s,
    )  # fmt: skip


def test_the_others_take_in_a_handlers_clients_and_new_ones_take_fewer() -> None:
    seen = fleet([state(A), state(B, 20.0), state(C, why_not="full"), state(D, why_not="draining")], 200.0)
    assert seen.others_accept_per_s == {A: 220.0, B: 400.0, C: 220.0, D: 420.0}
    assert seen.advice(A, 4400).first_s == 20.0
    assert seen.advice(D, 4200).first_s == 10.0
    assert set(seen.open) == {A, B, C}


def test_one_alone_takes_them_in_itself() -> None:
    seen = fleet([state(A, 20.0)], 100.0)
    assert seen.advice(A, 500).first_s == 5.0
    assert FleetSnapshot(100.0).advice(B, 500).first_s == 5.0, "nothing is known yet"
    assert fleet([], 100.0).advice(B, 500).first_s == 5.0


def test_the_mean_is_that_of_the_open_ones_by_weight() -> None:
    assert fleet([state(A, weight=3), state(B), state(C, why_not="silent")], 1.0).mean == 400.0
    assert fleet([], 1.0).mean == 0.0
