from dataclasses import FrozenInstanceError

import pytest

from balancer.model import CallPolicy, Refused, RefusedReason, RetryClass, Subset, Timeouts, UpstreamBroke
from balancer.outcome import Kind, Outcome, Phase, Side
from registry.model import ServiceName


def test_a_policy_is_prepared_once_and_not_changed_by_a_call() -> None:
    policy = CallPolicy(ServiceName("auth"), RetryClass.SAFE)
    assert policy.timeouts == Timeouts()
    with pytest.raises(FrozenInstanceError):
        policy.max_attempts = 9  # type: ignore[misc]  # that it is refused is the point


def test_a_tries_deadlines_fit_into_the_whole_calls() -> None:
    limits = Timeouts()
    assert limits.connect_s + limits.first_byte_s + limits.idle_s < limits.total_s


def test_a_no_says_when_to_come_again() -> None:
    assert Refused(RefusedReason.NO_INSTANCES).retry_after_s > 0


def test_a_broken_answer_carries_its_outcome() -> None:
    outcome = Outcome(Phase.BODY, Side.INSTANCE, Kind.RESET, sent=True)
    broke = UpstreamBroke(outcome)
    assert broke.outcome is outcome
    assert str(broke) == "body_reset"


def test_a_subset_is_those_with_a_tag_or_the_others() -> None:
    new, old = Subset("v2"), Subset("v2", inside=False)
    assert [new.holds(tags) for tags in ((), ("v2",), ("v20", "v2"), ("V2",))] == [False, True, True, False]
    assert [old.holds(tags) for tags in ((), ("v2",))] == [True, False]
    assert not new.overlaps(old)
    assert new.overlaps(Subset("v2", or_others=True))
    assert new.overlaps(Subset("v3", inside=False))
