"""A service's check states -> one Health, and the weight that goes with it.

The worst check decides, as in Consul: a state that nobody knows counts as critical, because an
instance is trusted for what it says, not for what it fails to say.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from registry.model import Health

NODE_MAINTENANCE = "_node_maintenance"
SERVICE_MAINTENANCE = "_service_maintenance:"
"""Consul has no maintenance state: it adds a critical check with one of these ids."""

MAX_WEIGHT = 65535


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """One check as the registry names it; `status` is whatever it said."""

    id: str
    status: str


_BADNESS = {Health.PASSING: 0, Health.WARNING: 1, Health.CRITICAL: 2, Health.MAINTENANCE: 3}
_STATES = {state.value: state for state in (Health.PASSING, Health.WARNING, Health.CRITICAL)}


def health_of(checks: Iterable[CheckFacts]) -> Health:
    """The worst of the checks; passing when there is none."""
    return max(map(_state, checks), key=_BADNESS.__getitem__, default=Health.PASSING)


def _state(check: CheckFacts) -> Health:
    if check.id == NODE_MAINTENANCE or check.id.startswith(SERVICE_MAINTENANCE):
        return Health.MAINTENANCE
    return _STATES.get(check.status, Health.CRITICAL)


def weigh(health: Health, passing: object, warning: object) -> tuple[Health, int]:
    """The weight for that health out of a registration's two weights, absurd ones taken as 1.

    A warning weight of zero is Consul's way to say "no calls while warning", which is what critical
    means here: picking strategies may rely on weights of at least one.
    """
    if health is Health.WARNING:
        if warning == 0 and not isinstance(warning, bool):
            return Health.CRITICAL, 1
        return health, _sane(warning)
    return health, _sane(passing)


def _sane(weight: object) -> int:
    if isinstance(weight, int) and not isinstance(weight, bool) and 1 <= weight <= MAX_WEIGHT:
        return weight
    return 1
