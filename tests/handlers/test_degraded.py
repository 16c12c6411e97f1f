import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from handlers import degraded
from handlers.degraded import LocalLedger
from handlers.model import (
    Admin,
    HandlerId,
    HandlerState,
    Hello,
    Jti,
    Known,
    PoolSettings,
    Report,
    ReportRefusal,
    ReportRefused,
    Seat,
    SeatRefusal,
    SeatRefused,
    SeatRequest,
    Uid,
)

WSH1, WSH2 = HandlerId("WSH1"), HandlerId("WSH2")
POOL = PoolSettings(capacity=7, joins_per_s=4.0, joins_burst=6)
FAST = PoolSettings(joins_per_s=1e6, joins_burst=10**6)


def state(name: str = "WSH1", connections: int = 0, capacity: int = 10, **more: Any) -> HandlerState:
    told: dict[str, Any] = {
        "url": f"http://{name}:1", "epoch": 5, "held": 0, "admin": Admin.UP, "eligible": True,
        "why_not": "", "last_report_age_s": 0.0, "tokens": 1e6,
    }  # fmt: skip
    return HandlerState(HandlerId(name), connections=connections, capacity=capacity, **(told | more))


def ledger(*states: HandlerState, pool: PoolSettings = FAST, seed: int = 1, gateways: int = 1) -> LocalLedger:
    made = LocalLedger(pool, random.Random(seed))
    made.adopt(states, 0.0, gateways)
    return made


def request(number: object = 0, **more: Any) -> SeatRequest:
    return SeatRequest(Uid(f"user {number}"), Jti(f"seat {number}"), **more)


def reserved(made: LocalLedger, number: object = 0, now: float = 0.0, gateways: int = 1, **more: Any) -> Seat:
    seat = made.reserve(request(number, **more), now, gateways)
    assert isinstance(seat, Seat)
    return seat


def refused(made: LocalLedger, number: object = 0, now: float = 0.0, **more: Any) -> SeatRefused:
    got = made.reserve(request(number, **more), now, 1)
    assert isinstance(got, SeatRefused)
    return got


# --- what is handed out --------------------------------------------------------------------------


def test_a_seat_promises_no_room_and_its_ticket_lasts_as_ever() -> None:
    seat = reserved(ledger(state()), now=7.0)
    assert (seat.handler, seat.epoch, seat.url, seat.path) == (WSH1, 5, "http://WSH1:1", "/ws")
    assert (seat.guaranteed_until, seat.held_until, seat.ticket_until) == (7.0, 22.0, 67.0)
    assert (seat.load, seat.now) == (1, 7.0)


NAMES = ("A", "B", "C", "D", "E")
WHY = ("", "", "", "draining", "leaving", "maintenance", "not_passing", "silent", "delisted")
fleets = st.lists(
    st.builds(
        state,
        st.sampled_from(NAMES),
        connections=st.integers(0, 5),
        held=st.integers(0, 3),
        capacity=st.integers(1, 6),
        weight=st.integers(1, 3),
        epoch=st.integers(1, 3),
        why_not=st.sampled_from(WHY),
    ),
    unique_by=lambda one: one.id,
)


@given(
    fleets,
    st.integers(1, 4),
    st.sets(st.sampled_from(NAMES)),
    st.none() | st.sampled_from(NAMES),
    st.integers(0, 2**32),
)
def test_every_seat_is_where_it_may_be_and_every_refusal_is_true(
    fleet: Sequence[HandlerState], gateways: int, exclude: set[str], last: str | None, seed: int
) -> None:
    made = ledger(*fleet, seed=seed)
    excluded = frozenset(map(HandlerId, exclude))
    given_out: Counter[HandlerId] = Counter()
    for number in range(40):
        room = {
            one.id
            for one in fleet
            if one.why_not == "" and one.id not in excluded
            and one.connections + one.held + given_out[one.id] * gateways < one.capacity
        }  # fmt: skip
        told = request(number, exclude=excluded, last=None if last is None else HandlerId(last))
        got = made.reserve(told, 0.0, gateways)
        if isinstance(got, Seat):
            assert got.handler in room
            given_out[got.handler] += 1
        else:
            assert not room
            usable = any(one.why_not == "" and one.id not in excluded for one in fleet)
            assert got.reason is (SeatRefusal.NO_CAPACITY if usable else SeatRefusal.NO_HANDLERS)


