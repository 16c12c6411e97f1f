"""What a microservice asks of `/get_service_instance`, read from the query.

Rules of this file: what is named is checked, for a crafted name could leave its place in the registry's URL
and a wrong number would be obeyed for a minute. Parameters that nobody knows are passed over.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from gateway.errors import GatewayError, Reason, gateway_error
from registry.model import ServiceName
from registry.names import is_service_name

MAX_WAIT_S = 60
MAX_EXCLUDED = 64

_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,6})?", re.ASCII)
_INDEX = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PeerQuestion:
    service: ServiceName
    excluded: frozenset[str] = frozenset()
    """Ids and URLs of instances that the caller does not want, as it wrote them."""
    wait_s: float = 0.0
    """How long the caller waits for news, if what it knows is `index`."""
    index: int | None = None

    def waits_at(self, version: int) -> bool:
        """Whether the caller knows that much already and would rather wait for more."""
        return self.wait_s > 0 and self.index == version


def read_question(query: str) -> PeerQuestion | GatewayError:
    """The question of a raw query with its question mark; of a parameter that is repeated the first counts.

    `exclude` may be repeated, and each may name several, separated by commas.
    """
    asked: dict[str, str] = {}
    named: set[str] = set()
    whole: set[str] = set()
    for name, value in parse_qsl(query.removeprefix("?"), keep_blank_values=True):
        asked.setdefault(name, value)
        if name == "exclude":
            named.update(value.split(","))
            whole.add(value)  # too, for an id may have a comma in it
    named.discard("")
    whole.discard("")
    service = asked.get("service_name", "")
    if not service:
        return gateway_error(
            Reason.MISSING_PARAMETER, message="service_name is missing: ask ?service_name=NAME."
        )
    if not is_service_name(service):
        return _bad("service_name must be 1 to 128 letters, digits, dots, hyphens or underscores.")
    if len(named) > MAX_EXCLUDED:
        return _bad(f"exclude must not name more than {MAX_EXCLUDED} instances.")
    wait, index = asked.get("wait", "0"), asked.get("index")
    if not _SECONDS.fullmatch(wait) or float(wait) > MAX_WAIT_S:
        return _bad(f"wait must be seconds, from 0 to {MAX_WAIT_S}.")
    if index is not None and not _INDEX.fullmatch(index):
        return _bad("index must be the X-Quaymaster-Index of an earlier answer.")
    if float(wait) > 0 and index is None:
        return _bad("index is missing: wait needs the X-Quaymaster-Index of an earlier answer.")
    return PeerQuestion(
        ServiceName(service), frozenset(named | whole), float(wait), None if index is None else int(index)
    )


def _bad(message: str) -> GatewayError:
    return gateway_error(Reason.BAD_PARAMETER, message=message)
