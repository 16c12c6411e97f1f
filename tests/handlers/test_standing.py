from typing import Any

from handlers.model import Admin, HandlerId, HandlerState, Hello, Jti, Known, Report, Seat, Uid
from handlers.roster import Closed, Listing
from handlers.standing import Standing

WSH1 = HandlerId("WSH1")
HOLD_S = 15.0


def standing() -> Standing:
    return Standing(WSH1, "http://h:1", "/ws", capacity=10, weight=1, joins_per_s=4.0, epoch=5)


def state(why_not: str = "", age: float | None = 0.0, **more: Any) -> HandlerState:
    told: dict[str, Any] = {"epoch": 5, "capacity": 10, "connections": 3, "held": 2, "admin": Admin.UP} | more
    return HandlerState(
        WSH1, "http://h:1", eligible=not why_not, why_not=why_not, last_report_age_s=age, **told
    )


def hello(epoch: int = 5, connections: int = 0) -> Hello:
    return Hello(WSH1, epoch, "http://h:2", "/chat", 20, weight=2, connections=connections)


def report(seq: int = 1, connections: int = 4, *confirmed: str, **more: Any) -> Report:
    return Report(WSH1, 5, seq, connections, tuple(map(Jti, confirmed)), **more)


def give(to: Standing, jti: str, now: float = 0.0) -> None:
    to.own[Jti(jti)] = Seat(
        Jti(jti), Uid("ann"), WSH1, 5, "http://h:1", "/ws", now, now + HOLD_S, now + 60, now, 1, 0
    )


def is_open(one: Standing, now: float = 0.0) -> bool:
    return one.is_open(now, 3.0)


def test_the_load_is_what_the_store_said_and_our_seats_once_for_every_gateway() -> None:
    one = standing()
    one.take_state(state(), 0.0, HOLD_S)
    give(one, "a")
    assert (one.load(0.0, 1), one.load(0.0, 3)) == (6, 8)
    assert one.load(15.0, 3) == 6, "the store's holds are over"


def test_a_report_replaces_the_count_and_settles_what_it_names() -> None:
    one = standing()
    one.take_state(state(), 0.0, HOLD_S)
    for jti in "abc":
        give(one, jti)
    settled = one.take_report(report(1, 5, "a", "of the store", closed=(Jti("b"),)), 1.0)
    assert settled == ["a", "b"]
    assert (one.connections, one.held) == (5, 1)


def test_what_it_confirms_again_is_not_counted_again() -> None:
    """Until a store takes them, the same confirmations come with every report."""
    one = standing()
    one.take_state(state(held=5), 0.0, HOLD_S)
    give(one, "a")
    for seq in (1, 2, 3):
        for jti in one.take_report(report(seq, 5, "of the store", "a", "and another"), 1.0):
            del one.own[jti]
    assert one.held == 3


def test_a_seat_is_over_when_clients_were_counted_after_its_hold() -> None:
    one = standing()
    give(one, "a", now=0.0)
    assert one.take_report(report(1), 14.9) == []
    assert one.load(100.0, 1) == 5, "nobody has counted since"
    assert one.take_report(report(2), 15.0) == ["a"]


def test_one_that_the_store_heard_after_a_hold_settles_it_too() -> None:
    one = standing()
    give(one, "a", now=0.0)
    assert one.take_state(state(age=2.0), 16.9, HOLD_S) == []
    assert one.take_state(state(age=2.0), 17.0, HOLD_S) == ["a"]


def test_a_report_that_the_store_missed_goes_before_its_count() -> None:
    one = standing()
    one.take_report(report(1, 9), 10.0)
    one.take_state(state("silent", age=6.0), 11.0, HOLD_S)
    assert (one.connections, is_open(one, 11.0)) == (9, True)


def test_of_the_same_report_the_store_may_know_the_age_a_little_otherwise() -> None:
    one = standing()
    one.take_report(report(1, 9), 10.0)
    one.take_state(state(age=1.1), 11.0, HOLD_S)
    assert (one.connections, one.heard_at) == (3, 10.0)


def test_silence_counts_only_for_one_that_speaks_to_us() -> None:
    one = standing()
    one.take_state(state(), 0.0, HOLD_S)
    assert is_open(one, 1000.0)
    one.take_report(report(), 1000.0)
    assert is_open(one, 1002.9)
    assert not is_open(one, 1003.0)
    one.take_state(state(age=0.0), 1003.0, HOLD_S)
    assert is_open(one, 2000.0), "it speaks to another gateway now"


def test_one_that_was_silent_for_the_store_is_open_when_it_speaks() -> None:
    for news in (report(), hello()):
        one = standing()
        one.take_state(state("silent", age=10.0), 0.0, HOLD_S)
        assert not is_open(one)
        if isinstance(news, Report):
            one.take_report(news, 1.0)
        else:
            one.take_hello(news, 1.0)
        assert is_open(one, 1.0)