@given(st.lists(st.floats(0, 2), max_size=60), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**32))
def test_no_handler_gets_more_than_its_bucket_holds_from_all_gateways_together(
    pauses: Sequence[float], handlers: int, gateways: int, seed: int
) -> None:
    fleet = [state(str(number), capacity=10**6, tokens=6.0) for number in range(handlers)]
    made = [ledger(*fleet, pool=POOL, seed=seed + gateway, gateways=gateways) for gateway in range(gateways)]
    now, taken = 0.0, Counter[str]()
    for number, pause in enumerate(pauses):
        now += pause
        for gateway in made:
            got = gateway.reserve(request(number), now, gateways)
            if isinstance(got, Seat):
                taken[got.handler] += 1
            else:
                assert got.reason is SeatRefusal.COME_BACK
                assert got.slot is None
                assert 0 < got.retry_after_s <= POOL.horizon_s
    burst = POOL.joins_burst
    assert all(count <= burst + POOL.joins_per_s * now + 1e-6 for count in taken.values())


def test_who_finds_no_token_comes_back_one_after_the_other_and_beyond_the_horizon_at_random() -> None:
    made = ledger(state(capacity=1000), pool=POOL)
    for number in range(6):
        reserved(made, number)
    waits = [refused(made, f"late {number}").retry_after_s for number in range(300)]
    assert waits[:3] == [0.25, 0.5, 0.75]
    assert waits[239] == 60.0
    assert all(30 <= wait <= 60 for wait in waits[240:])
    assert len(set(waits[240:])) == 60


def test_the_tokens_that_the_store_had_left_are_shared_by_the_gateways() -> None:
    made = ledger(state(tokens=4.0), pool=POOL, gateways=2)
    for number in range(2):
        reserved(made, number, gateways=2)
    assert refused(made).reason is SeatRefusal.COME_BACK


def test_many_gateways_with_the_same_old_view_overfill_nobody() -> None:
    """The row "power of two choices on the stale view" of ALLOCATION 1: one fresh handler among twenty."""
    fleet = [state("fresh", 0, 2000), *(state(str(number), 1000, 2000) for number in range(19))]
    gateways = [ledger(*fleet, seed=seed) for seed in range(4)]
    joined: Counter[str] = Counter(reserved(gateways[n % 4], n, gateways=4).handler for n in range(10_000))
    assert all(joined[one.id] + one.connections <= one.capacity for one in fleet)
    assert max(joined.values()) < 1.3 * 2 * 10_000 / 20, "at most twice its share: it is one of two"


def test_the_lesser_of_two_by_weight() -> None:
    assert reserved(ledger(state("A", 4, weight=2), state("B", 3))).handler in ("A", "B")
    counted: Counter[str] = Counter(
        reserved(ledger(state("A", 4, weight=2), state("B", 3), seed=seed)).handler for seed in range(200)
    )
    assert counted["A"] > 2 * counted["B"] > 0, "B only when it is drawn twice"


def test_one_that_the_client_knows_is_one_of_the_two() -> None:
    fleet = [state(str(number), 3) for number in range(50)]
    assert all(reserved(ledger(*fleet, seed=seed), last=HandlerId("7")).handler == "7" for seed in range(20))
    crowded = [*fleet[1:], state("0", 9)]
    assert reserved(ledger(*crowded), last=HandlerId("0")).handler != "0"


# --- the same client again -----------------------------------------------------------------------


