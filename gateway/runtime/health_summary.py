"""How everything stands, for `/health` and `/health/ready`: read from what is known, and kept for a moment.

Nobody is asked here, and what was found is told to everybody who comes within `KEPT_S`: who asks ten thousand
times a second learns nothing more, and costs what a `/ping` costs.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from balancer.circuit import State as Circuit
from balancer.runtime.call import Balancer
from gateway.health import Part, Wellness, health_body, overall, probe_part, service_part
from gateway.runtime.probing import Probing
from gateway.runtime.reply import Reply, json_reply, now_iso
from gateway.settings import HealthSettings, Settings
from registry.model import ServiceName
from registry.runtime.watcher import Watcher

KEPT_S = 0.25


@dataclass(slots=True)
class HealthSummary:
    """For some settings, over what lives as long as the process."""

    watcher: Watcher
    balancer: Balancer
    probing: Probing
    settings: HealthSettings
    services: tuple[ServiceName, ...]
    version: str
    clock: Callable[[], float] = time.monotonic
    _kept: tuple[float, bool, Reply] | None = field(default=None, repr=False)
    """Until when, whether it was draining then, and what was said."""

    def reply(self, *, draining: bool) -> Reply:
        """What `/health` answers."""
        now = self.clock()
        if self._kept is None or now >= self._kept[0] or self._kept[1] is not draining:
            self._kept = now + KEPT_S, draining, self._reply(draining=draining)
        return self._kept[2]

    def is_ready(self, *, draining: bool) -> bool:
        """Whether traffic should come here."""
        return self.watcher.ready and not draining and all(self.required_probes().values())

    def required_probes(self) -> dict[str, bool]:
        """Whether each dependency is up that the gateway is not ready without."""
        return {state.name: state.up is True for state in self.probing.states if state.required}

    def wellness(self, *, draining: bool) -> Wellness:
        """Of everything together."""
        return self._overall(self._services(), self._probes(), draining=draining)

    def _reply(self, *, draining: bool) -> Reply:
        services, probes = self._services(), self._probes()
        wellness = self._overall(services, probes, draining=draining)
        body = health_body(
            wellness,
            {**services, **probes},
            self.settings.services,
            timestamp=now_iso(),
            version=self.version,
            environment=self.settings.environment,
        )
        return json_reply(body, status=503 if wellness is Wellness.UNHEALTHY else 200)

    def _overall(
        self, services: Mapping[str, Part], probes: Mapping[str, Part], *, draining: bool
    ) -> Wellness:
        return overall(
            services.values(),
            probes.values(),
            ready=self.is_ready(draining=draining),
            registry_away=any(self.watcher.current(name).failure is not None for name in self.services),
        )

    def _services(self) -> dict[str, Part]:
        return {name: self._service(name) for name in self.services}

    def _service(self, name: ServiceName) -> Part:
        found, known = self.watcher.current(name), self.balancer.known(name)
        checked_s = self.watcher.took_s(name)
        if known is None:
            return service_part(found, response_s=checked_s)
        now, eligible = self.balancer.clock(), known.eligible
        aside = [eligible.put_aside.get(instance.key) for instance in found.usable]
        # A circuit that has rested, or a time aside that is over, waits for a call to say how it is. It is in
        # doubt, not down: whoever watches this may be the one that keeps the calls away.
        return service_part(
            found,
            circuit=Circuit.CLOSED if known.circuit is None else known.circuit.state_at(now),
            panic=eligible.panic or all(record is not None for record in aside),
            all_aside=all(record is not None and now < record.until for record in aside),
            # Checks go on while nobody calls; what calls took may be long ago.
            response_s=known.recent.about(now) if checked_s is None else checked_s,
        )

    def _probes(self) -> dict[str, Part]:
        return {state.name: probe_part(state) for state in self.probing.states}


def summary_of(
    settings: Settings, watcher: Watcher, balancer: Balancer, probing: Probing, version: str
) -> HealthSummary:
    """The summary by these settings; `version` is the software's own."""
    services = tuple(map(ServiceName, settings.services))
    return HealthSummary(
        watcher, balancer, probing, settings.health, services, settings.health.version or version
    )
