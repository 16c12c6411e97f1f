"""Whether a failed try is repeated on another instance.

The two promises this file keeps: nothing is repeated after bytes of an answer have gone to the
client, and what may have been executed is repeated only where the route says that this is safe.
Answers are not looked at: a 502, 503 or 504 of an instance is its answer and passes through. How many
retries there may be at all is budget.py's.
"""

from dataclasses import dataclass
from enum import StrEnum

from balancer.model import RetryClass
from balancer.outcome import Kind, Outcome, Phase

_SAFE, _KEYED = RetryClass.SAFE, RetryClass.KEYED
# Every call asks; looking up a member of an enumeration costs as much as a call.

LONGEST_WAIT_S = 0.25
"""No wait between two tries is longer (Envoy's default: base 25 ms, cap 250 ms)."""
ROOM_PAUSES_S = (0.02, 0.05, 0.08, 0.1)
"""After each of these a retry that there was no room for looks again; `LONGEST_WAIT_S` together. Looking a
few times costs each call a little; waking thousands in order would cost the most when all goes wrong."""


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """What is known when a try has failed."""

    retry: RetryClass
    attempt: int
    """The number of the try that failed, from 1."""
    max_attempts: int
    replayable: bool
    """The body can be sent again: it is in memory, or nobody has taken anything from its stream."""
    keyed: bool
    """The client sent an `Idempotency-Key`."""
    remaining_s: float
    """Until the deadline of the whole call."""
    usual_s: float = 0.0
    """What a call of the service takes, as a rule; 0 while that is unknown."""


class StopReason(StrEnum):
    NOT_THE_INSTANCE = "not_the_instance"
    """The client or the gateway was at fault: another instance can't do better."""
    ANSWER_STARTED = "answer_started"
    MAY_HAVE_RUN = "may_have_run"
    """Bytes of the request may have reached the instance, and repeating it is not known to be safe."""
    NEVER = "never"
    BODY_CONSUMED = "body_consumed"
    ATTEMPTS_USED_UP = "attempts_used_up"
    OUT_OF_TIME = "out_of_time"


@dataclass(frozen=True, slots=True)
class Retry:
    longest_wait_s: float
    """0 for the first retry: it goes to another instance, which has done nothing to wait for; and after a
    try of which nothing was sent: it has been no work for anybody."""


@dataclass(frozen=True, slots=True)
class Stop:
    reason: StopReason


def decide(facts: AttemptFacts, outcome: Outcome) -> Retry | Stop:
    """Another try, or why not. `outcome` is that of a failed try."""
    if not outcome.blames_instance and outcome.kind is not Kind.SATURATED:
        return Stop(StopReason.NOT_THE_INSTANCE)
    if outcome.phase in (Phase.BODY, Phase.DONE):
        return Stop(StopReason.ANSWER_STARTED)
    if facts.retry is RetryClass.NEVER:
        return Stop(StopReason.NEVER)
    if outcome.sent and not safe_to_repeat(facts.retry, keyed=facts.keyed):
        return Stop(StopReason.MAY_HAVE_RUN)
    if not facts.replayable:
        return Stop(StopReason.BODY_CONSUMED)
    if facts.attempt >= facts.max_attempts:
        return Stop(StopReason.ATTEMPTS_USED_UP)
    wait_s = 0.0 if facts.attempt == 1 or not outcome.sent else LONGEST_WAIT_S
    if facts.remaining_s <= wait_s + facts.usual_s:
        return Stop(StopReason.OUT_OF_TIME)
    return Retry(wait_s)


def safe_to_repeat(retry: RetryClass, *, keyed: bool) -> bool:
    """Whether a request may be sent again although it may have been executed."""
    return retry is _SAFE or (keyed and retry is _KEYED)
