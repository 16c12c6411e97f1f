"""WebSockets through the gateway: the 101 of an instance goes to the client, and then only bytes do.

The lease on the instance lasts as long as its tunnel, since a tunnel is opened inside of its call.
"""

from collections import Counter
from dataclasses import dataclass, field

from balancer.field_lines import FieldLines
from balancer.model import Headers
from balancer.runtime.call import Switched
from balancer.runtime.tunnel import Tunnel
from gateway.answer_head import SWITCHED, switch_head
from gateway.runtime.client_request import ClientRequest
from gateway.runtime.exchange import Exchange
from registry.model import ServiceName

WEBSOCKET = "websocket"

IDLED_OUT = "tunnel_idle"


@dataclass(slots=True)
class Tunnels:
    """All that are open, counted by service."""

    open: Counter[ServiceName] = field(default_factory=Counter)

    async def carry(self, exchange: Exchange, switched: Switched, theirs: Headers, idle_s: float) -> None:
        """Joins the client and the instance, and returns when either has gone for good.

        `theirs` are the headers of its 101 as the client gets them.
        """
        request, service = exchange.request, switched.instance.service
        head = switch_head(switched.reason, exchange.answer_headers(), theirs)
        tunnel = Tunnel(idle_s)
        client = request.take_over(tunnel.client)
        request.status = SWITCHED
        client[0].write(head)
        tunnel.join(client, switched.take_over(tunnel.instance))
        self.open[service] += 1
        try:
            await tunnel.run()
        finally:
            request.bytes_in, request.bytes_out = tunnel.client.carried, tunnel.instance.carried
            self.open[service] -= 1
            if not self.open[service]:
                del self.open[service]
            if tunnel.idled_out:
                exchange.reason = IDLED_OUT


def asks_for_a_websocket(request: ClientRequest) -> bool:
    """Whether this request may be tunnelled: a body would not be one of HTTP's any more (RFC 6455, 4.1)."""
    return request.method == "GET" and request.wants_upgrade == WEBSOCKET and not request.body_exists


def asking_upstream(lines: FieldLines) -> FieldLines:
    """What a client said hop by hop, said again to the instance."""
    return lines.plus(b"Connection", b"Upgrade").plus(b"Upgrade", b"websocket")
