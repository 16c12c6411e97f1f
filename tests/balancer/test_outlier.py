from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.hints import AnswerHints
from balancer.outcome import SUCCESS, Kind, Outcome, Phase, Side
from balancer.outlier import UNKNOWN, OutlierLedger, Reason
from balancer.policy import EjectionPolicy
from registry.model import Health, Instance, InstanceId, ServiceName

REFUSED = Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False)
TIMEOUT = Outcome(Phase.WAIT, Side.INSTANCE, Kind.TIMEOUT, sent=True)
BROKEN = Outcome(Phase.BODY, Side.INSTANCE, Kind.RESET, sent=True)
CANCELLED = Outcome(Phase.WAIT, Side.CLIENT, Kind.CANCELLED, sent=True)
BASE_S, MAX_S = 2.0, 60.0


def instance(name: str, incarnation: str = "1") -> Instance:
    return Instance(InstanceId(name), ServiceName("s"), "h", 1, "127.0.0.1", incarnation=incarnation)


A, B, C, D = (instance(name) for name in "abcd")


class Driven(OutlierLedger):
    """Of four instances, with calls in short."""

    def __init__(self, policy: EjectionPolicy | None = None, *instances: Instance) -> None:
        super().__init__(policy or EjectionPolicy())
        self.follow(instances or (A, B, C, D), 0)

    def call(self, end: Outcome | int, now: float, where: Instance = A, began: float | None = None) -> None:
        """A try that ends at `now`: with that outcome before it was answered, or with that status."""
        began = now if began is None else began
        self.starting(where.key, began)
        self.end(end, now, began, where)

    def end(self, end: Outcome | int, now: float, began: float, where: Instance = A) -> None:
        if isinstance(end, int):
            self.answered(where, end, None, now, began)
            self.ended(where, SUCCESS, end, now, began)
        else:
            self.ended(where, end, None, now, began)

    def names(self) -> str:
        return "".join(sorted(record.instance.id for record in self.aside.values()))

    def until(self, where: Instance = A) -> float:
        return self.records.of(where).until

    def reason(self, where: Instance = A) -> Reason | None:
        return self.records.of(where).reason

    def due(self, now: float, *, repeatable: bool = True) -> Instance | None:
        self.settle(now)
        return self.probe(frozenset(), now, repeatable=repeatable, panic=False)


# What puts aside


@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.TIMEOUT])
def test_a_connection_that_is_not_made_puts_aside_at_once(kind: Kind) -> None:
    ledger = Driven()
    ledger.call(Outcome(Phase.CONNECT, Side.INSTANCE, kind, sent=False), 5)
    assert (ledger.reason(), ledger.until()) == ("connect_failures", 5 + BASE_S)


def test_as_many_connections_in_a_row_as_the_policy_says() -> None:
    ledger = Driven(EjectionPolicy(connect_failures=3))
    for end in (REFUSED, REFUSED, 200, REFUSED, REFUSED):
        ledger.call(end, 0)
    assert ledger.names() == ""
    ledger.call(REFUSED, 0)
    assert ledger.names() == "a"


@pytest.mark.parametrize("end", [500, 503, TIMEOUT, BROKEN])
def test_five_failures_in_a_row_put_aside(end: Outcome | int) -> None:
    ledger = Driven()
    for _ in range(4):
        ledger.call(end, 0)
    assert ledger.names() == ""
    ledger.call(end, 0)
    assert ledger.reason() == "server_errors"


@given(st.lists(st.integers(1, 4), max_size=20))
def test_failures_between_successes_don_t(rows: list[int]) -> None:
    ledger = Driven(EjectionPolicy(success_rate=0))
    for row in rows:
        for _ in range(row):
            ledger.call(500, 0)
        ledger.call(200, 0)
    assert ledger.names() == ""


@given(
    st.lists(st.sampled_from([CANCELLED, 400, 401, 404, 499]), min_size=1, max_size=50),
    st.sampled_from([None, 500]),
)
def test_cancellations_and_4xx_are_nothing_against_it(ends: list[Outcome | int], before: int | None) -> None:
    ledger = Driven(EjectionPolicy(server_errors=2))
    if before is not None:
        ledger.call(before, 0)
    ledger.holds_until = 100
    for end in ends:
        ledger.call(end, 0)
    assert ledger.names() == ""
    assert ledger.holds_until == 100, "what was derived still holds"


