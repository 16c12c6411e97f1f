from balancer.eligibility import EligibilityLedger
from balancer.outcome import Kind, Outcome, Phase, Side
from balancer.policy import ServicePolicy
from registry.model import Instance, InstanceId, ServiceName, ServiceSnapshot, Status, snapshot

REFUSED = Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False)
SERVICE = ServiceName("s")


def instance(n: int, weight: int = 1) -> Instance:
    return Instance(InstanceId(f"i{n}"), SERVICE, "h", 1000 + n, "127.0.0.1", weight=weight)


def known(*instances: Instance) -> ServiceSnapshot:
    return snapshot(SERVICE, Status.KNOWN, instances=instances)


def test_candidates_are_the_same_object_until_something_changes() -> None:
    eligible, of = EligibilityLedger(ServicePolicy()), known(instance(1), instance(2))
    assert eligible.candidates(of, 0) is eligible.candidates(of, 1)
    assert eligible.candidates(known(instance(1)), 1).instances == (instance(1),)


def test_who_refused_a_connection_is_a_reserve_until_it_answers() -> None:
    one, two = instance(1), instance(2)
    eligible, of = EligibilityLedger(ServicePolicy()), known(one, two)
    eligible.ended(one, REFUSED, None, 0)
    among = eligible.candidates(of, 0.1)
    assert (among.instances, among.reserves) == ((two,), (one,))
    assert eligible.aside(one, 0.1)
    eligible.answered(one, 200, None, 0.1)
    assert eligible.candidates(of, 0.2).instances == (one, two)
