"""Requests of routes with a cache: answered from it, or carried out and kept.

What may be kept is decided in caching_terms.py, what may be used in caching.py. Rules of this file: a store
that is away is as good as none; what a client does with its answer, or does not, makes no difference to the
others; and nothing is kept that was not there whole.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.caches import load_cache
from gateway.caches.base import Cache, Found
from gateway.caching import Forward, Hit, Unavailable, decide, may_stand_in
from gateway.errors import GatewayError, Reason, gateway_error
from gateway.runtime.cache_lookup import Lookup, look_up, uri_of
from gateway.runtime.collecting import Room
from gateway.runtime.exchange import Exchange
from gateway.runtime.fetching import Fetch, Keeping
from gateway.runtime.flights import Deserted, Failed, Flight, Flights, Landed
from gateway.runtime.forward import Forwarder
from gateway.runtime.metrics import Metrics
from gateway.runtime.prepared import Prepared
from gateway.settings import Settings
from registry.runtime.clock import unix_now

COPIES_SHARE = 4
"""Copies in the making take at most the fourth part of what is kept."""


class CachedForwarder:
    """Stands beside the forwarder, for prepared calls with a cache. `clock` is Unix seconds."""

    def __init__(
        self,
        forwarder: Forwarder,
        cache: Cache,
        metrics: Metrics,
        *,
        max_bytes: int,
        max_entry_bytes: int,
        clock: Callable[[], float] = unix_now,
    ) -> None:
        self._forwarder = forwarder
        self._cache = cache
        self._metrics = metrics
        self._clock = clock
        self.flights = Flights()
        room = Room(max(max_entry_bytes, max_bytes // COPIES_SHARE))
        self._keeping = Keeping(forwarder, cache, self.flights, room, max_entry_bytes)

    def __repr__(self) -> str:
        return f"<CachedForwarder: {self._cache!r}, {self.flights!r}>"

    async def carry(self, exchange: Exchange, prepared: Prepared, target: str) -> GatewayError | None:
        """As the forwarder's; `prepared` has a cache."""
        plan = prepared.cache
        assert plan is not None
        if not plan.reads:
            return await self._change(exchange, prepared, target)
        try:
            lookup = look_up(self._forwarder, exchange, prepared, plan, target, self._clock)
            return await self._answer(lookup)
        finally:
            self._metrics.cached(exchange.route, exchange.cache or "bypass")

    async def _change(self, exchange: Exchange, prepared: Prepared, target: str) -> GatewayError | None:
        """By a method that may change what is kept of its URI (RFC 9111, 4.4)."""
        uri = uri_of(exchange)

        async def drop(status: int) -> None:
            if status < 400:
                self.flights.forget(uri)
                await self._cache.drop(uri)

        return await self._forwarder.carry(exchange, prepared, target, before=drop)

    async def _answer(self, lookup: Lookup) -> GatewayError | None:
        """From the cache, from a call of somebody else's, or by one of our own."""
        uri, clock = lookup.key.uri, self._forwarder.balancer.clock
        wait_until = clock() + self._patience_s(lookup)
        while True:
            found = None if lookup.asked.bypass else await self._cache.find(lookup.key)
            if found is None:
                if lookup.asked.control.only_if_cached:
                    return _not_cached(lookup)
                lookup.note("bypass", "fwd=bypass")
                return await self._forwarder.carry(lookup.exchange, lookup.prepared, lookup.target)
            decision = decide(found.stored, lookup.asked, self._clock())
            match decision:
                case Hit():
                    await _hit(lookup, decision)
                    return None
                case Unavailable():
                    return _not_cached(lookup)
            variant = lookup.key.variant(found.names) + lookup.lane
            parted = self.flights.are_parted(variant)
            if parted or decision.why == "request" or not lookup.fills:
                return await self._fetch(lookup, found, decision, alone=parted)
            flight = self.flights.of(uri, variant)
            if flight is None:
                with self.flights.leading(uri, variant) as own:
                    return await self._fetch(lookup, found, decision, own)
            end = await flight.wait(max(0.0, wait_until - clock()))
            if isinstance(end, Deserted):
                continue
            if isinstance(end, Failed) and decision.stored and may_stand_in(decision.stored, self._clock()):
                await lookup.stand_in(decision.stored, "; collapsed")
                return None
            if isinstance(end, Landed) and end.is_for(lookup.key):
                new = decide(end.stored, lookup.asked, self._clock())
                if isinstance(new, Hit):
                    await _hit(lookup, new, "; collapsed")
                    return None
            return await self._fetch(lookup, found, decision)

    def _patience_s(self, lookup: Lookup) -> float:
        """As long as for an instance that is asked, or as the caller has."""
        left_s = self._forwarder.left_s(lookup.exchange)
        longest_s = lookup.prepared.policy.timeouts.first_byte_s
        return longest_s if left_s is None else min(left_s, longest_s)

    async def _fetch(
        self,
        lookup: Lookup,
        found: Found,
        decision: Forward,
        flight: Flight | None = None,
        *,
        alone: bool = False,
    ) -> GatewayError | None:
        return await Fetch(self._keeping, lookup, found, decision, flight or Flight(), alone).carry()


async def _hit(lookup: Lookup, hit: Hit, more: str = "") -> None:
    lookup.note("hit" if hit.fresh else "stale", f"hit; ttl={lookup.left_s(hit.stored)}{more}")
    await lookup.send(hit.stored)


def _not_cached(lookup: Lookup) -> GatewayError:
    lookup.note("miss", "detail=only-if-cached")
    return gateway_error(Reason.NOT_CACHED)


@asynccontextmanager
async def opened_cache(
    settings: Settings, forwarder: Forwarder, metrics: Metrics
) -> AsyncIterator[CachedForwarder]:
    """What carries out calls of routes with a cache. It opens also while a shared store is away."""
    cache = settings.cache
    url = (cache.url or settings.store.url).get_secret_value()
    async with load_cache(cache.backend)(url, cache.max_bytes) as opened:
        yield CachedForwarder(
            forwarder,
            opened,
            metrics,
            max_bytes=cache.max_bytes,
            max_entry_bytes=cache.max_entry_bytes,
        )
