"""Who of a service may be picked, and how much: the snapshot, less what is held against its instances.

Rules of this file: the registry says who exists, this says who gets calls; the order among them is the
strategy's. What is derived is kept until something about it changes. Where
each instance stands is told in places.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from balancer.candidates import Candidates
from balancer.hints import AnswerHints
from balancer.model import Subset
from balancer.outlier import UNKNOWN, OutlierLedger, Reason
from balancer.policy import ServicePolicy
from balancer.record import Record
from balancer.reports import ReportLedger
from balancer.subsets import NO_VIEW, SubsetViews, View, better_of, view_of
from registry.model import Instance, InstanceId, InstanceKey, ServiceSnapshot

MANY = 500
PATIENCE_S = 5e-6
"""Of more than so many instances, candidates are derived at most so often for each: every 50 ms of ten
thousand, which takes them and the strategies about 15 ms."""
EVERY_S = 0.1
"""While all are unreachable, so often one call finds out whether that is still so."""


@dataclass(frozen=True, slots=True)
class InstanceState:
    """What is held against one instance, for health pages and metrics."""

    id: InstanceId
    aside: Reason | None
    until_in_s: float
    """Until it is probed, or comes back; 0 when it is not put aside, or due."""
    weight: float
    """Of the moment: the registry's, less while it is new or asks for less. 0 when it gets no calls."""
    ejections: int
    """In a row."""


