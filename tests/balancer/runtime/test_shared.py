from balancer.model import Refused, RefusedReason
from balancer.runtime.upstream import PooledUpstream
from registry.model import ServiceName, Status, snapshot
from tests.balancer.origins import SERVICE, instance_at
from tests.balancer.runtime.balancers import balancer_of, known


async def test_a_service_that_nobody_can_be_chosen_of_gets_no_ledger(upstream: PooledUpstream) -> None:
    shared = balancer_of(upstream).shared
    assert shared.ledger_for(SERVICE) == Refused(RefusedReason.NO_INSTANCES)
    unknown = snapshot(ServiceName("x"), Status.UNKNOWN)
    assert shared.ledger_for(ServiceName("x"), unknown) == Refused(RefusedReason.UNKNOWN_SERVICE)
    assert len(shared.services) == 0


async def test_a_service_that_has_a_ledger_keeps_it(upstream: PooledUpstream) -> None:
    """Also while it has no instances: what is known of them is not forgotten by an outage."""
    shared = balancer_of(upstream).shared
    ledger = shared.ledger_for(SERVICE, known(instance_at(1001, "a")))
    assert not isinstance(ledger, Refused)
    assert shared.ledger_for(SERVICE) is ledger
