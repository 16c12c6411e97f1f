"""A request that the cache could not answer: carried out, its answer passed on, and kept if it may be."""

from dataclasses import dataclass, field

from balancer.field_lines import FieldLines
from balancer.model import Failed, Headers, OutboundRequest, Refused, UpstreamBroke
from balancer.runtime.call import Answer, Switched
from gateway.cache_keys import read_pairs, together
from gateway.caches.base import Cache, Found
from gateway.caching import SERVER_FAULTS, Forward, Stored, confirmed, may_stand_in, validators_of
from gateway.caching_terms import Terms, announced_length, judge_answer
from gateway.conditional import CONDITIONS, conditions, is_not_modified, of_a_304, unconditional
from gateway.errors import GatewayError
from gateway.runtime.cache_lookup import Lookup
from gateway.runtime.collecting import Collector, Room
from gateway.runtime.flights import Failed as FlightFailed
from gateway.runtime.flights import Flight, Flights, Landed, OnYourOwn
from gateway.runtime.forward import Forwarder, passed_on, reached, stream, unanswered


@dataclass(frozen=True, slots=True)
class Keeping:
    """What all fetches of a gateway share."""

    forwarder: Forwarder
    cache: Cache
    flights: Flights
    room: Room
    max_entry_bytes: int


@dataclass(slots=True)
class Fetch:
    """One of them. `flight` is what others wait for, if they may."""

    keeping: Keeping
    lookup: Lookup
    found: Found
    wanted: Forward
    flight: Flight
    alone: bool = False
    """It is known that the answer can't be kept: the client's own conditions go upstream."""
    sent_at: float = field(default=0.0, init=False)

    async def carry(self) -> GatewayError | None:
        """As the forwarder's. An instance is asked first whether what is kept is still the same."""
        about = self.wanted.stored
        if about is not None and not (self._fills and about.can_be_asked_about):
            about = None
        while True:
            outbound = self._outbound(about)
            if isinstance(outbound, GatewayError):
                return outbound
            self.sent_at = self.lookup.clock()
            call = self.keeping.forwarder.balancer.call(self.lookup.prepared.policy, outbound)
            async with call as end:
                assert not isinstance(end, Switched), "nobody asked for that"
                if not isinstance(end, Answer):
                    return await self._unanswered(outbound, end)
                reached(self.lookup.exchange, self.lookup.prepared, end)
                if about is None or end.status != 304:
                    await self._answered(end)
                    return None
                if confirmed(about, end.headers):
                    await self._still_good(end, about)
                    return None
            # It spoke of an answer that is not the kept one.
            about = None

    @property
    def _fills(self) -> bool:
        return self.lookup.fills and not self.alone

    def _outbound(self, about: Stored | None) -> OutboundRequest | GatewayError:
        lookup = self.lookup
        outbound = self.keeping.forwarder.outbound(lookup.exchange, lookup.prepared, lookup.target)
        if isinstance(outbound, GatewayError) or not self._fills:
            return outbound
        lines = outbound.headers
        assert isinstance(lines, FieldLines)
        if not CONDITIONS.isdisjoint(lookup.asked.headers):
            lines = FieldLines(unconditional(read_pairs(lines.data)))
        for name, value in conditions(about.etag, about.modified) if about is not None else ():
            lines = lines.plus(name, value)
        outbound.headers = lines
        return outbound

    # --- no answer, or none that is good for anything ------------------------------------------------

    async def _unanswered(self, outbound: OutboundRequest, end: Refused | Failed) -> GatewayError | None:
        lookup = self.lookup
        error = unanswered(lookup.exchange, outbound, end)
        if await self._stood_in(f"; detail={error.reason}"):
            return None
        self.flight.end(OnYourOwn())
        lookup.note("miss", f"fwd={self.wanted.why}; detail={error.reason}")
        return error

    async def _stood_in(self, why: str) -> bool:
        """Whether an older answer was given because there is no better one."""
        stored, lookup = self.wanted.stored, self.lookup
        now = lookup.clock()
        if stored is None or not may_stand_in(stored, now):
            return False
        self.flight.end(FlightFailed())
        await lookup.stand_in(stored, why)
        return True

    # --- an answer -----------------------------------------------------------------------------------

    async def _still_good(self, end: Answer, about: Stored) -> None:
        """The instance says that what is kept is the same as what it has (304)."""
        lookup = self.lookup
        end.body.whole()
        renewed = about.renewed(end.headers), about.renewed(passed_on(end, lookup.prepared))
        terms = self._judge(about.status, about.reason, *renewed)
        if isinstance(terms, str):
            self._part(terms)
            lookup.note("hit", "fwd=stale; fwd-status=304")
            await lookup.send(about._replace(headers=tuple(renewed[1])))
            return
        stored = terms.with_body(about.body)
        self._land(stored, terms)
        lookup.note("hit", "fwd=stale; fwd-status=304; stored")
        await self._keep(stored, terms)
        await lookup.send(stored)

    async def _answered(self, end: Answer) -> None:
        lookup = self.lookup
        if end.status in SERVER_FAULTS and may_stand_in(self.wanted.stored, lookup.clock()):
            end.body.whole()
            await self._stood_in(f"; fwd-status={end.status}")
            return
        theirs = passed_on(end, lookup.prepared)
        terms = self._terms(end, theirs)
        told = f"fwd={self.wanted.why}"
        if isinstance(terms, str):
            self._part(terms)
            lookup.note("miss", told)
        else:
            lookup.note("miss", f"{told}; stored")
        whole = end.body.whole()
        if whole is not None:
            await self._whole(end, theirs, whole, terms)
        else:
            await self._in_pieces(end, theirs, terms)

    async def _whole(self, end: Answer, theirs: Headers, whole: bytes, terms: Terms | str) -> None:
        if isinstance(terms, str):
            self._send_whole(end, theirs, whole)
            return
        stored = terms.with_body(whole)
        self._land(stored, terms)
        try:
            self._send_whole(end, theirs, whole)
        finally:
            # Others want it, whether this client is still there or not.
            await self._keep(stored, terms)

    def _send_whole(self, end: Answer, theirs: Headers, whole: bytes) -> None:
        request, own = self.lookup.exchange.request, self.lookup.exchange.answer_headers()
        shaped = self.lookup.shaped(theirs)
        if self._is_known(end, theirs):
            request.send(304, own, theirs=of_a_304(shaped))
        else:
            request.send(end.status, own, whole, reason=end.reason, theirs=shaped)

    async def _in_pieces(self, end: Answer, theirs: Headers, terms: Terms | str) -> None:
        exchange, shaped = self.lookup.exchange, self.lookup.shaped(theirs)
        request, own = exchange.request, exchange.answer_headers()
        known = self._is_known(end, theirs)
        if known:
            request.send(304, own, theirs=of_a_304(shaped))
        if isinstance(terms, str):
            if not known:
                await stream(exchange, end, own, shaped)
            return
        if not known:
            request.begin(end.status, own, reason=end.reason, theirs=shaped)
        limit = self.keeping.max_entry_bytes - terms.head.size
        collector = Collector(None if known else request, self.keeping.room, limit)
        try:
            body = await collector.collect(end.body)
            if body is None:
                self._part("size")
                await collector.pass_on(end.body)
            else:
                stored = terms.with_body(body)
                self._land(stored, terms)
                await self._keep(stored, terms)
                await collector.pass_on()
        except UpstreamBroke as broke:
            exchange.reason = broke.outcome.label
            if not known:
                request.cut_off()
        except TimeoutError:
            exchange.reason = "client_stalled"
            request.cut_off()
        finally:
            collector.release()

    # --- keeping it ----------------------------------------------------------------------------------

    def _terms(self, end: Answer, theirs: Headers) -> Terms | str:
        """On which terms the answer may be kept, or why it may not."""
        subset = self.lookup.prepared.policy.subset
        if not self.lookup.fills:
            return "request"
        if subset is not None and not subset.holds(end.instance.tags):
            return "subset"
        length = announced_length(end.status, end.headers)
        if length is None:
            return "length"
        if length > self.keeping.max_entry_bytes:
            return "size"
        terms = self._judge(end.status, end.reason, end.headers, theirs)
        if not isinstance(terms, str) and terms.head.size + length > self.keeping.max_entry_bytes:
            return "size"
        return terms

    def _judge(self, status: int, reason: bytes, headers: Headers, theirs: Headers) -> Terms | str:
        lookup = self.lookup
        terms = judge_answer(
            lookup.plan, lookup.asked, status, reason, headers, theirs, self.sent_at, lookup.clock()
        )
        if isinstance(terms, str):
            return terms
        names = together(self.found.names, terms.vary)
        return "vary" if names is None else terms._replace(vary=names)

    def _is_known(self, end: Answer, theirs: Headers) -> bool:
        """Whether the client has that answer already. Its own conditions did not go upstream."""
        if not self._fills or not 200 <= end.status < 300:
            return False
        return is_not_modified(self.lookup.asked.headers, *validators_of(theirs))

    def _part(self, why: str) -> None:
        """The answer is nobody else's."""
        self.flight.end(OnYourOwn())
        if why not in ("status", "request"):
            self.keeping.flights.part(self.lookup.key.variant(self.found.names) + self.lookup.lane)

    def _land(self, stored: Stored, terms: Terms) -> None:
        self.flight.end(Landed(stored, self.lookup.key.variant(terms.vary), terms.vary))

    async def _keep(self, stored: Stored, terms: Terms) -> None:
        if stored.size <= self.keeping.max_entry_bytes:
            keep_s = stored.keep_s(self.lookup.clock())
            await self.keeping.cache.keep(self.lookup.key, self.found, terms.vary, stored, keep_s)