def test_a_cancelled_call_does_not_vouch_for_it_either() -> None:
    ledger = Driven(EjectionPolicy(server_errors=2))
    for end in (500, CANCELLED, 500):
        ledger.call(end, 0)
    assert ledger.names() == "a"


def test_a_body_that_broke_counts_although_the_head_was_good() -> None:
    ledger = Driven()
    for _ in range(5):
        ledger.starting(A.key, 0)
        ledger.answered(A, 200, None, 0, 0)
        ledger.ended(A, BROKEN, 200, 0, 0)
    assert ledger.reason() == "server_errors"


def test_a_success_rate_far_below_that_of_the_rest() -> None:
    ledger = Driven(EjectionPolicy(server_errors=0, min_requests=20))
    for _ in range(30):
        ledger.call(200, 0, B)
    for n in range(19):
        ledger.call(200 if n % 3 == 0 else 500, 0)
    assert ledger.names() == "", "too few of its own"
    ledger.call(500, 0)
    assert ledger.reason() == "success_rate"


def test_what_all_have_in_common_is_nobody_s_fault() -> None:
    """The database behind them is down: putting half of them aside helps nobody."""
    ledger = Driven(EjectionPolicy(server_errors=0, min_requests=5))
    for n in range(200):
        for where in (A, B, C, D):
            ledger.call(200 if n % 3 == 0 else 500, 0, where)
    assert ledger.names() == ""


def test_a_window_ago_counts_no_more() -> None:
    ledger = Driven(EjectionPolicy(server_errors=0, min_requests=10, window_s=10))
    for _ in range(10):
        ledger.call(200, 0, B)
    for _ in range(9):
        ledger.call(500, 0)
    for _ in range(10):
        ledger.call(200, 20, B)
    ledger.call(500, 20)
    assert ledger.names() == ""


def test_what_it_was_put_aside_for_is_not_held_against_it_twice_nor_against_the_rest() -> None:
    ledger = Driven(EjectionPolicy(server_errors=0, min_requests=10, window_s=1000))
    for _ in range(20):
        ledger.call(200, 0, B)
    for _ in range(10):
        ledger.call(500, 0)
    assert ledger.reason() == "success_rate"
    ledger.call(200, 3)
    for _ in range(8):
        ledger.call(500, 4)
    assert ledger.names() == "", "nine of its own since it is back"
    ledger.call(500, 4)
    assert ledger.names() == "a"
    for n in range(20):
        ledger.call(200 if n % 5 < 2 else 500, 5, C)
    assert ledger.names() == "ac", "below half of the rest, which is b alone"


def test_a_rule_that_is_switched_off_puts_nobody_aside() -> None:
    ledger = Driven(EjectionPolicy(connect_failures=0, server_errors=0, success_rate=0))
    for _ in range(100):
        ledger.call(REFUSED, 0)
        ledger.call(500, 0)
    assert ledger.names() == ""


# What its own answers ask for


def test_its_own_wish_lasts_as_long_as_it_says_and_ends_without_a_probe() -> None:
    ledger = Driven()
    ledger.answered(A, 200, AnswerHints(eject_s=7), 0, 0)
    assert (ledger.reason(), ledger.until()) == ("self", 7)
    assert ledger.settle(6.9) == 7
    assert ledger.names() == "a"
    ledger.settle(7)
    assert ledger.names() == ""


@pytest.mark.parametrize(("wish", "lasts"), [(0, BASE_S), (1e9, MAX_S)])
def test_a_wish_without_a_time_or_for_ever_is_bounded(wish: float, lasts: float) -> None:
    ledger = Driven()
    ledger.answered(A, 200, AnswerHints(eject_s=wish), 0, 0)
    assert ledger.until() == lasts


def test_the_wish_of_many_answers_is_one() -> None:
    ledger = Driven()
    for tenth in range(10):
        ledger.answered(A, 200, AnswerHints(eject_s=3), tenth / 10, 0)
    assert (ledger.records.of(A).ejections, ledger.until()) == (1, 3.9)


@pytest.mark.parametrize("first", [REFUSED, 500])
def test_a_wish_in_the_answer_to_the_probe_outlasts_the_end_of_that_answer(first: Outcome | int) -> None:
    ledger = Driven(EjectionPolicy(server_errors=1))
    ledger.call(first, 0)
    ledger.starting(A.key, BASE_S)
    ledger.answered(A, 200, AnswerHints(eject_s=7), BASE_S + 0.1, BASE_S)
    ledger.ended(A, SUCCESS, 200, BASE_S + 0.2, BASE_S)
    assert (ledger.reason(), ledger.until()) == ("self", BASE_S + 0.1 + 7)


