"""One call: let in, tried at an instance, and at others as far as policy, budget and time allow."""

import asyncio
from dataclasses import replace
from types import TracebackType

from tenacity import RetryCallState

from balancer.deadline import total_of
from balancer.field_lines import FieldLines
from balancer.hedging import hedge_after, may_hedge
from balancer.model import (
    CallPolicy,
    CallTrace,
    Failed,
    OutboundRequest,
    Refused,
    RefusedReason,
    UpstreamFailed,
)
from balancer.outcome import OUT_OF_TIME, OUTRUN, SUCCESS, Kind, Outcome, Phase, Side
from balancer.retry import ROOM_PAUSES_S, AttemptFacts, Retry, decide, safe_to_repeat
from balancer.runtime.admission import Admission
from balancer.runtime.attempt import Counted, CountedBody, Try
from balancer.runtime.base import Answer, End, Switched, UpstreamAnswer
from balancer.runtime.bodies import WholeBody
from balancer.runtime.hedge import Race, Sending
from balancer.runtime.once_stream import OnceStream
from balancer.runtime.shared import Shared
from balancer.selection import choose
from balancer.service import ServiceLedger
from registry.model import Instance, InstanceId

_FIRST, _SECOND, _NOT = Counted.FIRST, Counted.SECOND, Counted.NOT
# Every call asks; looking up a member of an enumeration costs as much as a call.
_NOBODY: frozenset[InstanceId] = frozenset()
_ALL_TRIED = Refused(RefusedReason.ALL_TRIED)
_EARLY_S = 0.002
"""uvloop's clock has whole milliseconds: a timer may fire that much before its time."""


