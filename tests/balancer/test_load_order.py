"""The order is as the ledger has it, whatever begins and ends, and as exact as looking at everybody."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from balancer.candidates import candidates
from balancer.load import Lease, LoadLedger
from balancer.load_order import LoadOrder
from registry.model import Instance, InstanceId, ServiceName

SERVICE = ServiceName("s")
NOBODY_TRIED: frozenset[InstanceId] = frozenset()


def instance(n: int, weight: int = 1) -> Instance:
    return Instance(InstanceId(f"i{n}"), SERVICE, "h", 1000 + n, "127.0.0.1", weight=weight)


INSTANCES = tuple(instance(n, weight) for n, weight in enumerate((1, 1, 1, 2, 3, 3, 7)))
OTHER = instance(99)


def order(ledger: LoadLedger, instances: tuple[Instance, ...] = INSTANCES, first: int = 0) -> LoadOrder:
    made = LoadOrder(candidates(instances), ledger.load_of, first)
    ledger.follow(SERVICE, made)
    return made


class Kept(RuleBasedStateMachine):
    """Calls begin, end and expire; the order is built in the middle of it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.ledger = LoadLedger(max_handouts=4)
        self.leases: list[Lease] = []
        self.order = order(self.ledger)

    @rule(where=st.sampled_from((*INSTANCES, OTHER)))
    def start(self, where: Instance) -> None:
        self.leases.append(self.ledger.start(where, self.now))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1))).finish()

    @rule(where=st.sampled_from(INSTANCES))
    def hand_out(self, where: Instance) -> None:
        self.ledger.hand_out(where, self.now, ttl_s=2)

    @rule()
    def time_passes(self) -> None:
        self.now += 1
        self.ledger.expire(self.now)

    @rule(first=st.integers(0, len(INSTANCES) - 1))
    def build_anew(self, first: int) -> None:
        self.order = order(self.ledger, first=first)

    @rule(tried=st.frozensets(st.sampled_from([i.id for i in INSTANCES])))
    def pick(self, tried: frozenset[InstanceId]) -> None:
        untried = [i for i in INSTANCES if i.id not in tried]
        least = self.order.least(tried)
        assert (least in untried) if untried else (least is None)
        if least is not None:
            assert self.busy(least) == min(self.busy(i) for i in untried)

    def busy(self, instance: Instance) -> float:
        return (self.ledger.load_of(instance) + 1) / instance.weight

    @invariant()
    def the_first_is_the_least_busy(self) -> None:
        least = self.order.least(NOBODY_TRIED)
        assert least is not None
        assert self.busy(least) == min(map(self.busy, INSTANCES))


TestKept = Kept.TestCase
TestKept.settings = settings(max_examples=40)


def test_equals_take_turns_from_the_first_on() -> None:
    even = tuple(instance(n) for n in range(4))
    of = order(LoadLedger(), even, first=2)
    assert [of.least(NOBODY_TRIED) for _ in range(8)] == [even[n] for n in (2, 3, 0, 1, 2, 3, 0, 1)]


def test_there_is_nobody_among_nobody() -> None:
    assert order(LoadLedger(), ()).least(NOBODY_TRIED) is None


@given(seed=st.integers())
def test_levels_that_are_empty_do_not_pile_up(seed: int) -> None:
    """Weights that share no level, and loads that rise high and fall: only so many are remembered."""
    rng = random.Random(seed)
    ledger = LoadLedger()
    uneven = tuple(instance(n, 101 + 2 * n) for n in range(3))
    of = order(ledger, uneven)
    for _ in range(10):
        leases = [ledger.start(rng.choice(uneven), 0) for _ in range(100)]
        for lease in leases:
            lease.finish()
    shown = repr(of)
    assert int(shown.split()[-2]) <= 2 * len(uneven) + 64 + 1, shown
