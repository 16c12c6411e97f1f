import random
from dataclasses import replace

from balancer.circuit import ORDINARY, State
from balancer.model import Subset
from balancer.policy import CircuitPolicy, ConcurrencyPolicy, RetryBudget, ServicePolicy
from balancer.service import MAX_SERVICES, MAX_SUBSETS, ServiceLedger, ServiceLedgers, ServiceState
from registry.model import ServiceName

AUTH = ServiceName("auth")
GUARDED = ServicePolicy(
    circuit=CircuitPolicy(min_requests=1), concurrency=ConcurrencyPolicy(service=2), retries=RetryBudget(7, 7)
)


def test_a_new_policy_keeps_what_is_known(rng: random.Random) -> None:
    service = ServiceLedger(GUARDED, rng)
    known = (service.strategy, service.eligible, service.budget, service.recent)
    circuit, places = service.circuit, service.concurrency
    assert circuit is not None
    assert places is not None
    policy = ServicePolicy(
        circuit=CircuitPolicy(min_requests=9), concurrency=ConcurrencyPolicy(service=5), slow_start_s=1
    )
    service.follow(policy)
    assert (service.strategy, service.eligible, service.budget, service.recent) == known
    assert (service.circuit, service.concurrency) == (circuit, places)
    assert service.policy is service.eligible.policy is policy
    assert (circuit.policy, places.policy) == (policy.circuit, policy.concurrency)
    assert service.budget.policy == policy.retries


def test_what_is_not_wanted_is_not_there(rng: random.Random) -> None:
    service = ServiceLedger(ServicePolicy(), rng)
    assert (service.circuit, service.concurrency, service.told) == (None, None, None)
    service.follow(GUARDED)
    assert None not in (service.circuit, service.concurrency)
    service.follow(ServicePolicy())
    assert service.circuit is None
    assert service.concurrency is not None, "somebody may still wait in it"
    assert service.concurrency.limit is None


def test_another_strategy_begins_anew(rng: random.Random) -> None:
    service = ServiceLedger(ServicePolicy("least_connections"), rng)
    strategy = service.strategy
    service.follow(ServicePolicy("round_robin"))
    assert type(service.strategy) is not type(strategy)


def test_ledgers_are_bounded_and_the_one_used_longest_ago_goes(rng: random.Random) -> None:
    services = ServiceLedgers({}, rng)
    first = services.of(AUTH)
    for n in range(MAX_SERVICES - 1):
        services.of(ServiceName(f"s{n}"))
    assert services.of_known(AUTH) is first
    services.of(ServiceName("one more"))
    assert len(services) == MAX_SERVICES
    assert services.of_known(AUTH) is first
    assert services.of_known(ServiceName("s0")) is None


def test_services_that_nobody_names_have_the_default_policy(rng: random.Random) -> None:
    services = ServiceLedgers({AUTH: GUARDED}, rng)
    other = ServiceName("other")
    assert services.of(AUTH).policy is GUARDED
    assert services.of(other).policy == ServicePolicy()
    services.follow({other: GUARDED})
    assert services.of(AUTH).policy == ServicePolicy()
    assert services.of(other).policy is GUARDED


def test_states_say_how_calls_go(rng: random.Random) -> None:
    services = ServiceLedgers({AUTH: GUARDED}, rng)
    services.of(ServiceName("idle"))
    auth = services.of(AUTH)
    assert auth.circuit is not None
    assert auth.concurrency is not None
    auth.calls = 3
    auth.budget.second = 1
    auth.circuit.ended(ORDINARY, 0, ok=False)
    auth.concurrency.line_up(_Waits())
    idle, busy = services.states()
    assert idle == ServiceState(ServiceName("idle"), State.CLOSED, 0, 0, None, 0)
    assert busy == ServiceState(AUTH, State.OPEN, in_flight=2, queued=1, limit=2, retrying=1)
    auth.follow(replace(GUARDED, concurrency=ConcurrencyPolicy()))
    assert list(services.states())[1].limit is None


class _Waits:
    subset = None

    def wake(self) -> None:
        """Whoever waits here has no need to know."""


def test_a_subset_is_chosen_from_in_turns_of_its_own(rng: random.Random) -> None:
    service = ServiceLedger(ServicePolicy("round_robin"), rng)
    inside, outside = Subset("v2"), Subset("v2", inside=False)
    assert service.strategy_for(inside) is service.strategy_for(Subset("v2", or_others=True))
    assert len({id(service.strategy), *(id(service.strategy_for(s)) for s in (inside, outside))}) == 3
    before = service.strategy_for(inside)
    service.follow(ServicePolicy("random"))
    assert type(service.strategy_for(inside)) is not type(before)


def test_what_is_learned_of_latencies_is_learned_for_all(rng: random.Random) -> None:
    service = ServiceLedger(ServicePolicy("peak_ewma"), rng)
    assert service.strategy_for(Subset("v2")) is service.strategy


def test_strategies_of_subsets_that_nobody_names_any_more_do_not_pile_up(rng: random.Random) -> None:
    service = ServiceLedger(ServicePolicy(), rng)
    first = service.strategy_for(Subset("0"))
    for n in range(1, MAX_SUBSETS):
        service.strategy_for(Subset(str(n)))
    assert service.strategy_for(Subset("0")) is first
    service.strategy_for(Subset("one too many"))
    assert service.strategy_for(Subset("0")) is not first