def test_a_wish_that_can_t_be_granted_is_at_least_spared() -> None:
    ledger = Driven(None, A)
    ledger.answered(A, 200, AnswerHints(eject_s=3), 0, 0)
    assert (ledger.names(), ledger.records.of(A).slow_until) == ("", 3)


@pytest.mark.parametrize(
    ("status", "hints", "until"),
    [(429, AnswerHints(slow_s=5), 5), (503, AnswerHints(slow_s=5), 5), (200, None, None)],
)
def test_who_wants_fewer_calls_is_spared(status: int, hints: AnswerHints | None, until: float | None) -> None:
    ledger = Driven()
    ledger.holds_until = 100
    ledger.answered(A, status, hints, 0, 0)
    assert (ledger.records.of(A).slow_until == until) == (until is not None)
    assert (ledger.holds_until < 100) == (until is not None)


def test_spared_again_and_again_is_one_change() -> None:
    ledger = Driven()
    ledger.answered(A, 429, AnswerHints(slow_s=1), 0, 0)
    ledger.holds_until = 100
    ledger.answered(A, 429, AnswerHints(slow_s=1e9), 0.5, 0)
    assert ledger.records.of(A).slow_until == 0.5 + MAX_S
    assert ledger.holds_until == 100


# How many, and for how long


def test_at_most_half_are_put_aside_by_statistics() -> None:
    ledger = Driven()
    for where in (A, B, C, D):
        for _ in range(20):
            ledger.call(500, 0, where)
    assert ledger.names() == "ab"
    ledger.call(REFUSED, 0, C)
    ledger.call(REFUSED, 0, D)
    assert ledger.names() == "abcd", "but who takes no connections is certain"


def test_who_comes_back_makes_room_for_another() -> None:
    ledger = Driven(EjectionPolicy(server_errors=1, max_percent=25))
    ledger.call(500, 0, A)
    ledger.call(500, 1, B)
    assert ledger.names() == "a"
    ledger.call(200, BASE_S, A)
    ledger.call(500, 3, B)
    assert ledger.names() == "b"


@pytest.mark.parametrize(("count", "percent", "limit"), [(1, 100, 0), (2, 1, 1), (3, 50, 1), (4, 0, 0)])
def test_the_share_is_rounded_down_but_one_of_two_may_go(count: int, percent: int, limit: int) -> None:
    instances = (A, B, C, D)[:count]
    ledger = Driven(EjectionPolicy(max_percent=percent), *instances)
    for where in instances:
        for _ in range(10):
            ledger.call(500, 0, where)
    assert len(ledger.aside) == limit


def test_when_others_leave_those_are_let_back_that_are_too_many() -> None:
    ledger = Driven()
    for at, where in enumerate((A, B)):
        for _ in range(5):
            ledger.call(500, at, where)
    ledger.follow([A, B, C], 2)
    ledger.settle(2)
    assert ledger.names() == "b", "whose time ends last"


def test_each_time_in_a_row_lasts_longer_up_to_a_limit() -> None:
    ledger, now, lasted = Driven(EjectionPolicy(base_s=2, max_s=9)), 0.0, []
    for _ in range(6):
        ledger.call(REFUSED, now)
        lasted.append(ledger.until() - now)
        now = ledger.until()
    assert lasted == [2, 4, 6, 8, 9, 9]


def test_a_row_is_forgotten_when_it_was_good_for_as_long() -> None:
    ledger = Driven()
    ledger.call(REFUSED, 0)
    ledger.call(200, 2)
    ledger.call(REFUSED, 3.9)
    assert ledger.until() == 3.9 + 2 * BASE_S
    ledger.call(200, 8)
    ledger.call(REFUSED, 12)
    assert ledger.until() == 12 + BASE_S


# One fault, many calls


def test_many_calls_that_meet_one_fault_count_once() -> None:
    ledger = Driven()
    for _ in range(50):
        ledger.starting(A.key, 0)
    for straggler in range(50):
        ledger.end(REFUSED, straggler / 100, began=0)
    assert ledger.until() == BASE_S
    assert ledger.ejected_total["connect_failures"] == 1


