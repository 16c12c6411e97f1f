"""The sum of the counters is the number of live leases, whatever happens in whatever order."""

import gc
import weakref

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from balancer.load import Lease, LoadLedger
from registry.model import Instance, InstanceId, InstanceKey, ServiceName

TTL_S = 10.0
MAX_HANDOUTS = 5


def instance(id: str, incarnation: str = "1") -> Instance:
    return Instance(InstanceId(id), ServiceName("s"), "h", 80, "127.0.0.1", incarnation=incarnation)


class Ledger(RuleBasedStateMachine):
    """Calls and hand-outs begin, end, end twice and expire, on instances that come and go."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.ledger = LoadLedger(max_handouts=MAX_HANDOUTS)
        self.live: list[tuple[Lease, Instance]] = []
        self.handed_out: list[tuple[float, Instance]] = []

    @rule(target=leases, id=st.sampled_from("abc"), incarnation=st.sampled_from("12"))
    def start(self, id: str, incarnation: str) -> Lease:
        where = instance(id, incarnation)
        lease = self.ledger.start(where, self.now)
        self.live.append((lease, where))
        return lease

    @rule(lease=leases)
    def finish(self, lease: Lease) -> None:
        was_live = lease.live
        assert lease.finish() == was_live
        assert not lease.finish()
        self.live = [(other, where) for other, where in self.live if other is not lease]

    @rule(id=st.sampled_from("abc"), ttl_s=st.sampled_from([1.0, 5.0, TTL_S]))
    def hand_out(self, id: str, ttl_s: float) -> None:
        self.ledger.hand_out(instance(id), self.now, ttl_s)
        self._expire()
        if len(self.handed_out) == MAX_HANDOUTS:
            self.handed_out.remove(min(self.handed_out, key=lambda h: (h[0], h[1].key)))
        self.handed_out.append((self.now + ttl_s, instance(id)))

    @rule(seconds=st.floats(0, 12))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    def _expire(self) -> None:
        self.handed_out = [(until, where) for until, where in self.handed_out if until > self.now]

    @invariant()
    def counts_are_live_leases(self) -> None:
        self._expire()
        load_of = self.ledger.at(self.now)
        held = [where for _, where in self.live] + [where for _, where in self.handed_out]
        for id in "abc":
            for incarnation in "12":
                where = instance(id, incarnation)
                assert load_of(where) == sum(h.key == where.key for h in held)
        assert self.ledger.total() == len(held)

    @invariant()
    def only_loads_are_remembered(self) -> None:
        self.ledger.expire(self.now)
        held = {w.key for _, w in self.live} | {w.key for _, w in self.handed_out}
        assert repr(self.ledger) == (
            f"<LoadLedger: {len(self.live)} calls, {len(self.handed_out)} hand-outs, {len(held)} instances>"
        )


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=40)


def test_a_second_finish_takes_nothing_from_another_call() -> None:
    ledger = LoadLedger()
    first, _second = ledger.start(instance("a"), 0), ledger.start(instance("a"), 0)
    assert first.finish()
    assert not first.finish()
    assert ledger.load_of(instance("a")) == 1


def test_counts_belong_to_the_process_and_survive_the_catalogue() -> None:
    """The same id in a new process starts at zero; the same process re-learnt keeps its calls."""
    ledger = LoadLedger()
    ledger.start(instance("a", "before"), 0)
    assert ledger.load_of(instance("a", "after")) == 0
    assert ledger.load_of(instance("a", "before")) == 1


def test_a_handout_counts_until_its_time_is_up() -> None:
    ledger = LoadLedger()
    ledger.hand_out(instance("a"), now=100, ttl_s=10)
    assert ledger.at(109.9)(instance("a")) == 1
    assert ledger.at(110)(instance("a")) == 0
    assert repr(ledger) == "<LoadLedger: 0 calls, 0 hand-outs, 0 instances>"


def test_a_lease_shows_its_state() -> None:
    lease = LoadLedger().start(instance("a", "7"), 3.5)
    assert lease.started_at == 3.5
    assert repr(lease) == "<Lease on a@7: live>"
    lease.finish()
    assert repr(lease) == "<Lease on a@7: finished>"


class Told:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, int, int]] = []

    def load_changed(self, key: InstanceKey, load: int, by: int) -> None:
        self.changes.append((key[0], load, by))


def test_who_follows_a_service_is_told_of_every_change_there() -> None:
    ledger, told, elsewhere = LoadLedger(max_handouts=1), Told(), Told()
    ledger.follow(ServiceName("s"), told)
    ledger.follow(ServiceName("other"), elsewhere)
    lease = ledger.start(instance("a"), 0)
    ledger.hand_out(instance("a"), now=0, ttl_s=10)
    ledger.hand_out(instance("b"), now=0, ttl_s=10)
    lease.finish()
    lease.finish()
    ledger.expire(10)
    assert told.changes == [("a", 1, 1), ("a", 2, 1), ("a", 1, -1), ("b", 1, 1), ("a", 0, -1), ("b", 0, -1)]
    assert not elsewhere.changes


def test_a_follower_that_nobody_holds_any_more_is_forgotten() -> None:
    ledger, stays, goes = LoadLedger(), Told(), Told()
    ledger.follow(ServiceName("s"), stays)
    ledger.follow(ServiceName("s"), goes)
    kept = weakref.ref(goes)
    del goes
    gc.collect()
    assert kept() is None
    ledger.start(instance("a"), 0)
    assert stays.changes == [("a", 1, 1)]
