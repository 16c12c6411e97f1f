"""The pools of handlers as endpoints see them, and which of them somebody asks for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.errors import GatewayError, Reason, gateway_error
from gateway.runtime.endpoints.endpoint import query_value
from gateway.runtime.exchange import Exchange
from gateway.settings_handlers import DEFAULT_POOL
from handlers.runtime.allocator import Allocator


@dataclass(frozen=True, slots=True)
class Pool:
    name: str
    allocator: Allocator
    tunnel: str | None = None
    """How the paths begin under which its handlers are reached through this gateway; `None`: they are not."""
    public_url: str | None = None
    """Where clients reach the gateways; `None`: by the name they asked for it."""


class Pools(Mapping[str, Pool]):
    """By their names. Never changes."""

    def __init__(self, *pools: Pool) -> None:
        self._pools = {pool.name: pool for pool in pools}
        self._unnamed = pools[0] if len(pools) == 1 else self._pools.get(DEFAULT_POOL)
        names = ", ".join(self._pools)
        self._which = gateway_error(
            Reason.MISSING_PARAMETER, message=f"pool is missing: there are several, {names}."
        )
        self._unknown = gateway_error(Reason.UNKNOWN_POOL)

    def named(self, name: str | None) -> Pool | GatewayError:
        """The pool of that name; without one the only pool, or the one called `default`."""
        if name is None:
            return self._unnamed or self._which
        return self._pools.get(name) or self._unknown

    def asked_for(self, exchange: Exchange) -> Pool | GatewayError:
        """The pool of the request's `?pool=`."""
        return self.named(query_value(exchange, "pool") if exchange.target.query else None)

    def all_asked_for(self, exchange: Exchange) -> list[Pool] | GatewayError:
        """Only that of `?pool=`, or every one."""
        if query_value(exchange, "pool") is None:
            return list(self._pools.values())
        pool = self.asked_for(exchange)
        return pool if isinstance(pool, GatewayError) else [pool]

    def __getitem__(self, name: str) -> Pool:
        return self._pools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pools)

    def __len__(self) -> int:
        return len(self._pools)

    def __repr__(self) -> str:
        return f"<Pools: {', '.join(self._pools)}>"
