"""Bad days at random: instances that fail, come and go, callers that complain, policies that change.

What must hold whatever happens is checked at every step against what everybody may see: the candidates,
the states, and whom `choose` picks.
"""

import random
from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from balancer.eligibility import EligibilityLedger, InstanceState
from balancer.hints import hints_of
from balancer.load import Lease, LoadLedger
from balancer.model import Refused, RefusedReason
from balancer.outcome import SUCCESS, Kind, Outcome, Phase, Side
from balancer.outlier import Reason
from balancer.policy import EjectionPolicy, ServicePolicy
from balancer.selection import choose
from balancer.strategies import load_strategy
from registry.model import (
    Health,
    Instance,
    InstanceId,
    InstanceKey,
    ServiceName,
    Status,
    Verdict,
    snapshot,
)

NAMES = "abcdef"
TICK_S = 2**-20
"""No two things happen at one moment."""
REFUSED = Outcome(Phase.CONNECT, Side.INSTANCE, Kind.REFUSED, sent=False)
TIMEOUT = Outcome(Phase.WAIT, Side.INSTANCE, Kind.TIMEOUT, sent=True)
BROKEN = Outcome(Phase.BODY, Side.INSTANCE, Kind.RESET, sent=True)
CANCELLED = Outcome(Phase.WAIT, Side.CLIENT, Kind.CANCELLED, sent=True)
ENDS = st.sampled_from(
    [REFUSED, REFUSED, REFUSED, TIMEOUT, BROKEN, CANCELLED, 200, 200, 404, 429, 500, 500, 503, "leave"]
)
POLICIES = st.builds(
    ServicePolicy,
    ejection=st.builds(
        EjectionPolicy,
        connect_failures=st.sampled_from([1, 1, 1, 2, 0]),
        server_errors=st.sampled_from([1, 1, 2, 0]),
        min_requests=st.just(2),
        max_percent=st.sampled_from([50, 50, 100, 10, 0]),
        panic_percent=st.sampled_from([0, 50]),
        max_s=st.just(5.0),
    ),
    slow_start_s=st.sampled_from([0.0, 3.0]),
    zone=st.sampled_from(["", "z"]),
    zone_room=st.just(2),
)
INSTANCES = st.builds(
    Instance,
    id=st.sampled_from([InstanceId(name) for name in NAMES]),
    service=st.just(ServiceName("s")),
    host=st.just("h"),
    port=st.just(1),
    ip=st.just("127.0.0.1"),
    health=st.sampled_from([Health.PASSING] * 4 + [Health.CRITICAL, Health.MAINTENANCE]),
    weight=st.sampled_from([1, 1, 2, 0]),
    incarnation=st.sampled_from("112"),
    zone=st.sampled_from(["z", ""]),
    verdict=st.sampled_from([Verdict.UNCHECKED] * 4 + [Verdict.DOWN]),
)


@dataclass
class Call:
    instance: Instance
    began: float
    lease: Lease


