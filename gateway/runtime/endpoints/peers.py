"""`/get_service_instance`: a microservice asks for a peer."""

from dataclasses import dataclass, field

from balancer.model import Refused
from balancer.runtime.call import Balancer
from gateway.errors import GatewayError, Reason, from_refused, gateway_error
from gateway.runtime.endpoints.endpoint import Endpoint, query_value
from gateway.runtime.exchange import Exchange
from gateway.runtime.reply import Reply, json_reply
from registry.model import Instance, InstanceKey
from registry.names import is_service_name
from registry.runtime.watcher import Watcher

KEPT_REPLIES = 4096
"""As many instances are answered without writing their JSON anew; each takes about a kilobyte."""


@dataclass(frozen=True, slots=True)
class PeerEndpoint:
    balancer: Balancer
    watcher: Watcher
    handout_ttl_s: float
    _replies: dict[InstanceKey, tuple[Instance, Reply]] = field(default_factory=dict, repr=False)

    def endpoints(self) -> list[Endpoint]:
        return [Endpoint("/get_service_instance", ("GET",), "internal", self.answer, head=False)]

    async def answer(self, exchange: Exchange) -> Reply | GatewayError:
        """`{"instance": {"url": …}}`. The instance counts as busier for `handout_ttl_s` seconds."""
        name = query_value(exchange, "service_name")
        if not name:
            return gateway_error(
                Reason.MISSING_PARAMETER, message="service_name is missing: ask ?service_name=NAME."
            )
        # Before anything else: a crafted name could leave its place in the registry's URL.
        if not is_service_name(name):
            return gateway_error(
                Reason.BAD_PARAMETER,
                message="service_name must be 1 to 128 letters, digits, dots, hyphens or underscores.",
            )
        exchange.service = name
        snapshot = await self.watcher.ask(name)
        chosen = self.balancer.hand_out(snapshot, self.handout_ttl_s)
        if isinstance(chosen, Refused):
            return from_refused(chosen, named_by_client=True)
        exchange.instance = chosen.id
        return self._reply(chosen)

    def _reply(self, chosen: Instance) -> Reply:
        """The same one for as long as the registry says the same of that instance."""
        known = self._replies.get(chosen.key)
        if known is not None and known[0] is chosen:
            return known[1]
        if len(self._replies) >= KEPT_REPLIES:
            self._replies.clear()
        reply = json_reply({"instance": {"url": chosen.url, "id": chosen.id}, "ttl_s": self.handout_ttl_s})
        self._replies[chosen.key] = (chosen, reply)
        return reply
