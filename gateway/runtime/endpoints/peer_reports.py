"""`/report_instance`: what a microservice saw at a peer that it called by itself.

Who is handed an instance calls it past the gateway, which sees nothing of how that ends. These reports are
its eyes there: they count against an instance as its own calls do, damped, since a caller may have trouble
that is nobody's but its own.
"""

from dataclasses import dataclass, field

from balancer.runtime.call import Balancer
from balancer.selection import refusal
from gateway.errors import GatewayError, Reason, from_refused, gateway_error
from gateway.instance_names import InstanceNames
from gateway.openapi_answers import Taken
from gateway.openapi_operations import Operation, Told
from gateway.peer_messages import PeerReport
from gateway.runtime.endpoints.endpoint import Endpoint, read_message
from gateway.runtime.exchange import Exchange
from gateway.runtime.metrics import Metrics
from gateway.runtime.reply import Reply, json_reply
from registry.model import ServiceName
from registry.names import is_service_name
from registry.runtime.watcher import Watcher

UNKNOWN_INSTANCE = "unknown_instance"
NO_NAME = "id and url are missing: name the instance by what /get_service_instance said of it."
BAD_NAME = "service_name must be 1 to 128 letters, digits, dots, hyphens or underscores."

REPORTED = Operation(
    "How a call of the caller's own went at a peer",
    {202: Told("It counts.", Taken)},
    "POST",
    text="The instance is named by `id` or `url`, as it was handed out.",
    takes=PeerReport,
    errors=(
        *(Reason.MISSING_PARAMETER, Reason.UNKNOWN_SERVICE, Reason.UNKNOWN_INSTANCE),
        *(Reason.NO_INSTANCES, Reason.REGISTRY_UNREACHABLE),
    ),
    tag="peers",
)


@dataclass(frozen=True, slots=True)
class PeerReportEndpoint:
    balancer: Balancer
    watcher: Watcher
    metrics: Metrics
    names: InstanceNames = field(default_factory=InstanceNames)

    def endpoints(self) -> list[Endpoint]:
        path, methods = "/report_instance", ("POST",)
        return [Endpoint(path, methods, "internal", self.take, quiet=True, operations=(REPORTED,))]

    async def take(self, exchange: Exchange) -> Reply | GatewayError:
        """202: it counts. What becomes of it depends on what others see."""
        report = await read_message(exchange, PeerReport)
        if isinstance(report, GatewayError):
            return report
        if report.id is None and report.url is None:
            return gateway_error(Reason.MISSING_PARAMETER, message=NO_NAME)
        if not is_service_name(report.service_name):
            return gateway_error(Reason.BAD_PARAMETER, message=BAD_NAME)
        service = ServiceName(report.service_name)
        snapshot = await self.watcher.ask(service)
        found = self.names.find(snapshot, id=report.id, url=report.url)
        if not found:
            if not snapshot.instances and (refused := refusal(snapshot)) is not None:
                return from_refused(refused, named_by_client=True)
            self.metrics.reported(service, UNKNOWN_INSTANCE)
            return gateway_error(Reason.UNKNOWN_INSTANCE)
        exchange.service, exchange.instance = service, found[0].id
        eligible, now = self.balancer.service(service).eligible, self.balancer.clock()
        eligible.candidates(snapshot, now)  # so that it knows of them, although none was called from here
        for instance in found:
            eligible.reported(instance.key, exchange.client.address, report.ok, now)
        self.metrics.reported(service, report.outcome)
        return json_reply({"status": "taken"}, status=202)
