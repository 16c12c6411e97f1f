from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.model import RetryClass
from balancer.outcome import Kind, Outcome, Phase, Side
from balancer.retry import LONGEST_WAIT_S, ROOM_PAUSES_S, AttemptFacts, Retry, Stop, StopReason, decide

FACTS = AttemptFacts(RetryClass.SAFE, attempt=1, max_attempts=3, replayable=True, keyed=False, remaining_s=10)
REFUSED = Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False)
RESET = Outcome(Phase.WAIT, Side.INSTANCE, Kind.RESET, sent=True)

facts = st.builds(
    AttemptFacts,
    retry=st.sampled_from(RetryClass),
    attempt=st.integers(1, 5),
    max_attempts=st.integers(1, 5),
    replayable=st.booleans(),
    keyed=st.booleans(),
    remaining_s=st.floats(-1, 60),
)
failures = st.builds(
    Outcome,
    phase=st.sampled_from(Phase),
    side=st.sampled_from(Side),
    kind=st.sampled_from([kind for kind in Kind if kind is not Kind.OK]),
    sent=st.booleans(),
)


@pytest.mark.parametrize(
    ("retry", "keyed", "after_refused", "after_reset"),
    [
        (RetryClass.SAFE, False, Retry, Retry),
        (RetryClass.UNSENT, False, Retry, Stop),
        (RetryClass.UNSENT, True, Retry, Stop),
        (RetryClass.KEYED, True, Retry, Retry),
        (RetryClass.KEYED, False, Retry, Stop),
        (RetryClass.NEVER, True, Stop, Stop),
    ],
)
def test_the_retry_classes(
    retry: RetryClass, keyed: bool, after_refused: type[object], after_reset: type[object]
) -> None:
    known = replace(FACTS, retry=retry, keyed=keyed)
    assert isinstance(decide(known, REFUSED), after_refused)
    assert isinstance(decide(known, RESET), after_reset)


@pytest.mark.parametrize(
    ("known", "outcome", "reason"),
    [
        (FACTS, replace(RESET, side=Side.CLIENT), StopReason.NOT_THE_INSTANCE),
        (FACTS, replace(RESET, side=Side.GATEWAY), StopReason.NOT_THE_INSTANCE),
        (FACTS, replace(RESET, phase=Phase.BODY), StopReason.ANSWER_STARTED),
        (replace(FACTS, retry=RetryClass.NEVER), REFUSED, StopReason.NEVER),
        (replace(FACTS, retry=RetryClass.UNSENT), RESET, StopReason.MAY_HAVE_RUN),
        (replace(FACTS, replayable=False), RESET, StopReason.BODY_CONSUMED),
        (replace(FACTS, attempt=3), RESET, StopReason.ATTEMPTS_USED_UP),
        (replace(FACTS, remaining_s=0), RESET, StopReason.OUT_OF_TIME),
        (replace(FACTS, attempt=2, remaining_s=LONGEST_WAIT_S), RESET, StopReason.OUT_OF_TIME),
    ],
    ids=lambda value: str(value) if isinstance(value, StopReason) else "",
)
def test_every_stop_says_why(known: AttemptFacts, outcome: Outcome, reason: StopReason) -> None:
    assert decide(known, outcome) == Stop(reason)


def test_the_first_retry_does_not_wait() -> None:
    assert decide(FACTS, REFUSED) == Retry(0)
    assert decide(replace(FACTS, attempt=2), RESET) == Retry(LONGEST_WAIT_S)
    assert decide(replace(FACTS, attempt=2), REFUSED) == Retry(0), "it was no work for anybody"


@given(known=facts, outcome=failures)
def test_what_may_have_run_is_repeated_only_where_that_is_safe(known: AttemptFacts, outcome: Outcome) -> None:
    if isinstance(decide(known, outcome), Retry) and outcome.sent:
        assert known.retry is RetryClass.SAFE or (known.retry is RetryClass.KEYED and known.keyed)


@given(known=facts, outcome=failures)
def test_a_retry_keeps_every_limit(known: AttemptFacts, outcome: Outcome) -> None:
    verdict = decide(known, outcome)
    if isinstance(verdict, Retry):
        assert outcome.phase in (Phase.CONNECT, Phase.SEND, Phase.WAIT)
        assert outcome.blames_instance
        assert known.attempt < known.max_attempts
        assert known.replayable
        assert known.remaining_s > verdict.longest_wait_s


def test_a_retry_that_could_not_finish_in_time_is_not_begun() -> None:
    assert isinstance(decide(replace(FACTS, remaining_s=1.0, usual_s=0.9), RESET), Retry)
    assert decide(replace(FACTS, remaining_s=1.0, usual_s=1.0), RESET) == Stop(StopReason.OUT_OF_TIME)
    later = replace(FACTS, attempt=2, remaining_s=1.0, usual_s=0.8)
    assert decide(later, RESET) == Stop(StopReason.OUT_OF_TIME), "the wait before it takes time, too"


def test_the_pauses_of_a_retry_without_room_are_the_longest_wait() -> None:
    assert sum(ROOM_PAUSES_S) == pytest.approx(LONGEST_WAIT_S)