def test_one_that_nobody_wants_used_stays_closed_until_it_is_another_process() -> None:
    told: list[HandlerState | Report] = [
        state(admin=Admin.DRAINING, why_not="draining"), state("leaving"), report(leaving=True)
    ]  # fmt: skip
    for news in told:
        one = standing()
        if isinstance(news, Report):
            one.take_report(news, 0.0)
        else:
            one.take_state(news, 0.0, HOLD_S)
        one.take_report(report(2), 1.0)
        one.take_hello(hello(), 1.0)
        assert not is_open(one, 1.0)
        one.take_hello(hello(epoch=6), 1.0)
        assert is_open(one, 1.0)


def test_the_registry_goes_before_what_the_store_said_of_it() -> None:
    for why in (Closed.MAINTENANCE, Closed.NOT_PASSING, Closed.DELISTED):
        one = standing()
        one.take_state(state(why.value), 0.0, HOLD_S)
        assert not is_open(one)
        one.list_as(Known(WSH1, "http://h:1"), 7)
        assert is_open(one)
    for known in (Known(WSH1, "http://h:1", healthy=False), Known(WSH1, "http://h:1", draining=True)):
        one.list_as(known, 7)
        assert not is_open(one)


def test_the_registry_describes_only_who_never_spoke() -> None:
    one = standing()
    one.list_as(Known(WSH1, "http://other:1"), 7)
    assert (one.url, one.capacity) == ("http://h:1", 10)
    one.epoch = 0
    one.list_as(Known(WSH1, "http://other:1", "/chat", weight=2), 7)
    assert (one.url, one.path, one.weight, one.capacity) == ("http://other:1", "/chat", 2, 7)


def test_one_that_speaks_waits_for_its_hello() -> None:
    one = standing()
    one.epoch = 0
    one.list_as(Known(WSH1, "http://h:1", speaks=True), 7)
    assert not is_open(one)
    one.take_hello(hello(), 0.0)
    assert is_open(one)
    assert (one.url, one.path, one.capacity, one.weight) == ("http://h:2", "/chat", 20, 2)


def test_a_later_incarnation_loses_every_seat_and_an_earlier_one_says_nothing() -> None:
    one = standing()
    one.connections, one.listing = 9, Listing.DELISTED
    give(one, "a")
    assert one.take_state(state(epoch=4), 0.0, HOLD_S) == []
    assert one.connections == 9
    assert one.take_state(state(epoch=6), 0.0, HOLD_S) == ["a"]
    assert (one.connections, one.epoch, one.listing) == (3, 6, Listing.NEVER)


def test_a_repeated_hello_is_believed_upwards() -> None:
    one = standing()
    one.connections = 9
    assert one.take_hello(hello(connections=2), 0.0) == []
    assert one.connections == 9


def test_tokens_come_at_the_gateways_share_of_the_rate() -> None:
    one = standing()
    assert one.refill(1.0, 10, 1) == 4.0
    assert one.refill(1.0, 10, 1) == 4.0
    assert one.refill(2.0, 10, 4) == 2.5, "a share of the burst"
    assert one.refill(2.5, 10, 4) == 2.5
    one.tokens = 0.0
    assert one.refill(2.0, 10, 4) == 0.0, "a clock set back takes nothing"
    assert one.refill(4.0, 1, 8) == 1.0, "never less than one"


def shown(one: Standing, now: float = 0.0, gateways: int = 1) -> HandlerState:
    return one.seen(now, 3.0, gateways)


def test_operators_see_it_as_seats_are_given_out() -> None:
    one = standing()
    one.take_state(state(), 0.0, HOLD_S)
    give(one, "a")
    seen = shown(one, gateways=2)
    assert (seen.id, seen.epoch, seen.connections, seen.held, seen.capacity) == (WSH1, 5, 3, 4, 10)
    assert (seen.eligible, seen.why_not, seen.last_report_age_s) == (True, "", None)
    one.take_report(report(1, 10), 1.0)
    full = shown(one, 3.5)
    assert (full.eligible, full.why_not, full.last_report_age_s) == (False, "full", 2.5)


def test_operators_see_why_it_gets_nobody() -> None:
    for why in ("draining", "silent", "not_passing"):
        one = standing()
        one.take_state(state(why, None), 0.0, HOLD_S)
        assert (shown(one).eligible, shown(one).why_not) == (False, why)
    for known, closed in (
        (Known(WSH1, "http://h:1", draining=True), Closed.MAINTENANCE),
        (Known(WSH1, "http://h:1", healthy=False), Closed.NOT_PASSING),
    ):
        one = standing()
        one.list_as(known, 10)
        assert shown(one).why_not == closed
    unheard = standing()
    unheard.epoch = 0
    unheard.list_as(Known(WSH1, "http://h:1", speaks=True), 10)
    assert shown(unheard).why_not == Closed.NO_HELLO