def test_late_failures_don_t_put_it_aside_again_when_it_is_back() -> None:
    ledger = Driven()
    for _ in range(20):
        ledger.starting(A.key, 0)
    for _ in range(5):
        ledger.end(TIMEOUT, 1, began=0)
    ledger.call(200, 3)
    assert ledger.names() == ""
    for _ in range(15):
        ledger.end(TIMEOUT, 4, began=0)
    assert ledger.names() == ""
    for _ in range(5):
        ledger.call(TIMEOUT, 5)
    assert ledger.names() == "a", "but those that began since are another matter"


@pytest.mark.parametrize("end", [SUCCESS, 200])
def test_the_end_of_an_old_answer_does_not_vouch_for_a_dead_instance(end: Outcome | int) -> None:
    ledger = Driven()
    ledger.starting(A.key, 0)
    ledger.call(REFUSED, 1)
    ledger.end(end, 1.5, began=0)
    assert ledger.names() == "a"


def test_who_is_suspected_and_takes_no_connections_is_unreachable() -> None:
    ledger = Driven(EjectionPolicy(server_errors=1))
    ledger.call(500, 0)
    ledger.call(REFUSED, 0.5)
    assert (ledger.reason(), ledger.until()) == ("connect_failures", BASE_S)
    ledger.call(REFUSED, BASE_S)
    assert ledger.until() == BASE_S + 2 * BASE_S, "one fault, that was seen in two ways, and then its probe"


def test_who_turns_out_to_be_unreachable_is_passed_over_before_candidates_are_derived() -> None:
    ledger = Driven(EjectionPolicy(server_errors=1))
    ledger.patience_s = 1
    ledger.call(500, 0)
    ledger.settle(0)
    assert not ledger.fresh
    ledger.call(REFUSED, 0.5)
    assert ledger.fresh == {A.id}


def test_who_turns_out_to_be_unreachable_makes_room_among_the_suspected() -> None:
    ledger = Driven(EjectionPolicy(server_errors=1))
    for where in (A, B, C):
        ledger.call(500, 0, where)
    ledger.call(REFUSED, 0.5, A)
    ledger.call(500, 0.5, C)
    assert ledger.names() == "abc"


# The probe


def test_one_call_at_a_time_finds_out() -> None:
    ledger = Driven()
    ledger.call(REFUSED, 0)
    assert ledger.due(BASE_S - 0.1) is None
    assert ledger.due(BASE_S) is A
    ledger.starting(A.key, BASE_S)
    assert ledger.due(BASE_S + 1) is None
    ledger.end(REFUSED, BASE_S + 1, began=BASE_S)
    assert ledger.until() == BASE_S + 1 + 2 * BASE_S
    assert ledger.due(BASE_S + 1) is None


@pytest.mark.parametrize(("first", "head"), [(REFUSED, 500), (REFUSED, 200), (500, 200), (500, 404)])
def test_an_answer_to_the_probe_brings_it_back(first: Outcome | int, head: int) -> None:
    ledger = Driven(EjectionPolicy(server_errors=1))
    ledger.call(first, 0)
    ledger.starting(A.key, BASE_S)
    ledger.answered(A, head, None, BASE_S + 0.1, BASE_S)
    assert ledger.names() == ""
    ledger.ended(A, SUCCESS, head, BASE_S + 9, BASE_S)
    assert ledger.names() == ""


@pytest.mark.parametrize(
    ("first", "then", "reason"),
    [
        (500, 500, "server_errors"),
        (500, TIMEOUT, "server_errors"),
        (500, REFUSED, "connect_failures"),
        (REFUSED, REFUSED, "connect_failures"),
        (REFUSED, TIMEOUT, "server_errors"),
    ],
)
def test_a_probe_that_fails_says_for_what_from_now_on(
    first: Outcome | int, then: Outcome | int, reason: str
) -> None:
    ledger = Driven(EjectionPolicy(server_errors=1))
    ledger.call(first, 0)
    ledger.call(then, BASE_S)
    assert (ledger.reason(), ledger.until()) == (reason, BASE_S + 2 * BASE_S)


def test_who_takes_connections_again_but_may_not_be_suspected_is_back() -> None:
    ledger = Driven(None, A)
    ledger.call(REFUSED, 0)
    ledger.call(TIMEOUT, BASE_S)
    assert ledger.names() == ""


