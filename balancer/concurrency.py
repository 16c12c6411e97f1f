"""Who may be under way at a time, and who waits for room: the limits of one service and of its instances.

Rules of this file: a place is taken by `enter` (or handed to who waits longest) and given up by `leave`,
so that places = calls under way, always. Nobody overtakes: while somebody waits, whoever comes lines up.
What a waiter is made of is its owner's; here it has a `wake`.
"""

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from balancer.gradient import GradientLimit
from balancer.model import Subset
from balancer.policy import ConcurrencyPolicy
from registry.model import Instance, InstanceId, InstanceKey


class Waiter(Protocol):
    @property
    def subset(self) -> Subset | None:
        """Of which it wants an instance; `None` where any of the service's will do."""
        ...

    def wake(self) -> None:
        """It is its turn. Must not call back."""
        ...


class ConcurrencyLedger:
    """Of one service that has a limit. Owned by the balancer; `now` is monotonic seconds."""

    def __init__(self, policy: ConcurrencyPolicy) -> None:
        self.under_way = 0
        """Places taken, those included that were handed to somebody who has not gone on yet."""
        self.full: set[InstanceId] = set()
        """Instances at their limit."""
        self._for_service: deque[Waiter] = deque()
        self._for_instance: deque[Waiter] = deque()
        self._called: list[Subset | None] = []
        """For whom those look who were called and have not looked yet."""
        self._at: dict[InstanceKey, int] = {}
        self._gradient: GradientLimit | None = None
        self.follow(policy)

    def follow(self, policy: ConcurrencyPolicy) -> None:
        """Takes other limits. More room is given out at once, less comes about as calls end."""
        self.policy = policy
        if not policy.adaptive:
            self._gradient = None
        elif self._gradient is None:
            self._gradient = GradientLimit(policy.service)
        else:
            self._gradient.allow(policy.service)
        most = policy.instance
        self.full = {key[0] for key, at in self._at.items() if most is not None and at >= most}
        self._give_out()
        self._call_next()

    @property
    def limit(self) -> int | None:
        """Of the service, at the moment."""
        return self.policy.service if self._gradient is None else self._gradient.limit

    @property
    def waiting(self) -> int:
        return len(self._for_service) + len(self._for_instance) + len(self._called)

    # --- the service's places ----------------------------------------------------------------------

    def enter(self) -> bool:
        """Takes a place, if there is one. While somebody waits there is none: room is given out at once."""
        if not self._has_room():
            return False
        self.under_way += 1
        return True

    def line_up(self, waiter: Waiter) -> bool:
        """Waits for a place, which is the waiter's when it is woken. False: too many wait already."""
        if self.waiting >= self.policy.queue:
            return False
        self._for_service.append(waiter)
        return True

    def step_out(self, waiter: Waiter) -> bool:
        """The waiter waits no longer. False: a place has been handed to it, for it to use or to `leave`."""
        try:
            self._for_service.remove(waiter)
        except ValueError:
            return False
        return True

    def leave(self) -> None:
        """Gives a place up: to who waits longest, if anybody does."""
        self.under_way -= 1
        self._give_out()

    def _has_room(self) -> bool:
        limit = self.limit
        return limit is None or self.under_way < limit

    def _give_out(self) -> None:
        while self._for_service and self._has_room():
            self.under_way += 1
            self._for_service.popleft().wake()

    # --- the instances' places ---------------------------------------------------------------------

    def contended(self, subset: Subset | None = None) -> bool:
        """Somebody waits for such an instance: whoever comes now for one lines up behind."""
        if not self._for_instance and not self._called:
            return False
        waiting = (*self._called, *(waiter.subset for waiter in self._for_instance))
        return subset is None or any(other is None or other.overlaps(subset) for other in waiting)

    def started(self, instance: Instance) -> None:
        """A try begins there."""
        at = self._at[instance.key] = self._at.get(instance.key, 0) + 1
        limit = self.policy.instance
        if limit is not None and at >= limit:
            self.full.add(instance.id)

    def finished(self, instance: Instance) -> None:
        """That try has ended. Who waits longest for such an instance is called, to look for one itself."""
        left = self._at[instance.key] - 1
        if left:
            self._at[instance.key] = left
        else:
            del self._at[instance.key]
        limit = self.policy.instance
        if limit is None or left < limit:
            self.full.discard(instance.id)
            self._call_next(instance)

    def line_up_for_instance(self, waiter: Waiter, *, first: bool) -> bool:
        """Waits for any instance to have room. `first`: it was called before, and found none."""
        if first:
            self._for_instance.appendleft(waiter)
        elif self.waiting >= self.policy.queue:
            return False
        else:
            self._for_instance.append(waiter)
        return True

    def looked(self, waiter: Waiter, *, again: bool) -> None:
        """This one was called and has looked, or goes without. `again`: it found none, and lines up again.

        Else the next is called, as there may be room for more than one: an instance may be new.
        """
        self._called.remove(waiter.subset)
        if not again:
            self._call_next()

    def step_out_for_instance(self, waiter: Waiter) -> bool:
        """The waiter waits no longer. False: it has been called."""
        try:
            self._for_instance.remove(waiter)
        except ValueError:
            return False
        return True

    def _call_next(self, room_at: Instance | None = None) -> None:
        """Whom room at that instance is of use to; if it is not known where there is some, the first."""
        if not self._for_instance:
            return
        waiter: Waiter | None = self._for_instance[0]
        if room_at is not None and self._for_instance[0].subset is not None:
            waiter = _who_wants(room_at, self._for_instance)
        if waiter is not None:
            self._for_instance.remove(waiter)
            self._called.append(waiter.subset)
            waiter.wake()

    # --- the adaptive limit ------------------------------------------------------------------------

    def took(self, seconds: float, now: float) -> None:
        """An instance has answered after so long, or kept us waiting for so long."""
        if self._gradient is not None and self._gradient.sample(seconds, self.under_way, now):
            self._give_out()

    def __repr__(self) -> str:
        return f"<ConcurrencyLedger: {self.under_way} of {self.limit}, {self.waiting} waiting>"


def _who_wants(instance: Instance, waiting: Iterable[Waiter]) -> Waiter | None:
    """The first that may go there, or else that may have to, while none of its own are in order."""
    second = None
    for waiter in waiting:
        subset = waiter.subset
        if subset is None or subset.holds(instance.tags):
            return waiter
        if subset.or_others and second is None:
            second = waiter
    return second
