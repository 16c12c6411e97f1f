"""What a call holds of a service that has limits or a circuit: taken first, and given back once."""

from collections.abc import Callable

from balancer.circuit import ORDINARY, CircuitLedger, State, verdict_of_failure, verdict_of_status
from balancer.concurrency import ConcurrencyLedger
from balancer.model import CallPolicy, Failed, Refused, RefusedReason
from balancer.runtime.attempt import Try
from balancer.runtime.base import Answer, End, Switched
from balancer.runtime.queueing import place_in, room_at_an_instance
from balancer.runtime.shared import Shared
from balancer.service import ServiceLedger
from registry.model import InstanceId

BUSY = Refused(RefusedReason.BUSY)


class Admission:
    """Of one call. `deadline` is when its time is over, by the balancer's clock."""

    __slots__ = (
        "_called",
        "_circuit",
        "_deadline",
        "_round",
        "_service",
        "_shared",
        "_started_at",
        "_subset",
        "places",
    )

    def __init__(self, shared: Shared, policy: CallPolicy, started_at: float, deadline: float) -> None:
        self._shared = shared
        self._service = policy.service
        self._subset = policy.subset
        self._started_at = started_at
        self._deadline = deadline
        self._circuit: CircuitLedger | None = None
        self._round = ORDINARY
        self._called = False
        """To look for an instance, after it has waited for one."""
        self.places: ConcurrencyLedger | None = None
        """Those that a place is held of."""

    async def enter(self, ledger: ServiceLedger) -> Refused | None:
        """A place among the calls under way, then one before the circuit; or why there is none."""
        places, circuit = ledger.concurrency, ledger.circuit
        if places is not None:
            if not places.enter() and not await place_in(places, self._patience_s(places)):
                return BUSY
            self.places = places
        if circuit is not None:
            before = circuit.state
            entered = circuit.enter(self._shared.clock())
            self._tell_of(circuit, before)
            if isinstance(entered, Refused):
                return entered
            self._circuit, self._round = circuit, entered
        return None

    def judge(self, end: End, *, hurried: bool) -> None:
        """Tells the circuit what this end says of the service, if it says anything."""
        circuit = self._circuit
        ok: bool | None
        match end:
            case Answer():
                ok = verdict_of_status(end.status)
            case Switched():
                ok = True
            case Failed():
                ok = verdict_of_failure(end, hurried=hurried)
            case Refused():
                ok = None
        if circuit is not None and ok is not None:
            self._circuit, before = None, circuit.state
            circuit.ended(self._round, self._shared.clock(), ok=ok)
            self._tell_of(circuit, before)

    def leave(self) -> None:
        """Gives back what is held. A second time there is nothing left."""
        places, self.places = self.places, None
        if places is not None:
            places.leave()
        circuit, self._circuit = self._circuit, None
        if circuit is not None:
            circuit.nothing_known(self._round)

    # --- instances with limits ---------------------------------------------------------------------

    @property
    def must_line_up(self) -> bool:
        """Others wait for such an instance already."""
        return self.places is not None and self.places.contended(self._subset) and not self._called

    def without_full(self, excluded: frozenset[InstanceId]) -> frozenset[InstanceId]:
        """The excluded, and the instances at their limit."""
        return excluded if self.places is None else excluded | self.places.full

    def instances_are_full(self) -> bool:
        """An instance may only be missing because some are at their limit."""
        return self.places is not None and (bool(self.places.full) or self.must_line_up)

    async def wait_for_instance(self, begin: Callable[[], Try | Refused], refused: Refused) -> Try | Refused:
        """A try that `begin` begins once one of the instances has room, or why there is none."""
        places = self.places
        while places is not None and self._wants_room(refused):
            patience_s = self._patience_s(places)
            turn = await room_at_an_instance(places, patience_s, first=self._called, subset=self._subset)
            if turn is None:
                return BUSY
            self._called, again = True, False
            try:
                begun = begin()
                again = isinstance(begun, Refused) and self._wants_room(begun)
            finally:
                places.looked(turn, again=again)
            if not isinstance(begun, Refused):
                return begun
            refused = begun
        return refused

    def _wants_room(self, refused: Refused) -> bool:
        return refused.reason is RefusedReason.ALL_TRIED and self.instances_are_full()

    def _patience_s(self, places: ConcurrencyLedger) -> float:
        """How long the call may still wait for room, of what it may wait in all."""
        until = min(self._deadline, self._started_at + places.policy.wait_s)
        return max(0.0, until - self._shared.clock())

    def _tell_of(self, circuit: CircuitLedger, before: State) -> None:
        observer = self._shared.observer
        if circuit.state is not before and observer is not None:
            observer.circuit(self._service, circuit.state)