def test_a_probe_that_ends_without_a_word_leaves_it_to_the_next() -> None:
    ledger = Driven()
    ledger.call(REFUSED, 0)
    ledger.call(CANCELLED, BASE_S + 0.1, began=BASE_S)
    assert ledger.due(BASE_S + 0.1) is A


def test_tries_before_its_time_don_t_lengthen_it_but_may_bring_it_back() -> None:
    """While all are unreachable: else the first one back would carry everything for a minute."""
    ledger = Driven()
    ledger.call(REFUSED, 0)
    for tenth in range(1, 10):
        ledger.call(REFUSED, tenth / 10)
    assert ledger.until() == BASE_S
    ledger.call(200, 1)
    assert ledger.names() == ""


def test_the_suspected_are_not_judged_before_their_time() -> None:
    ledger = Driven(EjectionPolicy(server_errors=1))
    ledger.call(500, 0)
    ledger.call(200, 1)
    ledger.call(500, 1)
    assert (ledger.names(), ledger.until()) == ("a", BASE_S)


def test_a_call_that_can_t_be_repeated_probes_only_where_nothing_can_be_lost() -> None:
    ledger = Driven(EjectionPolicy(server_errors=1))
    ledger.call(500, 0, A)
    assert ledger.due(BASE_S, repeatable=False) is None
    ledger.call(REFUSED, 0, B)
    assert ledger.due(BASE_S, repeatable=False) is B
    ledger.call(200, BASE_S, B)
    assert ledger.due(2 * BASE_S - 0.1, repeatable=False) is None
    assert ledger.due(2 * BASE_S, repeatable=False) is A


def test_whom_nobody_probes_comes_back_in_the_end() -> None:
    """A service whose instances are only handed out gets no probes."""
    ledger = Driven()
    ledger.call(REFUSED, 0)
    assert ledger.settle(BASE_S) == BASE_S + MAX_S
    assert ledger.names() == "a"
    ledger.settle(BASE_S + MAX_S)
    assert ledger.names() == ""


def test_those_who_can_t_say_when_their_try_began_are_believed() -> None:
    ledger = Driven()
    ledger.ended(A, REFUSED, None, 0, UNKNOWN)
    ledger.starting(A.key, BASE_S)
    ledger.ended(A, SUCCESS, 200, BASE_S, UNKNOWN)
    assert ledger.names() == ""


def test_who_is_being_probed_does_not_come_back_by_itself() -> None:
    ledger = Driven()
    ledger.call(REFUSED, 0)
    ledger.starting(A.key, BASE_S)
    ledger.settle(BASE_S + MAX_S + 1)
    assert ledger.names() == "a"


def test_in_panic_the_critical_are_probed_and_those_in_maintenance_left_alone() -> None:
    ledger = Driven()
    ledger.call(REFUSED, 0, A)
    ledger.call(REFUSED, 0, B)
    ledger.follow([replace(A, health=Health.MAINTENANCE), replace(B, health=Health.CRITICAL), C], 1)
    assert ledger.due(BASE_S) is None
    ledger.settle(BASE_S)
    found = ledger.probe(frozenset(), BASE_S, repeatable=True, panic=True)
    assert found is not None
    assert found.id == B.id


# Instances that come and go


def test_a_new_process_of_the_same_name_starts_clean() -> None:
    ledger, restarted = Driven(), instance("a", "2")
    ledger.call(REFUSED, 0)
    ledger.follow([restarted, B, C, D], 1)
    assert ledger.reason(restarted) is None


def test_who_left_for_a_moment_is_still_put_aside_and_is_not_probed_meanwhile() -> None:
    ledger = Driven()
    ledger.call(REFUSED, 0)
    ledger.follow([B, C, D], 1)
    assert ledger.due(BASE_S) is None
    ledger.follow([A, B, C, D], 3)
    assert ledger.due(3) is A
    ledger.follow([B, C, D], 4)
    ledger.follow([B, C, D], 70)
    assert repr(ledger) == "<OutlierLedger: 0 of 3 aside>"


def test_ten_thousand_ids_that_fail_and_leave_leave_nothing() -> None:
    ledger = Driven(None, A)
    for n in range(10_000):
        where = instance(f"i{n}")
        if n % 100 == 0:
            ledger.follow([A, where], n)
        ledger.call(REFUSED, n, where)
    ledger.follow([A], 10_000)
    ledger.follow([A], 10_100)
    assert repr(ledger) == "<OutlierLedger: 0 of 1 aside>"
