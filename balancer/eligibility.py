"""Who of a service may be picked, and how much: the snapshot, less what is held against its instances.

Rules of this file: the registry says who exists, this says who gets calls; the order among them is the
strategy's. What is derived is kept until something about it changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from balancer.candidates import NOBODY, Candidates, candidates
from balancer.cooldown import CooldownLedger
from balancer.outcome import Outcome
from balancer.outlier import AnswerHints, Reason
from balancer.policy import ServicePolicy
from registry.model import Instance, InstanceId, InstanceKey, ServiceSnapshot

UNKNOWN = inf
"""When a try began, for those who can't say."""


@dataclass(frozen=True, slots=True)
class InstanceState:
    """What is held against one instance, for health pages and metrics."""

    id: InstanceId
    aside: Reason | None
    until_in_s: float
    """Until it is probed, or comes back; 0 when it is not put aside or due."""
    weight: float
    """Of the moment; the registry's, less while it is new or asks for less."""
    ejections: int
    """In a row."""


class EligibilityLedger:
    """Of one service. Owned by the balancer; `now` is monotonic seconds.

    A caller goes choose -> `starting` without waiting in between, then `answered` when an answer's head is
    there, and in any case `ended`; `began` is the `now` it gave to `starting`.
    """

    def __init__(self, policy: ServicePolicy) -> None:
        self.policy = policy
        self.panic = False
        self.ejected_total: Mapping[str, int] = dict.fromkeys(Reason, 0)
        """By reason, ever growing."""
        self._cooldowns = CooldownLedger()
        self._usable: tuple[Instance, ...] = ()
        self._calm: Candidates = NOBODY

    def candidates(self, snapshot: ServiceSnapshot, now: float) -> Candidates:
        """Whom a call may go to now: the same object until that changes."""
        if snapshot.usable is not self._usable:
            weighted = [i for i in snapshot.usable if i.weight > 0]
            self._calm = candidates(weighted, reserves=[i for i in snapshot.usable if i.weight <= 0])
            self._usable = snapshot.usable
        if not self._cooldowns.entries:
            return self._calm
        cooling = [i for i in self._usable if self._cooldowns.cooling(i, now)]
        if not cooling:
            return self._calm
        ready = [i for i in self._calm.instances if i not in cooling]
        reserves = sorted({*self._calm.reserves, *cooling}, key=self._cooldowns.until)
        return candidates(ready, reserves=reserves)

    def probe(
        self,
        snapshot: ServiceSnapshot,  # noqa: ARG002
        tried: frozenset[InstanceId],  # noqa: ARG002
        now: float,  # noqa: ARG002
        *,
        repeatable: bool,  # noqa: ARG002
    ) -> Instance | None:
        """An instance whose time aside is over and that this call is to find out about."""
        return None

    def starting(self, instance: Instance, now: float) -> None:
        """A call is about to go there."""
        if self._cooldowns.entries:
            self._cooldowns.starting(instance, now)

    def answered(
        self,
        instance: Instance,
        status: int,  # noqa: ARG002
        hints: AnswerHints | None,  # noqa: ARG002
        now: float,  # noqa: ARG002
        began: float = UNKNOWN,  # noqa: ARG002
    ) -> None:
        """The head of an answer is there."""
        if self._cooldowns.entries:
            self._cooldowns.answered(instance)

    def ended(
        self,
        instance: Instance,
        outcome: Outcome,
        status: int | None,  # noqa: ARG002
        now: float,
        began: float = UNKNOWN,  # noqa: ARG002
    ) -> None:
        """A try there ended so; `status` is that of its answer, `None` when there was none."""
        self._cooldowns.ended(instance, outcome, now)

    def reported(self, key: InstanceKey, caller: str, ok: bool, now: float) -> None:
        """A caller elsewhere says how a call of its own went there."""

    def states(self, snapshot: ServiceSnapshot, now: float) -> tuple[InstanceState, ...]:
        """Of every discovered instance."""
        return tuple(
            InstanceState(
                i.id,
                Reason.CONNECT_FAILURES if self.aside(i, now) else None,
                max(0.0, self._cooldowns.until(i) - now),
                float(i.weight),
                0,
            )
            for i in snapshot.instances
        )

    def aside(self, instance: Instance, now: float) -> bool:
        """Whether it is put aside now."""
        return self._cooldowns.cooling(instance, now)

    def __repr__(self) -> str:
        return f"<EligibilityLedger: {self._cooldowns!r}>"
