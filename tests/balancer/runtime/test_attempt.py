"""Who is told of a try, and when: at its answer's head, at its end, and never twice."""

from collections.abc import Callable
from random import Random

import pytest

from balancer.concurrency import ConcurrencyLedger
from balancer.model import Headers
from balancer.outcome import OUT_OF_TIME, OUTRUN, SUCCESS, Kind, Outcome, Phase, Side
from balancer.policy import ConcurrencyPolicy
from balancer.runtime.attempt import ABANDONED, Counted, Try
from balancer.runtime.base import UpstreamAnswer
from balancer.runtime.bodies import WholeBody
from balancer.runtime.call import Balancer
from balancer.service import ServiceLedger
from balancer.strategies.least_connections import LeastConnections
from registry.model import Instance
from tests.balancer.origins import SERVICE, instance_at
from tests.balancer.runtime.balancers import IDLE, ScriptedUpstream, Watching, balancer_of

A = instance_at(1001, "a")
RESET = Outcome(Phase.WAIT, Side.INSTANCE, Kind.RESET, sent=True)
LATE = Outcome(Phase.WAIT, Side.INSTANCE, Kind.TIMEOUT, sent=True)


class Trying:
    """A balancer on a clock of its own, and tries begun there."""

    def __init__(self, strategy: str = "least_connections") -> None:
        self.now = 100.0
        self.watching = Watching()
        self.balancer: Balancer = balancer_of(
            ScriptedUpstream(["ends"]), A, strategy=strategy, clock=lambda: self.now, observer=self.watching
        )
        self.ledger: ServiceLedger = self.balancer.service(SERVICE)
        self.told: list[tuple[float, bool]] = []

        def told(instance: Instance, seconds: float, *, ok: bool, now: float) -> None:
            self.told.append((seconds, ok))

        self.ledger.told = told

    def begin(self, counted: Counted = Counted.FIRST, places: ConcurrencyLedger | None = None) -> Try:
        return Try(self.balancer.shared, SERVICE, self.ledger, A, self.now, counted, places)


def answer(status: int = 200, headers: Headers | None = None, eject: bytes | None = None) -> UpstreamAnswer:
    return UpstreamAnswer(status, b"X", headers or [], WholeBody(b""), eject)


def test_the_head_of_an_answer_tells_how_long_it_took() -> None:
    trying = Trying()
    this = trying.begin()
    trying.now += 0.5
    assert this.answered(answer()) == trying.now
    trying.now += 7
    this.end(SUCCESS)
    assert trying.told == [(0.5, True)]
    assert len(trying.ledger.recent) == 1
    assert trying.watching.tries == [("a", "done_ok", 200)]


@pytest.mark.parametrize(
    ("outcome", "told"), [(RESET, [(0.5, False)]), (LATE, [(0.5, False)]), (OUTRUN, []), (ABANDONED, [])]
)
def test_a_try_without_an_answer_tells_the_strategy_when_the_instance_is_to_blame(
    outcome: Outcome, told: list[tuple[float, bool]]
) -> None:
    trying = Trying()
    this = trying.begin()
    trying.now += 0.5
    this.end(outcome)
    assert trying.told == told
    assert len(trying.ledger.recent) == 0


class NotesPatience(LeastConnections):
    """Keeps how long it was waited for in vain."""

    waited: list[float]

    def given_up(self, instance: Instance, seconds: float, *, now: float) -> None:
        self.waited.append(seconds)


@pytest.mark.parametrize(
    ("outcome", "waited"), [(RESET, []), (LATE, []), (OUT_OF_TIME, []), (OUTRUN, [0.5]), (ABANDONED, [0.5])]
)
def test_with_nobody_to_blame_it_tells_how_long_was_waited(outcome: Outcome, waited: list[float]) -> None:
    trying = Trying()
    strategy = trying.ledger.strategy = NotesPatience(Random(1))
    strategy.waited = []
    this = trying.begin()
    trying.now += 0.5
    this.end(outcome)
    assert strategy.waited == waited


def test_answers_that_fail_fast_are_no_usual_latency() -> None:
    trying = Trying()
    trying.begin().answered(answer(500))
    assert (trying.told, len(trying.ledger.recent)) == ([(0.0, False)], 0)


@pytest.mark.parametrize(
    "way",
    [
        lambda this: this.answered(answer()),
        lambda this: this.end(RESET),
        lambda this: (this.answered(answer()), this.end(RESET), this.end(SUCCESS)),
        lambda this: (this.end(OUTRUN), this.end(OUTRUN)),
    ],
    ids=["answered", "failed", "broke", "lost"],
)
def test_the_budget_counts_a_try_until_it_has_an_answer_or_has_failed(way: Callable[[Try], object]) -> None:
    trying = Trying()
    budget = trying.ledger.budget
    tries = [trying.begin(counted) for counted in Counted]
    assert (budget.first, budget.second) == (1, 1)
    for this in tries:
        way(this)
    assert (budget.first, budget.second) == (0, 0)


def test_only_the_first_end_counts() -> None:
    trying = Trying()
    places = ConcurrencyLedger(ConcurrencyPolicy(instance=1))
    this = trying.begin(places=places)
    assert places.full == {A.id}
    for _ in range(3):
        this.end(SUCCESS)
    assert places.full == set()
    assert len(trying.watching.tries) == 1
    assert repr(trying.balancer.ledger) == IDLE


@pytest.mark.parametrize("late", [False, True])
def test_an_adaptive_limit_learns_how_long_answers_and_timeouts_take(late: bool) -> None:
    trying = Trying()
    places = ConcurrencyLedger(ConcurrencyPolicy(service=100, adaptive=True))
    while places.enter():
        assert places.under_way <= 100
    before = places.limit
    for _ in range(40):
        this = trying.begin(places=places)
        trying.now += 0.1
        if not late:
            this.answered(answer())
        this.end(LATE if late else SUCCESS)
    assert (places.limit or 0) > (before or 0), "calls took as long as ever, and more were wanted"


def test_a_strategy_that_makes_nothing_of_it_is_not_told() -> None:
    balancer = balancer_of(ScriptedUpstream(["ends"]), A, strategy="least_connections")
    assert balancer.service(SERVICE).told is None
    balancer = balancer_of(ScriptedUpstream(["ends"]), A, strategy="peak_ewma")
    assert balancer.service(SERVICE).told is not None


def test_an_instance_that_asks_to_be_left_alone_is_put_aside() -> None:
    trying = Trying()
    this = trying.begin()
    this.answered(answer(eject=b"30"))
    this.end(SUCCESS)
    trying.now += 29
    assert trying.ledger.eligible.aside(A, trying.now)


def test_an_instance_that_has_too_much_to_do_gets_less() -> None:
    trying = Trying()
    trying.begin().answered(answer(429, [(b"Retry-After", b"9")]))
    (state,) = trying.ledger.eligible.states(trying.balancer.shared.snapshots(SERVICE), trying.now)
    assert state.weight < A.weight