class BadDays(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.calls: list[Call] = []
        self.probes: dict[InstanceKey, Call] = {}
        self.back_at: dict[InstanceKey, float] = {}
        self.seen_aside: dict[InstanceKey, Reason] = {}
        self.ejected = 0
        self.of = snapshot(ServiceName("s"), Status.KNOWN)

    @initialize(policy=POLICIES, instances=st.lists(INSTANCES, min_size=1, unique_by=lambda i: i.id))
    def begin(self, policy: ServicePolicy, instances: list[Instance]) -> None:
        self.eligible = EligibilityLedger(policy)
        self.loads = LoadLedger()
        self.strategy = load_strategy("least_connections", random.Random(1))
        self.registered(instances)

    # What happens

    def registered(self, instances: list[Instance]) -> None:
        """The registry's view, whole."""
        self.of = snapshot(ServiceName("s"), Status.KNOWN, instances=tuple(instances))
        self.tick()

    @rule(at=st.integers(0, 5), instance=INSTANCES, leaves=st.booleans(), policy=st.none() | POLICIES)
    def something_is_set_anew(
        self, at: int, instance: Instance, leaves: bool, policy: ServicePolicy | None
    ) -> None:
        if policy is not None:
            self.eligible.policy = policy
        others = [i for i in self.of.instances if i.id != instance.id]
        self.registered(others if leaves else [*others[:at], instance, *others[at:]])

    @rule(seconds=st.sampled_from([0.05, 0.15, 1, 2, 2, 5, 61]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.tick()

    @rule(ends=st.lists(ENDS, min_size=1, max_size=4))
    def calls_that_end_at_once(self, ends: list[Outcome | int | str]) -> None:
        for end in ends:
            before = len(self.calls)
            self.call(set(), repeatable=True)
            if len(self.calls) > before:
                self.call_ends(before, end)

    @rule(
        tried=st.just(set[str]()) | st.sets(st.sampled_from(NAMES), max_size=2),
        repeatable=st.booleans(),
    )
    def call(self, tried: set[str], repeatable: bool) -> None:
        self.tick()
        names = frozenset(InstanceId(name) for name in tried)
        probed = self.eligible.probe(self.of, names, self.now, repeatable=repeatable)
        chosen = choose(
            self.of, self.eligible, self.loads, self.strategy, names, b"", self.now, repeatable=repeatable
        )
        if isinstance(chosen, Refused):
            self.nobody_was_left(names, chosen)
            return
        instance = chosen
        assert instance.id not in names
        assert instance in self.of.instances
        assert instance.usable or (self.eligible.panic and instance.health is not Health.MAINTENANCE)
        made = Call(instance, self.now, self.loads.start(instance, self.now))
        self.eligible.starting(instance, self.now)
        if probed is not None:
            assert instance is probed
            assert instance.key not in self.probes, "one at a time"
            self.probes[instance.key] = made
        self.calls.append(made)

    def nobody_was_left(self, tried: frozenset[InstanceId], refused: Refused) -> None:
        reasons = {state.id: state.aside for state in self.states()}
        untried = [i for i in self.of.usable if i.id not in tried]
        if untried:
            assert all(reasons[i.id] is Reason.CONNECT_FAILURES for i in self.of.usable)
            assert refused.reason is RefusedReason.NO_HEALTHY_INSTANCE
        assert refused.retry_after_s >= 1

    @rule(tried=st.sets(st.sampled_from(NAMES), max_size=2))
    def hand_out(self, tried: set[str]) -> None:
        self.tick()
        names = frozenset(InstanceId(name) for name in tried)
        due = self.eligible.probe(self.of, frozenset(), self.now, repeatable=True)
        before = self.states()
        chosen = choose(
            self.of, self.eligible, self.loads, self.strategy, names, b"", self.now, hand_out=True
        )
        if not isinstance(chosen, Refused):
            assert chosen.usable
            assert chosen.id not in names
        assert self.eligible.probe(self.of, frozenset(), self.now, repeatable=True) is due
        assert self.states() == before

    @precondition(lambda self: self.calls)
    @rule(at=st.integers(0, 100), end=ENDS)
    def call_ends(self, at: int, end: Outcome | int | str) -> None:
        self.tick()
        call = self.calls.pop(at % len(self.calls))
        instance, began = call.instance, call.began
        among = self.eligible.candidates(self.of, self.now)
        aside = self.eligible.aside(instance, self.now)
        if isinstance(end, Outcome):
            self.eligible.ended(instance, end, None, self.now, began)
        else:
            status = end if isinstance(end, int) else 200
            eject = b"1.0" if end == "leave" else None
            hints = hints_of(status, [], eject)
            self.eligible.answered(instance, status, hints, self.now, began)
            self.eligible.ended(instance, SUCCESS, status, self.now, began)
        call.lease.finish()
        if self.probes.get(instance.key) is call:
            del self.probes[instance.key]
        if aside:
            return
        if end in (CANCELLED, 404, 200):
            assert self.eligible.candidates(self.of, self.now) is among
        if began < self.back_at.get(instance.key, 0) and end != "leave":
            assert not self.eligible.aside(instance, self.now), "that was before it came back"

    @rule(at=st.integers(0, 5), caller=st.sampled_from("xyz"), ok=st.booleans())
    def reported(self, at: int, caller: str, ok: bool) -> None:
        self.tick()
        if self.of.instances:
            instance = self.of.instances[at % len(self.of.instances)]
            self.eligible.reported(instance.key, caller, ok, self.now)

    # What is seen

    def tick(self) -> None:
        self.now += TICK_S
        self.look()

    def look(self) -> None:
        """Notes who is put aside, who came back when, and which probes are of this time aside.

        Of those that are not registered nothing is known: they may be forgotten.
        """
        states = {
            instance.key: state for instance, state in zip(self.of.instances, self.states(), strict=True)
        }
        aside = {key: state.aside for key, state in states.items() if state.aside is not None}
        for key in self.seen_aside.keys() - aside.keys():
            self.back_at[key] = self.now
        self.seen_aside = aside
        self.back_at = {key: at for key, at in self.back_at.items() if key in states}
        self.probes = {key: call for key, call in self.probes.items() if key in aside}

    def states(self) -> tuple[InstanceState, ...]:
        return self.eligible.states(self.of, self.now)

    # What holds

    @invariant()
    def candidates_stay_the_same_object(self) -> None:
        among = self.eligible.candidates(self.of, self.now)
        assert self.eligible.candidates(self.of, self.now) is among
        assert self.eligible.candidates(replace(self.of, version=1), self.now) is among

    @invariant()
    def statistics_put_no_more_aside_than_they_may(self) -> None:
        self.eligible.candidates(self.of, self.now)
        usable = {i.id for i in self.of.usable}
        suspected = [
            state.id
            for state in self.states()
            if state.id in usable and state.aside not in (None, Reason.CONNECT_FAILURES)
        ]
        percent = self.eligible.policy.ejection.max_percent
        least = 1 if len(usable) > 1 and percent else 0
        assert len(suspected) <= (max(least, len(usable) * percent // 100) if len(usable) > 1 else 0)

    @invariant()
    def candidates_are_consistent(self) -> None:
        among = self.eligible.candidates(self.of, self.now)
        assert not set(among.instances) & set(among.reserves)
        for instance, weight in zip(among.instances, among.weights, strict=True):
            assert 0 < weight <= (instance.weight or 1)
        if not among.panic:
            assert {*among.instances, *among.reserves} == set(self.of.usable)
        if among.local is not None:
            assert 0 < len(among.local) < len(among)

    @invariant()
    def totals_only_grow(self) -> None:
        total = sum(self.eligible.ejected_total.values())
        assert total >= self.ejected
        self.ejected = total


TestBadDays = BadDays.TestCase
TestBadDays.settings = settings(max_examples=45, stateful_step_count=50, deadline=None)
