"""Who has to wait: the herd of ALLOCATION 2.7 in front of a small fleet."""

from dataclasses import replace
from typing import Any

import pytest

from handlers.ledger import SeatLedger
from handlers.model import (
    HandlerId,
    Hello,
    Jti,
    PoolSettings,
    Report,
    Seat,
    SeatRefusal,
    SeatRefused,
    SeatRequest,
    Uid,
)

POOL = PoolSettings(joins_per_s=2.0, joins_burst=1, horizon_s=5.0, slow_start_s=0.0, seats_per_user=2)
WSH1, WSH2 = HandlerId("WSH1"), HandlerId("WSH2")


def ledger(handlers: int = 2, pool: PoolSettings = POOL, capacity: int = 100) -> SeatLedger:
    made = SeatLedger(pool)
    for number in range(1, handlers + 1):
        name = HandlerId(f"WSH{number}")
        made.hello(Hello(name, 1, f"http://{name}:1", "/ws", capacity), 0.0)
    return made


def ask(made: SeatLedger, who: object, now: float = 0.0, **more: Any) -> Seat | SeatRefused:
    return made.reserve(SeatRequest(Uid(f"user {who}"), Jti(f"t{who} {now}"))._replace(**more), now)


def slot_of(answer: Seat | SeatRefused) -> float:
    assert isinstance(answer, SeatRefused)
    assert answer.reason is SeatRefusal.COME_BACK
    assert answer.slot is not None
    return answer.slot


def herd(made: SeatLedger, clients: int = 4) -> list[float]:
    """So many come at once: the slots of those who got no seat."""
    answers = [ask(made, who) for who in range(clients)]
    return [slot_of(answer) for answer in answers if isinstance(answer, SeatRefused)]


def heartbeats(made: SeatLedger, now: float) -> None:
    for number in (1, 2):
        made.report(Report(HandlerId(f"WSH{number}"), 1, int(now * 1000) + 1, 0), now)


def test_everybody_in_a_herd_gets_an_appointment_and_a_seat_when_it_comes() -> None:
    """Pigeonhole: nobody who keeps the time is sent away again, and no handler gets more than its rate."""
    made = ledger()
    slots = []
    for who in range(20):
        answer = ask(made, who)
        if isinstance(answer, SeatRefused):
            slots.append((slot_of(answer), who))
            assert answer.retry_after_s == answer.slot
    assert len(slots) == 18
    for slot, who in slots:
        heartbeats(made, slot)
        assert isinstance(ask(made, who, slot, slot=slot), Seat)


def test_who_comes_without_an_appointment_does_not_overtake() -> None:
    made = ledger()
    slots = herd(made)
    late = slot_of(ask(made, "new", 0.6))  # both have a token, and two are expected
    assert late > max(slots)
    assert isinstance(ask(made, "expected", slots[-1], slot=slots[-1]), Seat)
    assert isinstance(ask(made, "after all", late + 0.1), Seat)


def test_who_comes_too_early_is_told_the_same_time_again_and_pays_nothing() -> None:
    made = ledger()
    slots = herd(made)
    early = ask(made, "x", 0.1, slot=slots[0])
    assert early == SeatRefused(SeatRefusal.COME_BACK, slots[0] - 0.1, slots[0], 0.1)
    assert slot_of(ask(made, "y", 0.1)) == pytest.approx(slots[-1] + 0.25)


def test_a_slot_leads_to_one_seat() -> None:
    made = ledger(1)
    ask(made, 0)
    slot = slot_of(ask(made, 1))
    assert isinstance(ask(made, 1, slot, slot=slot), Seat)
    again = slot_of(ask(made, 2, slot, slot=slot))
    assert again > slot


def test_who_keeps_the_time_and_finds_nobody_keeps_the_slot_for_the_next_token() -> None:
    """Somebody was moved in between. The book does not grow for it."""
    made = ledger(1)
    ask(made, 0)
    slot = slot_of(ask(made, 1))
    assert isinstance(ask(made, "moved", slot, moving=True), Seat)
    answer = ask(made, 1, slot, slot=slot)
    assert slot_of(answer) == slot
    assert isinstance(answer, SeatRefused)
    assert 0 < answer.retry_after_s <= 0.5
    later = slot + answer.retry_after_s
    assert slot_of(ask(made, "new", later - 0.1)) == pytest.approx(later - 0.1 + 1.0)
    assert isinstance(ask(made, 1, later, slot=slot), Seat)


@pytest.mark.parametrize("slot", [-5.0, 5.1, 1e9, float("nan")])
def test_a_slot_of_long_ago_or_of_another_clock_is_none(slot: float) -> None:
    made = ledger(1)
    assert isinstance(ask(made, 0, slot=slot), Seat)
    assert slot_of(ask(made, 1, slot=slot)) == 1.0


def test_beyond_the_horizon_nobody_gets_an_appointment() -> None:
    made = ledger(1)
    answers = [ask(made, who) for who in range(20)]
    full = SeatRefused(SeatRefusal.COME_BACK, 5.0, None, 0.0)
    assert answers[-1] == full
    assert answers.count(full) == 20 - 1 - 9
    assert slot_of(ask(made, "later", 0.6)) == pytest.approx(5.5)


def test_who_moves_waits_for_nobodys_turn_and_is_told_when_there_is_a_token() -> None:
    made = ledger(1)
    ask(made, 0)
    slot_of(ask(made, 1))
    moved = ask(made, 2, 0.1, moving=True)
    assert isinstance(moved, SeatRefused)
    assert moved.reason is SeatRefusal.NO_CAPACITY
    assert 0.3 < moved.retry_after_s <= 0.4
    assert isinstance(ask(made, 2, 0.5, moving=True), Seat)


def test_a_hoarder_gets_no_appointments() -> None:
    made = ledger(4)
    for number in range(2):
        ask(made, number, uid=Uid("ann"))
    for number in range(2):
        ask(made, number)
    refused = ask(made, 9, uid=Uid("ann"))
    assert isinstance(refused, SeatRefused)
    assert refused.reason is SeatRefusal.RATE_LIMITED
    assert slot_of(ask(made, 10)) == pytest.approx(0.5 + 1 / 8)


def test_what_is_wrong_with_all_comes_before_any_appointment() -> None:
    made = ledger(1, capacity=1)
    ask(made, 0)
    full = ask(made, 1, 0.1, slot=0.2)
    assert isinstance(full, SeatRefused)
    assert full.reason is SeatRefusal.NO_CAPACITY
    nobody = ask(made, 1, 0.1, slot=0.2, exclude=frozenset({WSH1}))
    assert isinstance(nobody, SeatRefused)
    assert nobody.reason is SeatRefusal.NO_HANDLERS


def test_only_who_may_go_there_waits_for_a_parked_handler() -> None:
    made = ledger(1)
    ask(made, 0)
    refused = ask(made, 1, exclude=frozenset({WSH1}))
    assert isinstance(refused, SeatRefused)
    assert refused.reason is SeatRefusal.NO_HANDLERS


def test_the_book_counts_a_new_handler_by_its_mean() -> None:
    made = ledger(3, replace(POOL, slow_start_s=30.0))
    made.expire(40.0)
    for number in (1, 2, 3):
        made.report(Report(HandlerId(f"WSH{number}"), 1, 1, 0), 40.0)
    made.hello(Hello(HandlerId("WSH4"), 2, "http://h:1", "/ws", 100), 40.0)
    assert sum(isinstance(ask(made, who, 40.0), Seat) for who in range(4)) == 4
    assert slot_of(ask(made, 9, 40.0)) == pytest.approx(40.0 + 0.5 + 1 / 7)