class Call:
    """A context that is entered once; everything taken for the call is given back when it is left."""

    __slots__ = (
        "_admission",
        "_body",
        "_deadline",
        "_failed",
        "_ledger",
        "_no_room",
        "_only",
        "_policy",
        "_race",
        "_repeatable",
        "_request",
        "_shared",
        "_shortened",
        "_started_at",
        "_stream",
        "_tried",
    )

    def __init__(
        self, shared: Shared, policy: CallPolicy, request: OutboundRequest, only: Instance | None
    ) -> None:
        self._shared = shared
        self._only = only
        self._policy = policy
        self._stream = None if isinstance(request.body, bytes) else OnceStream(request.body)
        self._request = request if self._stream is None else replace(request, body=self._stream)
        self._repeatable = safe_to_repeat(policy.retry, keyed=request.idempotency_key)
        total_s, callers_s = policy.timeouts.total_s, request.deadline_s
        self._started_at = started_at = shared.clock()
        self._deadline = started_at + (total_s if callers_s is None else total_of(total_s, callers_s))
        self._shortened = callers_s is not None
        """Less is left than the route gives."""
        self._ledger: ServiceLedger | None = None
        self._admission: Admission | None = None
        self._race: Race | None = None
        self._tried = _NOBODY
        self._failed: Failed | None = None
        self._no_room = False
        """For another try, within the time that one may wait."""
        self._body: CountedBody | None = None

    async def __aenter__(self) -> End:
        shared, service = self._shared, self._policy.service
        ledger = shared.services.of_known(service)
        if ledger is None:
            found = shared.ledger_for(service) if self._only is None else shared.services.of(service)
            if isinstance(found, Refused):
                return found
            ledger = found
        self._ledger = ledger
        ledger.calls += 1
        try:
            if ledger.circuit is not None or ledger.concurrency is not None:
                no_place = await self._enter(ledger)
                if no_place is not None:
                    return no_place
            end = await self._first_try(ledger)
            if isinstance(end, Failed) and self._wants_another(end):
                end = await self._further_tries(ledger)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        if self._admission is not None:
            hurried = self._deadline < self._started_at + self._policy.timeouts.total_s
            self._admission.judge(end, hurried=hurried)
        return end

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives back what is held. A second time there is nothing left."""
        try:
            if self._body is not None:
                body, self._body = self._body, None
                await body.close()
        finally:
            ledger = self._ledger
            if ledger is not None:
                self._ledger = None
                ledger.calls -= 1
            if self._admission is not None:
                self._admission.leave()

    async def _enter(self, ledger: ServiceLedger) -> Refused | Failed | None:
        """Goes through the limits of a service that has some; or why that is not possible."""
        self._shortened = True
        self._admission = Admission(self._shared, self._policy, self._started_at, self._deadline)
        refused = await self._admission.enter(ledger)
        return None if refused is None else self._in_time(refused)

    def _in_time(self, refused: Refused) -> Refused | Failed:
        """Who has waited for a place until its own time was over was not too many, but late."""
        return refused if self._remaining_s(self._shared.clock()) > _EARLY_S else Failed(OUT_OF_TIME, 0)

    # --- tries -------------------------------------------------------------------------------------

    def _first_try(self, ledger: ServiceLedger) -> Sending:
        """What is to be awaited for the end of the first try, without a coroutine more than needed."""
        now = self._started_at
        if self._shortened:
            now = self._shared.clock()
            if self._remaining_s(now) <= 0:
                return _at_once(Failed(OUT_OF_TIME, 0))
        this = self._begin(ledger, _FIRST, now)
        if isinstance(this, Refused):
            return _at_once(this) if self._admission is None else self._try_when_there_is_room(ledger, this)
        if self._policy.hedge and self._only is None and may_hedge(self._policy.retry, self._request):
            return self._send_hedged(ledger, this)
        return self._send(this)

    async def _try_when_there_is_room(self, ledger: ServiceLedger, refused: Refused) -> End:
        assert self._admission is not None
        this = await self._admission.wait_for_instance(
            lambda: self._begin(ledger, _FIRST, self._shared.clock()), refused
        )
        return self._in_time(this) if isinstance(this, Refused) else await self._send(this)

    def _begin(self, ledger: ServiceLedger, counted: Counted, now: float) -> Try | Refused:
        """Another try at an instance that has not been tried. Nothing is waited for until it is sent."""
        shared, policy, instance = self._shared, self._policy, self._only
        admission, tried = self._admission, self._tried
        if instance is None:
            excluded = tried
            if admission is not None:
                if admission.must_line_up and not tried:
                    return _ALL_TRIED
                excluded = admission.without_full(tried)
            subset = policy.subset
            chosen = choose(
                shared.snapshots(policy.service),
                ledger.eligible,
                shared.loads,
                ledger.strategy if subset is None else ledger.strategy_for(subset),
                excluded,
                self._request.key,
                now,
                repeatable=self._repeatable and policy.max_attempts > 1,
                probes=not tried,
                reserves=admission is None or bool(tried),
                subset=subset,
            )
            if isinstance(chosen, Refused):
                return chosen
            instance = chosen
        elif tried:
            return _ALL_TRIED
        self._tried = tried | {instance.id}
        places = None if admission is None else admission.places
        return Try(shared, policy.service, ledger, instance, now, counted, places)

    async def _send(self, this: Try) -> End:
        shared, timeouts = self._shared, self._policy.timeouts
        if self._shortened:
            timeouts = replace(timeouts, total_s=max(0.0, self._remaining_s(shared.clock())))
        request = self._request
        if request.trace is not None:
            request = self._traced(request.trace, this)
        try:
            answer = await shared.upstream.send(
                this.instance, request, timeouts, repeatable=self._repeatable, budget=this.ledger.budget
            )
        except UpstreamFailed as fault:
            this.end(fault.outcome)
            self._failed = Failed(fault.outcome, len(self._tried))
            return self._failed
        except BaseException as error:
            this.end(self._given_up(this, error))
            raise
        now, body = this.answered(answer), answer.body
        if self._race is not None and not self._race.is_won_by(this):
            return await self._lost(this, answer)
        attempts = len(self._tried)
        if isinstance(body, WholeBody):
            this.end(SUCCESS, now)
            return Answer(answer.status, answer.reason, answer.headers, body, this.instance, attempts)
        self._body = CountedBody(body, this)
        if answer.status == 101:
            return Switched(answer.reason, answer.headers, body.take_over, this.instance, attempts)
        return Answer(answer.status, answer.reason, answer.headers, self._body, this.instance, attempts)

    def _traced(self, trace: CallTrace, this: Try) -> OutboundRequest:
        """The request of this very try, which names the try to the instance."""
        request, race, failed = self._request, self._race, self._failed
        hedges = race is not None and race.second is this
        reason = "hedge" if hedges else "" if failed is None else failed.outcome.label
        this.trace = begun = trace.try_at(this.instance, len(self._tried), reason)
        lines = request.headers
        if not isinstance(lines, FieldLines):
            lines = FieldLines(lines)
        for name, value in begun.headers:
            lines = lines.plus(name, value)
        return replace(request, headers=lines)

    def _given_up(self, this: Try, error: BaseException) -> Outcome:
        if self._race is not None and self._race.is_lost_by(this):
            return OUTRUN
        side = Side.CLIENT if isinstance(error, asyncio.CancelledError) else Side.GATEWAY
        return Outcome(Phase.WAIT, side, Kind.CANCELLED, sent=True)

    # --- second tries ------------------------------------------------------------------------------

    async def _further_tries(self, ledger: ServiceLedger) -> End:
        """By tenacity, which a call pays for only when its first try has failed: it costs 25 microseconds."""
        self._shortened = True
        # A copy: the object's own state is shared by all its users.
        again = self._shared.retrying.copy(retry=self._wants_yet_another)
        end: End = await again(self._try_again, ledger)
        return self._failed if isinstance(end, Refused) and self._failed is not None else end

    async def _try_again(self, ledger: ServiceLedger) -> End:
        """One try after a failed one, if there is room for it or comes to be soon."""
        failed, shared = self._failed, self._shared
        assert failed is not None
        counted = _SECOND if failed.outcome.sent else _NOT
        for pause_s in (*ROOM_PAUSES_S, None):
            now = shared.clock()
            if counted is _NOT or ledger.budget.has_room(now):
                this = self._begin(ledger, counted, now)
                if not isinstance(this, Refused):
                    if shared.observer is not None:
                        shared.observer.retried(self._policy.service, failed.outcome.label)
                    return await self._send(this)
                if self._admission is None or not self._admission.instances_are_full():
                    return this
            if pause_s is None or not self._has_time_for(ledger, pause_s, now):
                break
            await shared.sleep(pause_s)
        self._no_room = True
        if shared.observer is not None and counted is _SECOND and not ledger.budget.has_room(now):
            shared.observer.refused_retry(self._policy.service)
        return failed

    def _wants_yet_another(self, state: RetryCallState) -> bool:
        """tenacity's predicate: it asks after every try. Whatever was raised ends the call."""
        assert state.outcome is not None
        if state.outcome.failed:
            return False
        end = state.outcome.result()
        return isinstance(end, Failed) and self._wants_another(end)

    def _wants_another(self, end: Failed) -> bool:
        now, ledger = self._shared.clock(), self._ledger
        if self._no_room or ledger is None:
            return False
        facts = AttemptFacts(
            retry=self._policy.retry,
            attempt=end.attempts,
            max_attempts=self._policy.max_attempts,
            replayable=self._stream is None or not self._stream.begun,
            keyed=self._request.idempotency_key,
            remaining_s=self._remaining_s(now),
            usual_s=ledger.recent.median(now) or 0.0,
        )
        return isinstance(decide(facts, end.outcome), Retry)

    async def _send_hedged(self, ledger: ServiceLedger, first: Try) -> End:
        """Sends the first try, and one more if that is slow for its service."""
        shared = self._shared
        after_s = hedge_after(ledger.recent, shared.clock())
        if after_s is None:
            return await self._send(first)
        race = self._race = Race(first)

        def hedge() -> Try | None:
            now = shared.clock()
            if len(self._tried) >= self._policy.max_attempts or not ledger.budget.has_room(now):
                return None
            self._shortened = True
            begun = self._begin(ledger, _SECOND, now)
            return None if isinstance(begun, Refused) else begun

        try:
            return await race.run(self._send, after_s, hedge)
        finally:
            if race.second is not None and shared.observer is not None:
                shared.observer.hedged(self._policy.service, race.winner is race.second)

    async def _lost(self, this: Try, answer: UpstreamAnswer) -> Failed:
        """The answer came in the very turn in which another try's did."""
        this.end(OUTRUN)
        if not isinstance(answer.body, WholeBody):
            await answer.body.release()
        return Failed(OUTRUN, len(self._tried))

    # --- time --------------------------------------------------------------------------------------

    def _remaining_s(self, now: float) -> float:
        return self._deadline - now

    def _has_time_for(self, ledger: ServiceLedger, wait_s: float, now: float) -> bool:
        return self._remaining_s(now) > wait_s + (ledger.recent.median(now) or 0.0)


async def _at_once(end: End) -> End:
    return end