def test_a_repeat_gets_the_same_seat_while_it_is_unused() -> None:
    made = ledger(state("A"), state("B"))
    first = reserved(made, "a", client_id="phone")
    again = made.reserve(SeatRequest(first.uid, Jti("b"), "phone"), 5.0, 1)
    assert again == first._replace(now=5.0)
    assert reserved(made, "c", client_id="phone").jti == "seat c", "another user's phone"
    made.report(Report(first.handler, 5, 1, 1, (first.jti,)), 6.0)
    assert reserved(made, "a", now=6.0, client_id="phone") != first._replace(now=6.0)


def test_a_repeat_gets_another_seat_when_its_own_is_over_or_unwanted() -> None:
    made = ledger(state("A"), state("B"))
    first = reserved(made, "a", client_id="phone")
    elsewhere = reserved(made, "a", client_id="phone", exclude=frozenset([first.handler]))
    assert elsewhere.handler != first.handler
    assert reserved(made, "a", client_id="phone").handler == elsewhere.handler
    late = reserved(made, "a", now=15.0, client_id="phone")
    assert late.now == late.guaranteed_until
    made.report(Report(late.handler, 5, 1, 1, leaving=True), 15.0)
    assert reserved(made, "a", now=15.0, client_id="phone").handler != late.handler


def test_nobody_holds_more_seats_than_a_user_may() -> None:
    made = ledger(state(capacity=100), pool=replace(FAST, seats_per_user=2))

    def ask(jti: str, now: float) -> Seat | SeatRefused:
        return made.reserve(SeatRequest(Uid("ann"), Jti(jti)), now, 1)

    assert isinstance(ask("a", 0.0), Seat)
    assert isinstance(ask("b", 5.0), Seat)
    assert ask("c", 6.0) == SeatRefused(SeatRefusal.RATE_LIMITED, 9.0, now=6.0)
    assert isinstance(reserved(made, "another", now=6.0), Seat)
    assert made.cancel(Jti("a"))
    assert isinstance(ask("d", 6.0), Seat)
    assert made.report(Report(WSH1, 5, 1, 1, confirmed=(Jti("b"),)), 7.0) is None
    assert isinstance(ask("e", 7.0), Seat), "one that is used counts no more"
    assert isinstance(ask("f", 7.0), SeatRefused)
    assert made.report(Report(WSH1, 5, 2, 1), 19.0) is None
    assert isinstance(ask("g", 21.0), Seat), "nor does one whose hold is over"


def test_a_cancelled_seat_is_free() -> None:
    made = ledger(state(capacity=1))
    seat = reserved(made)
    assert refused(made).reason is SeatRefusal.NO_CAPACITY
    assert made.cancel(seat.jti)
    assert not made.cancel(seat.jti)
    reserved(made)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOST_HANDLERS", "MOST_SEATS", "MOST_CLIENTS"):
        monkeypatch.setattr(degraded, name, 3)
    made = ledger(*(state(str(number), capacity=100) for number in range(5)))
    assert made.hello(Hello(WSH1, 1, "http://h:1", "/ws", 2), 0.0) is None
    seats = [reserved(made, number, client_id="phone") for number in range(9)]
    assert repr(made) == "<LocalLedger: 3 handlers, 3 seats of its own>"
    assert [made.cancel(seat.jti) for seat in seats] == [False] * 6 + [True] * 3


# --- what is heard -------------------------------------------------------------------------------


def test_without_a_word_of_anybody_there_is_nobody() -> None:
    assert refused(ledger()) == SeatRefused(SeatRefusal.NO_HANDLERS, POOL.dead_after_s, now=0.0)


def test_a_gateway_that_starts_while_the_store_is_away_learns_of_handlers_by_their_hellos() -> None:
    made = ledger()
    report = Report(WSH1, 5, 1, 3)
    unknown = ReportRefused(ReportRefusal.UNKNOWN_HANDLER)
    assert made.report(report, 0.0) == unknown
    made.listed([Known(WSH1, "http://h:1", speaks=True), Known(WSH2, "http://h:2", healthy=False)], 0.0)
    assert made.report(report, 0.0) == unknown
    assert refused(made).reason is SeatRefusal.NO_HANDLERS
    assert made.hello(Hello(WSH1, 5, "http://h:1", "/ws", 4, connections=3), 0.0) is None
    assert made.report(report, 0.0) is None
    assert reserved(made).epoch == 5
    assert refused(made, 1).reason is SeatRefusal.NO_CAPACITY


