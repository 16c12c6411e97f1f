import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.admission import GUARD_S, KEEP_S, AdmissionLedger, Entry
from handlers.closing import Refusal, TurnedAway
from handlers.model import HandlerId, Jti, Uid
from handlers.ticket import LEEWAY_S, TicketClaims

NOW = 1_700_000_000.0


def claims(jti: str = "a", issued: float = NOW) -> TicketClaims:
    return TicketClaims(
        "q", HandlerId("WSH1"), 1, Uid("ann"), Jti(jti), int(issued), int(issued) + 60, issued + 12, jti
    )


def test_within_its_guarantee_a_ticket_needs_nobodys_leave() -> None:
    gate = AdmissionLedger(1)
    assert gate.present(claims(), NOW) is Entry.ADMITTED
    assert gate.connections == 1


@pytest.mark.parametrize(
    ("after_s", "entry"),
    [(12 - GUARD_S - 0.001, Entry.ADMITTED), (12 - GUARD_S, Entry.ASK), (59.0, Entry.ASK)],
)
def test_towards_the_end_of_its_guarantee_the_store_is_asked(after_s: float, entry: Entry) -> None:
    assert AdmissionLedger(1).present(claims(), NOW + after_s) is entry


def test_a_ticket_without_a_reservation_is_always_asked_for() -> None:
    assert AdmissionLedger(1).present(claims()._replace(degraded=True), NOW) is Entry.ASK


@pytest.mark.parametrize(("room", "refusal"), [(True, None), (None, None), (False, TurnedAway(Refusal.FULL))])
def test_the_stores_answer_counts_and_without_one_the_kept_place(
    room: bool | None, refusal: TurnedAway | None
) -> None:
    gate = AdmissionLedger(1)
    assert gate.present(claims(), NOW + 20) is Entry.ASK
    assert gate.connections == 0  # what is reported is who is in
    assert gate.present(claims("b"), NOW) == TurnedAway(Refusal.FULL)  # but the place is kept
    assert gate.answered(Jti("a"), room=room) == refusal
    assert gate.connections == (refusal is None)


@pytest.mark.parametrize("asked", [False, True])
def test_a_ticket_is_used_up_by_its_first_showing(asked: bool) -> None:
    """Whatever becomes of it: also while the store is still being asked, and after its client has left."""
    gate = AdmissionLedger(10)
    at = NOW + 20 if asked else NOW
    gate.present(claims(), at)
    assert gate.present(claims(), at) == TurnedAway(Refusal.REPLAYED)
    assert gate.leave(Jti("a")) is not asked
    assert gate.present(claims(), at) == TurnedAway(Refusal.REPLAYED)
    assert not gate.leave(Jti("a"))


def test_it_is_remembered_for_longer_than_any_copy_of_it_is_good() -> None:
    gate = AdmissionLedger(10)
    gate.present(claims(), NOW)
    last_good = NOW + 60 + LEEWAY_S
    assert KEEP_S > LEEWAY_S
    assert gate.present(claims(), last_good) == TurnedAway(Refusal.REPLAYED)
    assert gate.present(claims(), NOW + 60 + KEEP_S) is Entry.ASK  # forgotten: memory is bounded


def test_a_full_handler_does_not_use_the_ticket_up() -> None:
    gate = AdmissionLedger(1)
    gate.present(claims("a"), NOW)
    assert gate.present(claims("b"), NOW) == TurnedAway(Refusal.FULL)
    gate.leave(Jti("a"))
    assert gate.present(claims("b"), NOW) is Entry.ADMITTED


def test_a_drained_handler_keeps_what_was_promised_and_no_more() -> None:
    gate = AdmissionLedger(10)
    gate.draining = True
    assert gate.present(claims("a"), NOW) is Entry.ADMITTED
    assert gate.present(claims("b"), NOW + 12 - GUARD_S) == TurnedAway(Refusal.DRAINING)
    assert gate.present(claims("c")._replace(degraded=True), NOW) == TurnedAway(Refusal.DRAINING)
    gate.shut = True
    assert gate.present(claims("d"), NOW) == TurnedAway(Refusal.DRAINING)
    gate.draining = gate.shut = False
    assert gate.present(claims("d"), NOW) is Entry.ADMITTED


def test_a_ticket_whose_seat_is_given_back_lets_nobody_in_any_more() -> None:
    """Or a drain that is called off would let two clients into one place."""
    gate = AdmissionLedger(10, memory=1)
    assert gate.give_back(claims("a"))
    assert gate.present(claims("a"), NOW) == TurnedAway(Refusal.REPLAYED)
    assert not gate.give_back(claims("b"))  # what can't be remembered keeps its seat
    assert gate.connections == 0


def test_the_seat_of_a_client_that_is_in_is_not_given_back() -> None:
    """A copy of its ticket was turned away, a moment before this one got in."""
    gate = AdmissionLedger(10)
    assert gate.present(claims("a"), NOW) is Entry.ADMITTED
    assert not gate.give_back(claims("a"))


def test_with_its_memory_full_it_lets_nobody_in_rather_than_somebody_twice() -> None:
    gate = AdmissionLedger(100, memory=3)
    for jti in "abc":
        gate.present(claims(jti), NOW)
    assert gate.present(claims("d"), NOW) == TurnedAway(Refusal.BUSY)
    assert gate.present(claims("a"), NOW) == TurnedAway(Refusal.REPLAYED)
    assert gate.present(claims("d", issued=NOW + 100), NOW + 100) is Entry.ADMITTED


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["show", "late", "leave"]))))
def test_never_more_clients_than_places_and_no_ticket_twice(steps: list[tuple[str, str]]) -> None:
    gate = AdmissionLedger(3)
    inside: set[str] = set()
    ever: list[str] = []
    for jti, what in steps:
        if what == "leave":
            assert gate.leave(Jti(jti)) is (jti in inside)
            inside.discard(jti)
            continue
        entry = gate.present(claims(jti), NOW + (20 if what == "late" else 0))
        if entry is Entry.ADMITTED or (entry is Entry.ASK and gate.answered(Jti(jti), room=True) is None):
            inside.add(jti)
            ever.append(jti)
        assert gate.connections == len(inside) <= 3
    assert len(ever) == len(set(ever))
    assert repr(gate).startswith(f"<AdmissionLedger: {len(inside)} of 3, 0 asking")
