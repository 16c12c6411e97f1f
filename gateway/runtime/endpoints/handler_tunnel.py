"""`/ws/<handler_id>`: the way to one handler, for deployments whose handlers clients can't reach.

The pool `default` has its tunnels there; any other pool `/ws/<pool>/<handler_id>`.

Which handler it is was decided when the seat was handed out, so nothing is chosen here and nothing is tried
elsewhere. Who may come in is the handler's to say: it checks the ticket.
"""

import asyncio
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from balancer.model import CallPolicy, RetryClass, Timeouts
from gateway.errors import GatewayError, Reason, gateway_error
from gateway.openapi_errors import CARRIED
from gateway.openapi_operations import Operation, Parameter, Told
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.exchange import Exchange
from gateway.runtime.forward import Forwarder
from gateway.runtime.prepared import Prepared
from gateway.runtime.tunnelling import asks_for_a_websocket
from handlers.address import BadAddress, known
from registry.model import Instance, ServiceName, ServiceSnapshot
from registry.runtime.watcher import Watcher

PREFIX = "/ws/"

PATIENCE_S = 1.0
"""A handler that has just started gets clients as soon as it said hello; the registry may tell later."""


class KnownHandlers:
    """The handlers of one service, as the registry names them. It listens for as long as the watcher lives,
    so there is one for all settings that come into force."""

    def __init__(self, watcher: Watcher, service: ServiceName) -> None:
        self.service = service
        self._instances: dict[str, Instance] = {}
        self._news = asyncio.Event()
        watcher.subscribe(service, self._take)

    async def find(self, name: str) -> Instance | None:
        """The handler of that id, which may be told of a moment later; `None` if it is not."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while name not in self._instances:
                    await self._news.wait()
        except TimeoutError:
            pass
        return self._instances.get(name)

    def _take(self, news: ServiceSnapshot) -> None:
        self._instances = {instance.id: instance for instance in news.instances}
        self._news.set()
        self._news = asyncio.Event()


@dataclass(slots=True)
class HandlerTunnelEndpoint:
    forwarder: Forwarder
    handlers: KnownHandlers
    timeouts: Timeouts
    prefix: str = PREFIX
    remove_headers: frozenset[bytes] = frozenset()
    """Of clients: handlers believe them."""
    _prepared: Prepared = field(init=False)

    def __post_init__(self) -> None:
        policy = CallPolicy(self.handlers.service, RetryClass.NEVER, self.timeouts, max_attempts=1)
        self._prepared = Prepared(policy, body_limit=0, remove_headers=self.remove_headers)

    def endpoints(self) -> list[Endpoint]:
        said = Operation(
            "A WebSocket to one handler",
            {101: Told("It checks the ticket.")},
            path=f"{self.prefix}{{handler_id}}",
            parameters=(Parameter("handler_id", "Of a seat.", "path"),),
            errors=(*CARRIED, Reason.UNKNOWN_HANDLER),
            tag="chat",
        )
        return [
            Endpoint(
                self.prefix,
                ("GET",),
                "public",
                self.answer,
                limited=True,
                head=False,
                prefix=True,
                operations=(said,),
            )
        ]

    async def answer(self, exchange: Exchange) -> GatewayError | None:
        """Tunnels to that handler, as long as the registry knows it."""
        target = exchange.target
        if not asks_for_a_websocket(exchange.request):
            return gateway_error(Reason.BAD_PARAMETER, message="Connect here by WebSocket.")
        name = unquote(target.path.removeprefix(self.prefix))
        instance = await self.handlers.find(name)
        if instance is None:
            return gateway_error(Reason.UNKNOWN_HANDLER, message="No such handler is known.")
        try:
            path = known(instance, usable=True).path
        except BadAddress:
            return gateway_error(Reason.UNKNOWN_HANDLER, message="The handler's registration is not valid.")
        return await self.forwarder.carry(exchange, self._prepared, path + target.query, instance)


def tunnel_url(base: str, handler_id: str, prefix: str = PREFIX) -> str:
    """Where a client connects to that handler through the gateway at `base` (`https://host`)."""
    return f"{base}{prefix}{quote(handler_id, safe='')}"