def test_operators_see_every_handler_and_what_was_heard_of_it() -> None:
    made = ledger(state("WSH1", 3), state("WSH2"))
    made.report(Report(WSH1, 5, 1, 4), 1.0)
    one, other = made.states(3.0, 1)
    assert (one.id, one.connections, one.last_report_age_s) == (WSH1, 4, 2.0)
    assert (other.id, other.connections, other.eligible) == (WSH2, 0, True)


def test_earlier_incarnations_are_refused() -> None:
    made = ledger(state())
    stale = ReportRefused(ReportRefusal.STALE_EPOCH)
    assert made.hello(Hello(WSH1, 4, "http://h:1", "/ws", 2), 0.0) == stale
    assert made.report(Report(WSH1, 4, 1, 0), 0.0) == stale
    assert made.report(Report(WSH1, 6, 1, 0), 0.0) == ReportRefused(ReportRefusal.UNKNOWN_HANDLER)


def test_an_old_report_says_nothing() -> None:
    made = ledger(state(capacity=2))
    made.report(Report(WSH1, 5, 2, 2), 0.0)
    made.report(Report(WSH1, 5, 1, 0), 0.0)
    assert refused(made).reason is SeatRefusal.NO_CAPACITY


def test_a_handler_without_the_sdk_is_used_as_it_is_registered() -> None:
    made = ledger(pool=POOL)
    made.listed([Known(WSH1, "http://h:1")], 0.0)
    seat = reserved(made)
    assert (seat.url, seat.epoch) == ("http://h:1", 0)
    made.listed([], 0.0)
    assert refused(made).reason is SeatRefusal.NO_HANDLERS
    assert repr(made) == "<LocalLedger: 0 handlers, 0 seats of its own>"


def test_one_that_has_left_the_registry_and_still_speaks_is_forgotten_a_minute_later() -> None:
    made = ledger(state())
    made.listed([Known(WSH1, "http://h:1")], 0.0)
    made.report(Report(WSH1, 5, 1, 0), 1.0)
    made.listed([], 2.0)
    assert refused(made, now=2.0).reason is SeatRefusal.NO_HANDLERS
    assert repr(made).startswith("<LocalLedger: 1 ")
    made.listed([], 61.0)
    assert repr(made).startswith("<LocalLedger: 0 ")


def test_many_gateways_hear_each_only_some_reports() -> None:
    made = ledger(state())
    made.report(Report(WSH1, 5, 1, 0), 0.0)
    assert isinstance(made.reserve(request(), 8.0, 3), Seat)
    assert isinstance(made.reserve(request(1), 9.0, 3), SeatRefused)


def test_a_seat_of_the_store_tells_the_load_of_its_handler() -> None:
    made = ledger(state(capacity=9))
    seat = reserved(ledger(state()))
    made.seated(seat._replace(load=8))
    assert reserved(made).load == 9
    made.seated(seat._replace(handler=WSH2))
    assert refused(made, 1).reason is SeatRefusal.NO_CAPACITY


def test_the_view_of_a_store_that_has_lost_everything_is_believed_when_it_is_adopted() -> None:
    made = ledger(state("A"), state("B"), state("C"))
    made.merge([state("A", epoch=4), state("D")], 0.0)
    assert repr(made).startswith("<LocalLedger: 4 ")
    made.adopt([state("A", epoch=4), state("D")], 0.0, 1)
    assert repr(made).startswith("<LocalLedger: 2 ")
    assert {reserved(made, n).epoch for n in range(20)} == {4, 5}


# --- whether the store has heard of everybody ----------------------------------------------------


