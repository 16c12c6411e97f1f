"""The ledger on a bad day (a machine, in virtual time), and one example of each rule."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from handlers.admission import GUARD_S
from handlers.ledger import SeatLedger
from handlers.model import (
    DrainOrder,
    HandlerId,
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
from handlers.roster import FORGET_AFTER_S
from handlers.turns import RETRY_WHEN_FULL_S
from tests.handlers.machine import POOL, THROTTLED, SeatMachine
from tests.handlers.subjects import LedgerSubject


@pytest.mark.parametrize("settled", [POOL, THROTTLED], ids=["roomy", "throttled"])
def test_the_ledger_on_a_bad_day(settled: PoolSettings) -> None:
    class LedgerMachine(SeatMachine):
        open = staticmethod(LedgerSubject)
        pool = settled

    run_state_machine_as_test(LedgerMachine, settings=settings(max_examples=35, stateful_step_count=50))


WSH1, WSH2 = HandlerId("WSH1"), HandlerId("WSH2")
DRAIN = DrainOrder(30.0)
ROOMY = PoolSettings(capacity=100, joins_burst=100)


def ledger(*capacities: int, pool: PoolSettings = ROOMY) -> SeatLedger:
    """Handlers WSH1, WSH2, … that have said hello at time 0."""
    made = SeatLedger(pool)
    for number, capacity in enumerate(capacities, 1):
        name = HandlerId(f"WSH{number}")
        assert made.hello(Hello(name, 1, f"http://{name}:1", "/ws", capacity), 0.0) is None
    return made


def ask(made: SeatLedger, jti: str, now: float = 0.0, **more: Any) -> Seat | SeatRefused:
    """For a user of its own, unless `uid` names one."""
    request = SeatRequest(Uid(f"user of {jti}"), Jti(jti))
    return made.reserve(request._replace(**more), now)


def seat(made: SeatLedger, jti: str, now: float = 0.0, **more: Any) -> Seat:
    got = ask(made, jti, now, **more)
    assert isinstance(got, Seat)
    return got


def report(seq: int, connections: int, *confirmed: str, closed: tuple[str, ...] = ()) -> Report:
    return Report(WSH1, 1, seq, connections, tuple(map(Jti, confirmed)), tuple(map(Jti, closed)))


@given(st.integers(1, 12), st.integers(1, 60))
def test_equal_handlers_never_differ_by_more_than_one(handlers: int, seats: int) -> None:
    """I9."""
    made = ledger(*[100] * handlers)
    for number in range(seats):
        seat(made, f"t{number}")
    held = [state.held for state in made.states(0.0)]
    assert max(held) - min(held) <= 1


class WithoutTheGuard(PoolSettings):
    """Holds end with the guarantee: what a pool must not do."""

    @property
    def hold_s(self) -> float:
        return self.guaranteed_s


def over_commits(pool: PoolSettings, guard_s: float = GUARD_S) -> int:
    """How often one place is promised twice, over all worst cases of one lost confirmation.

    The client comes at the last moment at which it is let in unasked, by a clock a second slow. The
    last report before that knows nothing of it and is a second late; everything after it is lost.
    """
    found = 0
    last_moment = pool.guaranteed_s - guard_s + 1.0
    for connects_at in (1.0, last_moment - 0.5, last_moment - 0.01):
        for late_s in (0.0, 0.5, 1.0):
            for asks_after in range(1, 40):
                made = ledger(1, pool=pool)
                seat(made, "first")
                for second in range(1, int(connects_at)):
                    made.report(report(second, 0), float(second))
                heard_at = connects_at - 0.001 + late_s
                made.report(report(99, 0), heard_at)
                asks_at = max(heard_at, connects_at) + asks_after / 4
                found += isinstance(ask(made, "second", asks_at), Seat)
    return found


def test_lost_confirmations_never_promise_a_place_twice() -> None:
    """I1 at its edge: the hold outlives the guarantee by the time in which a death is noticed."""
    assert over_commits(PoolSettings()) == 0
    assert over_commits(WithoutTheGuard()) > 0
    assert over_commits(PoolSettings(), guard_s=0.0) > 0


def test_a_handler_counts_as_dead_when_it_has_said_nothing_for_too_long() -> None:
    """I8: at `dead_after_s` to the second, and a report brings it back."""
    made = ledger(10)
    assert isinstance(ask(made, "a", 2.999), Seat)
    assert ask(made, "b", 3.0) == SeatRefused(SeatRefusal.NO_HANDLERS, 3.0)
    made.report(report(1, 0), 4.0)
    assert isinstance(ask(made, "c", 4.0), Seat)


def test_a_full_handler_tells_when_its_next_hold_ends() -> None:
    made = ledger(1)
    seat(made, "a", 1.0)
    made.report(report(1, 0), 2.0)
    assert ask(made, "b", 2.0) == SeatRefused(SeatRefusal.NO_CAPACITY, 14.0)
    made.report(report(2, 1, "a"), 2.5)
    assert ask(made, "b", 2.5) == SeatRefused(SeatRefusal.NO_CAPACITY, RETRY_WHEN_FULL_S)


def test_a_handler_that_is_only_registered_is_counted_by_its_reservations() -> None:
    made = SeatLedger(PoolSettings(capacity=2))
    made.sync(1, [Known(WSH1, "http://h:1")], 0.0)
    assert [seat(made, jti, 100.0).epoch for jti in "ab"] == [0, 0]
    assert isinstance(ask(made, "c", 114.9), SeatRefused)
    assert isinstance(ask(made, "c", 115.0), Seat)


def test_a_seat_of_a_client_is_the_same_while_it_is_held() -> None:
    made = ledger(10, 10)
    first = seat(made, "a", uid="ann", client_id="phone")
    again = seat(made, "b", 2.0, uid="ann", client_id="phone")
    assert (again.jti, again.guaranteed_until, again.ticket_until) == ("a", 12.0, 60.0)
    assert again.now == 2.0
    assert seat(made, "c", 2.0, uid="bob", client_id="phone").jti == "c"
    assert seat(made, "d", 2.0, uid="ann", client_id="tablet").jti == "d"
    elsewhere = seat(made, "e", 2.0, uid="ann", client_id="phone", exclude=frozenset({first.handler}))
    assert elsewhere.handler != first.handler


def test_a_seat_that_was_given_out_twice_is_not_taken_from_the_second_by_the_first() -> None:
    made = ledger(10)
    seat(made, "a", uid="ann", client_id="phone")
    seat(made, "b", uid="ann", client_id="phone")
    assert not made.cancel(Jti("a"), 0.0)
    assert made.states(0.0)[0].held == 1


def test_a_used_ticket_is_no_seat_for_a_repeated_request() -> None:
    made = ledger(10)
    seat(made, "a", uid="ann", client_id="phone")
    made.report(report(1, 1, "a"), 1.0)
    assert seat(made, "b", 1.0, uid="ann", client_id="phone").jti == "b"


def test_nobody_hoards_seats() -> None:
    """A seat that is held is not replaced: its handler lets its ticket in, and no store could stop that."""
    made = ledger(100)
    for number in range(5):
        seat(made, f"t{number}", number / 4, uid="ann")
    assert ask(made, "more", 2.0, uid="ann") == SeatRefused(SeatRefusal.RATE_LIMITED, 13.0)
    assert made.states(2.0)[0].held == ROOMY.seats_per_user
    assert seat(made, "bob's", 2.0).handler == WSH1
    nowhere = ask(made, "nowhere", 2.0, uid="ann", exclude=frozenset({WSH1}))
    assert nowhere == SeatRefused(SeatRefusal.NO_HANDLERS, 3.0)  # what is wrong with all comes first


def test_at_the_limit_the_oldest_seat_that_is_no_longer_held_is_replaced() -> None:
    made = ledger(2, 100)
    for number in range(5):
        seat(made, f"t{number}", uid="ann", exclude=frozenset({WSH1}))
    assert made.admit_late(WSH2, 1, Jti("t0"), 2.0)  # in use from now on, and held for longer
    made.report(report(1, 0), 14.9)
    assert isinstance(ask(made, "early", 14.9, uid="ann"), SeatRefused)
    made.report(report(2, 0), 15.0)
    assert isinstance(ask(made, "nowhere", 15.0, uid="ann", exclude=frozenset({WSH1, WSH2})), SeatRefused)
    seat(made, "new", 15.0, uid="ann")
    assert [made.cancel(Jti(jti), 15.0) for jti in ("t0", "t1", "t2")] == [True, False, True]


def test_a_hoarder_does_not_void_the_seat_of_another() -> None:
    """I1: no more tickets are given out than have a place, whoever asks for them."""
    made = ledger(6)
    seat(made, "y")
    answers = [ask(made, f"x{number}", uid="x") for number in range(12)]
    assert sum(isinstance(answer, Seat) for answer in answers) == 5


def test_a_client_goes_back_to_its_handler_unless_that_has_much_more_load() -> None:
    made = ledger(10, 10)
    got = [seat(made, jti, last=WSH2) for jti in "abc"]
    assert [each.handler for each in got] == [WSH2, WSH2, WSH1]
    why = [made.decision(each.sequence) for each in got]
    assert [decision.why for decision in why if decision] == ["affinity", "affinity", "least_loaded"]


def test_an_excluded_handler_is_passed_over_and_its_room_is_no_room() -> None:
    made = ledger(10, 1)
    assert seat(made, "a", exclude=frozenset({WSH1})).handler == WSH2
    refused = ask(made, "b", exclude=frozenset({WSH1}))
    assert isinstance(refused, SeatRefused)
    assert refused.reason is SeatRefusal.NO_CAPACITY
    assert ask(made, "c", exclude=frozenset({WSH1, WSH2})) == SeatRefused(SeatRefusal.NO_HANDLERS, 3.0)


def test_a_heartbeat_does_not_bring_a_drained_handler_back() -> None:
    made = ledger(10)
    assert made.drain(WSH1, DRAIN, 0.0)
    made.report(report(1, 0), 1.0)
    made.hello(Hello(WSH1, 1, "http://h:1", "/ws", 10), 1.0)
    assert isinstance(ask(made, "a", 1.0), SeatRefused)
    assert made.drain(WSH1, None, 1.0)
    assert isinstance(ask(made, "a", 1.0), Seat)
    assert not made.drain(WSH2, DRAIN, 1.0)


def test_a_leaving_process_gets_nobody_until_it_starts_anew() -> None:
    made = ledger(10)
    made.report(Report(WSH1, 1, 1, 0, leaving=True), 0.5)
    assert isinstance(ask(made, "a", 0.5), SeatRefused)
    made.hello(Hello(WSH1, 2, "http://h:1", "/ws", 10), 1.0)
    assert seat(made, "a", 1.0).epoch == 2


def test_a_new_incarnation_voids_the_seats_of_the_one_before() -> None:
    """I6: and nothing the old one still has to say changes anything."""
    made = ledger(10)
    seat(made, "a")
    made.hello(Hello(WSH1, 2, "http://h:1", "/ws", 10), 0.5)
    before = made.states(0.5)
    assert before[0].held == 0
    assert made.report(report(9, 7, "a"), 0.5) == ReportRefused(ReportRefusal.STALE_EPOCH)
    assert made.hello(Hello(WSH1, 1, "http://x:1", "/x", 1), 0.5) == ReportRefused(ReportRefusal.STALE_EPOCH)
    assert not made.admit_late(WSH1, 1, Jti("a"), 0.5)
    assert made.states(0.5) == before
    assert repr(made).startswith("<SeatLedger: 1 handlers, <SeatBook: 0 seats")


def test_who_is_not_known_is_asked_to_say_hello() -> None:
    made = ledger()
    unknown = ReportRefused(ReportRefusal.UNKNOWN_HANDLER)
    assert made.report(report(1, 0), 0.0) == unknown
    made.sync(1, [Known(WSH1, "http://h:1", speaks=True)], 0.0)
    assert made.report(report(1, 0), 0.0) == unknown
    assert made.states(0.0)[0].why_not == "no_hello"


def test_an_old_report_changes_nothing() -> None:
    made = ledger(10)
    made.report(report(2, 5), 1.0)
    assert made.report(report(1, 0), 2.0) is None
    assert made.report(report(2, 0), 2.0) is None
    state = made.states(2.0)[0]
    assert (state.connections, state.last_report_age_s) == (5, 1.0)


def test_a_doubled_hello_is_believed_upwards_only() -> None:
    made = ledger(10)
    made.report(report(1, 5), 1.0)
    for told, counted in ((0, 5), (7, 7)):
        made.hello(Hello(WSH1, 1, "http://h:1", "/ws", 10, connections=told), 1.0)
        assert made.states(1.0)[0].connections == counted


def test_a_late_ticket_gets_in_while_there_is_room() -> None:
    made = ledger(1)
    seat(made, "a")
    assert made.admit_late(WSH1, 1, Jti("a"), 1.0)  # it is held, so its room is there
    assert not made.admit_late(WSH1, 1, Jti("b"), 1.0)
    made.report(report(1, 0), 15.9)
    assert made.states(15.9)[0].held == 1  # held anew from the moment it was asked for
    made.report(report(2, 0), 16.0)
    assert made.admit_late(WSH1, 1, Jti("b"), 16.0)  # unknown here, and checked by the handler
    made.report(report(3, 1, "b"), 16.1)
    assert not made.admit_late(WSH1, 1, Jti("b"), 16.1)


def test_a_late_ticket_is_refused_where_nobody_new_is_wanted() -> None:
    made = ledger(10)
    seat(made, "a")
    made.drain(WSH1, DRAIN, 0.0)
    assert not made.admit_late(WSH1, 1, Jti("a"), 0.0)
    assert not made.admit_late(WSH2, 1, Jti("a"), 0.0)


def test_where_a_user_sits() -> None:
    made = ledger(10, 10)
    assert made.locate(Uid("ann"), 0.0) is None
    first = seat(made, "a", uid="ann", exclude=frozenset({WSH2}))
    located = made.locate(Uid("ann"), 0.0)
    assert located is not None
    assert (located.handler, located.url, located.connected) == (first.handler, first.url, False)
    made.report(report(1, 1, "a"), 0.1)
    seat(made, "b", 0.1, uid="ann", exclude=frozenset({WSH1}))
    located = made.locate(Uid("ann"), 0.1)
    assert located is not None
    assert (located.handler, located.connected) == (WSH1, True)  # connected beats a seat that waits
    located = made.locate(Uid("ann"), 5.0)
    assert located is not None
    assert not located.connected  # its handler is silent
    made.report(report(2, 0, closed=("a",)), 6.0)
    made.expire(61.0)
    assert made.locate(Uid("ann"), 61.0) is None


def test_a_handler_speaks_for_its_own_seats_only() -> None:
    made = ledger(10, 10)
    seat(made, "a", exclude=frozenset({WSH1}))
    made.report(report(1, 1, "a"), 0.1)
    assert [state.held for state in made.states(0.1)] == [0, 1]


def test_the_registry_is_believed_by_its_newest_view() -> None:
    made = ledger(10)
    made.sync(5, [Known(WSH1, "http://h:1", healthy=False)], 0.0)
    made.sync(5, [Known(WSH1, "http://h:1")], 0.0)
    assert made.states(0.0)[0].why_not == "not_passing"
    made.sync(6, [], 0.0)
    assert made.states(0.0)[0].why_not == "delisted"
    made.sync(7, [Known(WSH1, "http://h:1")], 0.0)
    assert isinstance(ask(made, "a"), Seat)


def test_who_is_gone_for_good_is_forgotten_with_its_seats() -> None:
    made = ledger(10)
    seat(made, "a")
    made.expire(FORGET_AFTER_S - 0.1)
    assert len(made.states(FORGET_AFTER_S - 0.1)) == 1
    made.expire(FORGET_AFTER_S)
    assert made.states(FORGET_AFTER_S) == ()
    assert made.handler_gone(WSH1) == 0


def test_expiring_says_how_many_places_came_free() -> None:
    made = ledger(10)
    for jti in "abc":
        seat(made, jti)
    assert made.expire(14.9) == 0
    assert made.expire(15.0) == 3
    assert made.expire(15.0) == 0


@pytest.mark.parametrize("now", [-5.0, 0.0])
def test_time_does_not_run_backwards(now: float) -> None:
    made = ledger(10)
    made.expire(20.0)
    assert isinstance(ask(made, "a", now), SeatRefused)
