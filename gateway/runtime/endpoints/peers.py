"""`/get_service_instance`: a microservice asks for a peer."""

from dataclasses import dataclass

from balancer.model import Refused
from balancer.runtime.call import Balancer
from gateway.errors import GatewayError, Reason, from_refused, gateway_error
from gateway.runtime.endpoints.endpoint import Endpoint, query_value
from gateway.runtime.exchange import Exchange
from gateway.runtime.reply import Reply, json_reply
from registry.names import is_service_name
from registry.runtime.watcher import Watcher


@dataclass(frozen=True, slots=True)
class PeerEndpoint:
    balancer: Balancer
    watcher: Watcher
    handout_ttl_s: float

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
        return json_reply({"instance": {"url": chosen.url, "id": chosen.id}, "ttl_s": self.handout_ttl_s})
