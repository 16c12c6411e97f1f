"""How busy each instance is: calls in flight and hand-outs, as leases.

Rules of this file: a count goes up only by making a lease and down only by ending that lease, so the
counts cannot drift: their sum is the number of live leases, always. A hand-out's lease is its entry among
the hand-outs, which nobody holds and time ends. Counts belong to an instance's
key (id and incarnation) and know nothing of catalogues, so they survive every change of them.
"""

import weakref
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

from registry.model import Instance, InstanceKey, ServiceName

MAX_HANDOUTS = 10_000
"""Hand-outs remembered at once, about 2 MB. Beyond it the one that ends first is forgotten early."""


class Lease:
    """One call at one instance, from before its first byte until its answer's body has ended."""

    __slots__ = ("_ledger", "_service", "key", "started_at")

    def __init__(self, ledger: "LoadLedger", instance: Instance, started_at: float) -> None:
        self._ledger: LoadLedger | None = ledger
        self._service = instance.service
        self.key = instance.key
        self.started_at = started_at

    @property
    def live(self) -> bool:
        return self._ledger is not None

    def finish(self) -> bool:
        """Ends the lease; says whether it was still live.

        A second finish does nothing, by design: the end of the body and the end of the call both
        finish the lease, in either order, and neither should have to ask whether the other did.
        The lease itself remembers, so no count can be taken down twice.
        """
        ledger = self._ledger
        if ledger is None:
            return False
        self._ledger = None
        ledger._end(self.key, self._service)
        return True

    def __repr__(self) -> str:
        return f"<Lease on {'@'.join(self.key)}: {'live' if self.live else 'finished'}>"


class Follower(Protocol):
    """What a strategy derives from the loads, and would have to look at every instance for otherwise."""

    def load_changed(self, key: InstanceKey, load: int, by: int) -> None:
        """The load of that instance is `load` now: by one more, or by one less. Must not raise."""
        ...


class LoadLedger:
    """Counts per instance key. Owned by one balancer and used from one event loop only."""

    def __init__(self, max_handouts: int = MAX_HANDOUTS) -> None:
        self._counts: dict[InstanceKey, int] = {}
        self.count_of = self._counts.get
        """`load_of` by the key, for those who ask often. `None`, or the default given, is no lease."""
        self._handouts: list[tuple[float, InstanceKey, ServiceName]] = []
        self._max_handouts = max_handouts
        self._followers: dict[ServiceName, tuple[weakref.ref[Follower], ...]] = {}

    def start(self, instance: Instance, now: float) -> Lease:
        """A call begins. Whoever starts a lease finishes it in `finally`."""
        key, counts = instance.key, self._counts
        counts[key] = load = counts.get(key, 0) + 1
        if self._followers:
            self._tell(instance.service, key, load, 1)
        return Lease(self, instance, now)

    def hand_out(self, instance: Instance, now: float, ttl_s: float) -> None:
        """Counts one connection for `ttl_s` seconds, for a peer whose calls are never seen here."""
        self.expire(now)
        handouts, counts, key = self._handouts, self._counts, instance.key
        if len(handouts) >= self._max_handouts:
            self._end(*heappop(handouts)[1:])
        counts[key] = load = counts.get(key, 0) + 1
        heappush(handouts, (now + ttl_s, key, instance.service))
        if self._followers:
            self._tell(instance.service, key, load, 1)

    def expire(self, now: float) -> None:
        """Ends the hand-outs whose time is up."""
        handouts = self._handouts
        while handouts and handouts[0][0] <= now:
            self._end(*heappop(handouts)[1:])

    def load_of(self, instance: Instance) -> int:
        """Leases on that process, hand-outs included. Call `expire` first."""
        return self._counts.get(instance.key, 0)

    def at(self, now: float) -> Callable[[Instance], int]:
        """The load as strategies ask for it, with the hand-outs of `now`."""
        if self._handouts:
            self.expire(now)
        return self.load_of

    def follow(self, service: ServiceName, follower: Follower) -> None:
        """Tells `follower` of every load of that service that changes from now on.

        It is held weakly: one that its strategy has dropped is told no more.
        """

        def gone(dead: "weakref.ref[Follower]") -> None:
            left = tuple(ref for ref in self._followers.get(service, ()) if ref is not dead)
            if left:
                self._followers[service] = left
            else:
                self._followers.pop(service, None)

        self._followers[service] = (*self._followers.get(service, ()), weakref.ref(follower, gone))

    def total(self) -> int:
        """Live leases, hand-outs included."""
        return sum(self._counts.values())

    def _end(self, key: InstanceKey, service: ServiceName) -> None:
        counts = self._counts
        left = counts[key] - 1
        if left:
            counts[key] = left
        else:
            del counts[key]
        if self._followers:
            self._tell(service, key, left, -1)

    def _tell(self, service: ServiceName, key: InstanceKey, load: int, by: int) -> None:
        for ref in self._followers.get(service, ()):
            follower = ref()
            if follower is not None:
                follower.load_changed(key, load, by)

    def __repr__(self) -> str:
        calls = self.total() - len(self._handouts)
        return f"<LoadLedger: {calls} calls, {len(self._handouts)} hand-outs, {len(self._counts)} instances>"
