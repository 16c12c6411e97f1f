import random
from dataclasses import replace

from balancer.policy import ServicePolicy
from balancer.service import ServiceLedger


def test_a_new_policy_keeps_what_is_known(rng: random.Random) -> None:
    service = ServiceLedger(ServicePolicy(), rng)
    strategy, eligible = service.strategy, service.eligible
    service.follow(replace(ServicePolicy(), slow_start_s=1))
    assert (service.strategy, service.eligible) == (strategy, eligible)
    assert service.policy.slow_start_s == service.eligible.policy.slow_start_s == 1


def test_another_strategy_begins_anew(rng: random.Random) -> None:
    service = ServiceLedger(ServicePolicy("least_connections"), rng)
    strategy = service.strategy
    service.follow(ServicePolicy("round_robin"))
    assert type(service.strategy) is not type(strategy)