class EligibilityLedger:
    """Of one service. Owned by the balancer; `now` is monotonic seconds.

    A caller goes choose -> `starting` without waiting in between, then `answered` when an answer's head is
    there, and in any case `ended`; `began` is the `now` it gave to `starting`.
    """

    def __init__(self, policy: ServicePolicy) -> None:
        self._policy = policy
        self._outliers = outliers = OutlierLedger(policy.ejection)
        self.put_aside: Mapping[InstanceKey, Record] = outliers.aside
        """While there is nobody, as nearly always, no call needs a probe and no start of a try to be told."""
        self.ended = outliers.ended
        """`OutlierLedger.ended`. Every call says how its tries ended: there is nothing in between."""
        self._reports = ReportLedger()
        self._instances: tuple[Instance, ...] | None = None
        self._standing: list[Record] = []
        """Of `_instances`, in their order."""
        self._whole = NO_VIEW
        self._subsets = SubsetViews()
        self._next_try_at = -inf

    @property
    def policy(self) -> ServicePolicy:
        """May be replaced at any time; what is known of instances stays."""
        return self._policy

    @policy.setter
    def policy(self, policy: ServicePolicy) -> None:
        self._policy = policy
        self._outliers.obey(policy.ejection)

    # Whom a call may go to

    def candidates(
        self,
        snapshot: ServiceSnapshot,
        now: float,
        *,
        hand_out: bool = False,
        subset: Subset | None = None,
    ) -> Candidates:
        """Whom a call may go to now: the same object until that changes.

        A hand-out promises a healthy instance, so panic is not for it. A `subset` is judged as if it were
        the whole service, unless there is nobody in order and others will do.
        """
        if snapshot.instances is not self._instances or now >= self._outliers.holds_until:
            self._derive(snapshot, now)
        view = self._whole
        if subset is not None:
            view = self._view(subset.tag, now, inside=subset.inside)
            if subset.or_others and not view.in_order:
                view = better_of(view, self._view(subset.tag, now, inside=not subset.inside))
        return view.calm if hand_out else view.current

    def has_any(self, subset: Subset, now: float) -> bool:
        """Whether the service has an instance in that subset, as `candidates` saw it last."""
        return self._view(subset.tag, now, inside=subset.inside).known > 0

    @property
    def fresh(self) -> frozenset[InstanceId]:
        """Candidates that were put aside since the candidates were derived; empty but for large services."""
        return self._outliers.fresh

    def renew(
        self,
        snapshot: ServiceSnapshot,
        now: float,
        *,
        hand_out: bool = False,
        subset: Subset | None = None,
    ) -> Candidates:
        """As `candidates`, without patience."""
        self._outliers.holds_until = -inf
        return self.candidates(snapshot, now, hand_out=hand_out, subset=subset)

    def probe(
        self,
        snapshot: ServiceSnapshot,
        tried: frozenset[InstanceId],
        now: float,
        *,
        repeatable: bool,
        subset: Subset | None = None,
    ) -> Instance | None:
        """An instance whose time aside is over and that this call is to find out about."""
        if not self._outliers.aside:
            return None
        panic = self.candidates(snapshot, now, subset=subset).panic
        return self._outliers.probe(tried, now, repeatable=repeatable, panic=panic, subset=subset)

    def reserve(
        self, among: Candidates, tried: frozenset[InstanceId], now: float, *, hand_out: bool = False
    ) -> Instance | None:
        """Who is left when no candidate is: an instance that something speaks against is better than none.

        But when nobody takes connections, calls should fail at once and not after a timeout each: every
        tenth of a second one call finds out whether that is still so, the others get nobody.
        """
        untried = [instance for instance in among.reserves if instance.id not in tried]
        if among.instances or not untried:
            return untried[0] if untried else None
        aside = self._outliers.aside
        idle = [record for i in untried if (record := aside.get(i.key)) and record.probe is None]
        if hand_out:
            idle = [record for record in idle if record.until <= now]
        elif now < self._next_try_at:
            return None
        if not idle:
            return None
        self._next_try_at = now + EVERY_S
        return min(idle, key=lambda record: (record.asked_at, record.until)).instance

    # What happens to tries

    def starting(self, instance: Instance, now: float) -> None:
        """A try is about to go there."""
        if self._outliers.aside:
            self._outliers.starting(instance.key, now)

    def answered(
        self,
        instance: Instance,
        status: int,
        hints: AnswerHints | None,
        now: float,
        began: float = UNKNOWN,
    ) -> None:
        """The head of an answer is there."""
        if self._outliers.aside or hints is not None:
            self._outliers.answered(instance, status, hints, now, began)

    def reported(self, key: InstanceKey, caller: str, ok: bool, now: float) -> None:
        """A caller elsewhere says how a call of its own went there."""
        record = self._outliers.records.get(key)
        if record is None or record.reason is not None:
            return
        condemned = self._reports.add(key, caller, ok, now, self._policy.ejection.window_s)
        if condemned and self._outliers.condemn(record.instance, now):
            self._reports.forget(key)

    # What others may know

    @property
    def panic(self) -> bool:
        """Whether too few were usable when a call last asked."""
        return self._whole.current.panic

    @property
    def ejected_total(self) -> Mapping[str, int]:
        """How often instances were put aside, by reason; ever growing."""
        return self._outliers.ejected_total

    def aside(self, instance: Instance, now: float) -> bool:  # noqa: ARG002 - a probe ends it, not time
        """Whether it is put aside now."""
        return instance.key in self._outliers.aside

    def states(self, snapshot: ServiceSnapshot, now: float) -> tuple[InstanceState, ...]:
        """Of every discovered instance."""
        among = self.candidates(snapshot, now)
        weights = dict(zip((i.key for i in among.instances), among.weights, strict=True))
        return tuple(self._state(i, weights.get(i.key, 0.0), now) for i in snapshot.instances)

    def _state(self, instance: Instance, weight: float, now: float) -> InstanceState:
        record = self._outliers.records.of(instance)
        until_in_s = max(0.0, record.until - now) if record.reason else 0.0
        in_a_row = record.ejections if now < record.forgiven_at else 0
        return InstanceState(instance.id, record.reason, until_in_s, weight, in_a_row)

    # Derived when something has changed

    def _derive(self, snapshot: ServiceSnapshot, now: float) -> None:
        outliers = self._outliers
        if snapshot.instances is not self._instances:
            outliers.follow(snapshot.instances, now)
            self._instances = snapshot.instances
            known = len(snapshot.instances)
            outliers.patience_s = known * PATIENCE_S if known > MANY else 0.0
            self._standing = [outliers.records.of(instance) for instance in snapshot.instances]
        settled_until = outliers.settle(now)
        self._whole, until = view_of(self._standing, self._policy, now, self._whole)
        self._subsets.turn(self._standing)
        outliers.holds_until = min(settled_until, until)

    def _view(self, tag: str, now: float, *, inside: bool) -> View:
        view = self._subsets.known.get((tag, inside))
        if view is None:
            view, until = self._subsets.look(tag, self._policy, now, inside=inside)
            self._outliers.holds_until = min(self._outliers.holds_until, until)
        return view

    def __repr__(self) -> str:
        among = self._whole.current
        panic = ", panic" if among.panic else ""
        return f"<EligibilityLedger: {len(among)} candidates, {len(among.reserves)} reserves{panic}>"
