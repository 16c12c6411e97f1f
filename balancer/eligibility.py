"""Who of a service may be picked, and how much: the snapshot, less what is held against its instances.

Rules of this file: the registry says who exists, this says who gets calls; the order among them is the
strategy's. What is derived is kept until something about it changes.
"""

from balancer.candidates import NOBODY, Candidates, candidates
from balancer.cooldown import CooldownLedger
from balancer.outcome import Outcome
from balancer.policy import ServicePolicy
from registry.model import Instance, InstanceId, ServiceSnapshot


class EligibilityLedger:
    """Of one service. Owned by the balancer; `now` is monotonic seconds."""

    def __init__(self, policy: ServicePolicy) -> None:
        self.policy = policy
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

    def starting(self, instance: Instance, now: float) -> None:
        """A call is about to go there."""
        if self._cooldowns.entries:
            self._cooldowns.starting(instance, now)

    def answered(self, instance: Instance) -> None:
        """The head of an answer is there."""
        if self._cooldowns.entries:
            self._cooldowns.answered(instance)

    def ended(self, instance: Instance, outcome: Outcome, now: float) -> None:
        """A try there ended so."""
        self._cooldowns.ended(instance, outcome, now)

    def aside(self, instance: Instance, now: float) -> bool:
        """Whether it is put aside now."""
        return self._cooldowns.cooling(instance, now)

    def __repr__(self) -> str:
        return f"<EligibilityLedger: {self._cooldowns!r}>"


Tried = frozenset[InstanceId]
