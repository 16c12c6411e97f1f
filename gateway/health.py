"""Is the system well? What `/health` says, from what is known already.

Rules of this file: nothing here asks anybody. No address, name of an instance or cause of a failure goes into
what everybody may read: that a part is not well, and nothing more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from balancer.circuit import State as Circuit
from gateway.health_probes import ProbeState
from registry.model import ServiceSnapshot

Detail = Literal["full", "brief", "none"]


class Wellness(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """It serves, and somebody should have a look."""
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Part:
    """One service, or something else that the system depends on."""

    wellness: Wellness
    up: bool
    response_s: float | None = None
    """What an answer takes there; `None` while nobody knows."""
    required: bool = False
    """Whether nothing is well without it."""

    def full(self) -> dict[str, object]:
        """With the response time in seconds."""
        seconds = None if self.response_s is None else round(self.response_s, 6)
        return {"status": self.wellness.value, "response_time": seconds}

    def brief(self) -> str:
        return "up" if self.up else "down"


def service_part(
    found: ServiceSnapshot,
    *,
    circuit: Circuit = Circuit.CLOSED,
    panic: bool = False,
    all_aside: bool = False,
    response_s: float | None = None,
) -> Part:
    """A service by its instances and by how calls go there; `all_aside`: no call got through to any of them.

    It is well as long as enough of it is: that one of several instances is down is what balancing is for.
    """
    if not found.usable or all_aside or circuit is Circuit.OPEN:
        return Part(Wellness.UNHEALTHY, up=False)
    wellness = Wellness.DEGRADED if panic or circuit is Circuit.HALF_OPEN else Wellness.HEALTHY
    return Part(wellness, up=True, response_s=response_s)


def probe_part(state: ProbeState) -> Part:
    """A dependency by its probe. Before the first answer it is not up, and not down."""
    if state.up:
        return Part(Wellness.HEALTHY, up=True, response_s=state.seconds, required=state.required)
    wellness = Wellness.DEGRADED if state.up is None else Wellness.UNHEALTHY
    return Part(wellness, up=False, required=state.required)


def overall(
    services: Iterable[Part], probes: Iterable[Part], *, ready: bool, registry_away: bool
) -> Wellness:
    """Unhealthy: no service can be called, or something is down that the gateway is not ready without."""
    services, probes = list(services), list(probes)
    parts = [*services, *probes]
    if any(part.required and part.wellness is Wellness.UNHEALTHY for part in parts):
        return Wellness.UNHEALTHY
    if services and not any(part.up for part in services):
        return Wellness.UNHEALTHY
    if not ready or registry_away or any(part.wellness is not Wellness.HEALTHY for part in parts):
        return Wellness.DEGRADED
    return Wellness.HEALTHY


def health_body(
    wellness: Wellness,
    parts: Mapping[str, Part],
    detail: Detail,
    *,
    timestamp: str,
    version: str,
    environment: str | None,
) -> dict[str, object]:
    """The JSON of `/health`; `timestamp` is ISO 8601 in UTC."""
    body: dict[str, object] = {"status": wellness.value, "timestamp": timestamp}
    if detail != "none":
        body["services"] = {n: part.full() if detail == "full" else part.brief() for n, part in parts.items()}
    body["version"] = version
    return body if environment is None else {**body, "environment": environment}