def test_the_share_that_a_store_has_not_heard_of() -> None:
    fleet = [state("A"), state("B"), state("C"), state("D")]
    made = ledger(*fleet, state("E", why_not="draining"), state("F", epoch=0, last_report_age_s=None))

    def unheard(*states: HandlerState, within_s: float = 1.0) -> float:
        return made.unheard(states, within_s, 0.0, 1)

    assert unheard() == 1.0
    assert unheard(*fleet) == 0.0
    assert unheard(*fleet[:3]) == 0.25
    assert unheard(*fleet[1:], replace(fleet[0], epoch=4)) == 0.25
    assert unheard(*fleet[1:], replace(fleet[0], last_report_age_s=1.5)) == 0.25
    assert unheard(*fleet[1:], replace(fleet[0], last_report_age_s=None)) == 0.25
    assert ledger().unheard([], 1.0, 0.0, 1) == 0.0


# --- any day -------------------------------------------------------------------------------------


class LocalDay(RuleBasedStateMachine):
    """Handlers, store, registry and clients say what they like, in any order."""

    names = st.sampled_from([HandlerId("A"), HandlerId("B"), HandlerId("C")])
    epochs = st.integers(1, 3)

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.made = LocalLedger(POOL, random.Random(1))
        self.given: list[Seat] = []

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(fleet=fleets, whole=st.booleans())
    def store_tells(self, fleet: Sequence[HandlerState], whole: bool) -> None:
        if whole:
            self.made.adopt(fleet, self.now, 2)
        else:
            self.made.merge(fleet, self.now)

    @rule(names=st.sets(names), speaks=st.booleans(), healthy=st.booleans(), draining=st.booleans())
    def registry_tells(self, names: set[HandlerId], speaks: bool, healthy: bool, draining: bool) -> None:
        known = [Known(name, "http://k:1", "/ws", 3, 1, healthy, draining, speaks) for name in names]
        self.made.listed(known, self.now)

    @rule(name=names, epoch=epochs, connections=st.integers(0, 5))
    def says_hello(self, name: HandlerId, epoch: int, connections: int) -> None:
        hello = Hello(name, epoch, "http://h:1", "/ws", 4, connections=connections)
        self.made.hello(hello, self.now)

    @rule(
        name=names, epoch=epochs, seq=st.integers(1, 9), connections=st.integers(0, 5), leaving=st.booleans()
    )
    def reports(self, name: HandlerId, epoch: int, seq: int, connections: int, leaving: bool) -> None:
        confirmed = tuple(seat.jti for seat in self.given[-3:])
        self.made.report(Report(name, epoch, seq, connections, confirmed, leaving=leaving), self.now)

    @rule(gateways=st.integers(1, 3), client=st.none() | st.sampled_from("xy"), exclude=st.sets(names))
    def asks(self, gateways: int, client: str | None, exclude: set[HandlerId]) -> None:
        told = SeatRequest(Uid("ann"), Jti(f"{len(self.given)}"), client, exclude=frozenset(exclude))
        got = self.made.reserve(told, self.now, gateways)
        if isinstance(got, Seat):
            assert got.handler not in exclude
            assert got.now == self.now < got.held_until < got.ticket_until
            self.given.append(got)

    @rule(back=st.integers(1, 5))
    def hangs_up(self, back: int) -> None:
        for seat in self.given[-back:][:1]:
            self.made.cancel(seat.jti)

    @invariant()
    def every_seat_is_counted_where_it_is(self) -> None:
        counted = {jti: one.id for one in self.made._places for jti in one.own}
        assert counted == {jti: seat.handler for jti, seat in self.made._seats.items()}
        assert {one.id for one in self.made._places} == set(self.made._handlers)

    @invariant()
    def an_earlier_incarnation_never_has_seats(self) -> None:
        assert all(seat.epoch == one.epoch for one in self.made._places for seat in one.own.values())


TestLocalDay = LocalDay.TestCase
TestLocalDay.settings = settings(max_examples=40, stateful_step_count=30)
