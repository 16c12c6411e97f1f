"""One try at one instance: the lease on it, and everybody who is told how it goes and how it ends."""

from collections.abc import AsyncIterator
from enum import Enum

from balancer.concurrency import ConcurrencyLedger
from balancer.hints import hints_of
from balancer.model import TryTrace, UpstreamBroke
from balancer.outcome import SUCCESS, Kind, Outcome, Phase, Side
from balancer.runtime.base import LeasedBody, UpstreamAnswer
from balancer.runtime.shared import Shared
from balancer.service import ServiceLedger
from registry.model import Instance, ServiceName

ABANDONED = Outcome(Phase.BODY, Side.CLIENT, Kind.CANCELLED, sent=True)
"""The answer was not read to its end: nothing is known against the instance."""


class Counted(Enum):
    """As what the retry budget sees a try."""

    FIRST = "first"
    SECOND = "second"
    NOT = "not"
    """No byte of the try before it was sent: instances see no more of the call than they should."""


_FIRST, _NOT = Counted.FIRST, Counted.NOT
# Every call asks; looking up a member of an enumeration costs as much as a call.


class Try:
    """Begins with its lease; ends once, by `end`, however often that is said."""

    __slots__ = (
        "_counted",
        "_lease",
        "_places",
        "_service",
        "_shared",
        "_status",
        "instance",
        "ledger",
        "trace",
    )

    def __init__(
        self,
        shared: Shared,
        service: ServiceName,
        ledger: ServiceLedger,
        instance: Instance,
        now: float,
        counted: Counted,
        places: ConcurrencyLedger | None,
    ) -> None:
        self.instance = instance
        self._shared = shared
        self._service = service
        self.ledger = ledger
        self._counted = counted
        self._places = places
        self._status: int | None = None
        self.trace: TryTrace | None = None
        self._lease = shared.loads.start(instance, now)
        if ledger.eligible.put_aside:
            ledger.eligible.starting(instance, now)
        if counted is _FIRST:
            ledger.budget.first += 1
        elif counted is not _NOT:
            ledger.budget.second += 1
        if places is not None:
            places.started(instance)

    def answered(self, answer: UpstreamAnswer) -> float:
        """The head of an answer is there; tells since when."""
        ledger, status, began = self.ledger, answer.status, self._lease.started_at
        now = self._shared.clock()
        seconds = now - began
        self._status = status
        if self._counted is _FIRST:
            # As `_no_longer_counted`, for nearly every call.
            self._counted = _NOT
            ledger.budget.first_ended(now)
        else:
            self._no_longer_counted(now)
        if status < 500:
            # What fails fast says nothing of how long a call takes.
            ledger.recent.add(seconds)
        if answer.eject is not None or status in (429, 503):
            hints = hints_of(status, answer.headers, answer.eject)
            ledger.eligible.answered(self.instance, status, hints, now, began)
        elif ledger.eligible.put_aside:
            ledger.eligible.answered(self.instance, status, None, now, began)
        if ledger.told is not None:
            ledger.told(self.instance, seconds, ok=status < 500, now=now)
        if self._places is not None:
            self._places.took(seconds, now)
        return now

    def end(self, outcome: Outcome, now: float | None = None) -> None:
        """The first end counts: after it the body may end, break and be closed as often as it likes."""
        lease = self._lease
        if not lease.finish():
            return
        shared, ledger, instance = self._shared, self.ledger, self.instance
        if now is None:
            now = shared.clock()
        began = lease.started_at
        if self._status is None:
            self._unanswered(outcome, now)
        ledger.eligible.ended(instance, outcome, self._status, now, began)
        if self._places is not None:
            self._places.finished(instance)
        if shared.observer is not None:
            shared.observer.tried(self._service, instance, outcome, self._status, now - began)
        if self.trace is not None:
            self.trace.end(outcome, self._status)

    def _unanswered(self, outcome: Outcome, now: float) -> None:
        self._no_longer_counted(now)
        seconds = now - self._lease.started_at
        if not outcome.blames_instance:
            if outcome.sent and self.ledger.told is not None:
                self.ledger.strategy.given_up(self.instance, seconds, now=now)
            return
        if self.ledger.told is not None:
            self.ledger.told(self.instance, seconds, ok=False, now=now)
        if self._places is not None and outcome.kind is Kind.TIMEOUT:
            self._places.took(seconds, now)

    def _no_longer_counted(self, now: float) -> None:
        counted, self._counted = self._counted, _NOT
        if counted is _FIRST:
            self.ledger.budget.first_ended(now)
        elif counted is not _NOT:
            self.ledger.budget.second_ended(now)


class CountedBody:
    """The body of an answer; its end is the end of the try."""

    __slots__ = ("_body", "_try")

    def __init__(self, body: LeasedBody, this: Try) -> None:
        self._body = body
        self._try = this

    def whole(self) -> bytes | None:
        body = self._body.whole()
        if body is not None:
            self._try.end(SUCCESS)
        return body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._body)
        except StopAsyncIteration:
            self._try.end(SUCCESS)
            raise
        except UpstreamBroke as fault:
            self._try.end(fault.outcome)
            raise

    async def close(self) -> None:
        """An answer that came whole is a success, even if the client did not stay for it."""
        try:
            self._try.end(SUCCESS if self._body.ended else ABANDONED)
        finally:
            await self._body.release()
