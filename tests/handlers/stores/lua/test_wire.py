import json

import pytest

from handlers.model import (
    Candidate,
    Decision,
    DrainOrder,
    HandlerId,
    Jti,
    PoolSettings,
    Seat,
    SeatRefusal,
    SeatRefused,
    SeatRequest,
    Uid,
)
from handlers.stores.lua import wire

REQUEST = SeatRequest(Uid("ann"), Jti("t"))


def test_what_is_absent_is_false() -> None:
    assert wire.wanted(REQUEST) == ("t", "ann", False, False, (), False, False)
    full = SeatRequest(Uid("ann"), Jti("t"), "phone", HandlerId("a"), frozenset({HandlerId("b")}), 7.5, True)
    assert wire.wanted(full) == ("t", "ann", "phone", "a", ("b",), 7.5, True)


@pytest.mark.parametrize("slot", [float("nan"), float("inf"), float("-inf")])
def test_a_slot_that_is_no_time_is_none(slot: float) -> None:
    assert wire.wanted(REQUEST._replace(slot=slot)) == wire.wanted(REQUEST)


def test_text_that_is_none_spoils_no_batch() -> None:
    assert json.loads(wire.call("alloc", "a\udcff")) == ["alloc", "a?"]
    assert wire.call("sweep") == b'["sweep"]'


def test_an_answer_is_a_seat_or_says_why_not() -> None:
    pool = PoolSettings()
    said = ["seat", "t", ["WSH1", "9007199254740992", "http://h:1", "/ws"], 100.0, "101.5", 3, 8]
    assert wire.seat(pool, REQUEST, said) == Seat(
        Jti("t"), Uid("ann"), HandlerId("WSH1"), 2**53, "http://h:1", "/ws", 112.0, 115.0, 160.0, 101.5, 3, 8
    )
    moving = wire.seat(pool, REQUEST._replace(moving=True), said)
    assert isinstance(moving, Seat)
    assert (moving.guaranteed_until, moving.held_until, moving.ticket_until) == (130.0, 133.0, 160.0)
    assert wire.seat(pool, REQUEST, ["no_handlers", "3"]) == SeatRefused(SeatRefusal.NO_HANDLERS, 3.0)
    later = SeatRefused(SeatRefusal.COME_BACK, 2.5, 102.5, 100.0)
    assert wire.seat(pool, REQUEST, ["come_back", "2.5", "102.5", "100"]) == later
    never = SeatRefused(SeatRefusal.COME_BACK, 60.0, None, 100.0)
    assert wire.seat(pool, REQUEST, ["come_back", "60", False, "100"]) == never


def test_a_drain_has_a_rate_or_none() -> None:
    assert wire.drain_order(["2.5", "40"]) == DrainOrder(2.5, 40.0)
    assert wire.drain_order(["0", False]) == DrainOrder(0.0)


def test_a_decision_tells_the_first_that_were_not_excluded_and_the_clients_last() -> None:
    ranks = [f"{number:016}h{number}\0{number} 2" for number in (*range(12), 11)]
    told = wire.decision(["7", "100.5", "ann", "h11", "h11", "h0\1gone", "\1".join(ranks)])
    assert told == Decision(
        sequence=7,
        at=100.5,
        uid=Uid("ann"),
        chosen=HandlerId("h11"),
        why="affinity",
        candidates=tuple(Candidate(HandlerId(f"h{n}"), n, 2, n) for n in (*range(1, 9), 11)),
        excluded=(HandlerId("gone"), HandlerId("h0")),
        last=HandlerId("h11"),
    )
