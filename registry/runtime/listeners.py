"""Who wants to hear of a service's changes, and the log that always does."""

from collections.abc import Callable

import structlog

from registry.model import ServiceName, ServiceSnapshot
from registry.runtime.trace import trace_of

log = structlog.get_logger()

Listener = Callable[[ServiceSnapshot], None]


class Listeners:
    """The listeners of every service. They are called in the event loop and must not block."""

    def __init__(self) -> None:
        self._of: dict[ServiceName, list[Listener]] = {}

    def add(self, service: ServiceName, listener: Listener) -> None:
        self._of.setdefault(service, []).append(listener)

    def __contains__(self, service: object) -> bool:
        """Whether anybody listens."""
        return service in self._of

    def tell(self, before: ServiceSnapshot, after: ServiceSnapshot) -> None:
        """Logs what is new, and gives it to everybody who listens."""
        _log_change(before, after)
        for listener in self._of.get(after.service, ()):
            try:
                listener(after)
            except Exception as error:  # noqa: BLE001 one listener's bug must not keep the news from the others
                log.error("listener_failed", service=after.service, trace=trace_of(error))


def _log_change(before: ServiceSnapshot, after: ServiceSnapshot) -> None:
    for left_out in set(after.quarantined) - set(before.quarantined):
        log.warning(
            "instance_quarantined",
            service=after.service,
            instance=left_out.id,
            reason=left_out.reason,
            detail=left_out.detail,
        )
    if after.note is not None and after.note != before.note:
        log.warning("registry_noted", service=after.service, note=after.note)
    if after.instances is not before.instances or after.status is not before.status:
        log.info(
            "service_changed",
            service=after.service,
            status=after.status.value,
            instances=len(after.instances),
            usable=len(after.usable),
            version=after.version,
        )
    elif before.failure is not None and after.failure is None:
        log.info("watch_recovered", service=after.service)
