"""What gateways answer a handler process, by type. A wrong answer is `None` and never half believed."""

import math
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from handlers.drain_pace import MAX_MOVES
from handlers.model import DrainOrder, HandlerId
from handlers.ticket import ALGORITHM, LONGEST

MAX_S = 7 * 86_400.0
"""No drain lasts longer than a week."""
MAX_UNIX_S = 1e11
"""Some three thousand years from now."""
MAX_URL = 4096
"""Characters."""


@dataclass(frozen=True, slots=True)
class Introduced:
    """The answer to a hello."""

    keys: Mapping[str, bytes] = field(repr=False)
    issuer: str
    report_s: float
    reconnect: Mapping[str, Any]
    now: float | None = None
    """Unix seconds at the gateway; `None` from one that does not tell."""


class Migration(NamedTuple):
    """A seat elsewhere for a client that was named in a report."""

    session_id: str
    handler: HandlerId
    url: str
    ticket: str

    def __repr__(self) -> str:
        return f"<Migration of {self.session_id} to {self.handler}>"


@dataclass(frozen=True, slots=True)
class Noted:
    """The answer to a report."""

    draining: bool
    reconnect: Mapping[str, Any]
    drain: DrainOrder | None = None
    rebalance: int = 0
    """So many clients more should move although nothing ends here."""
    migrate: tuple[Migration, ...] = ()
    now: float | None = None
    """As in `Introduced`."""


def introduced(told: Mapping[str, Any]) -> Introduced | None:
    """The answer to a hello, `None` if something is wrong with it."""
    try:
        told_keys = [told["ticket"], *told["previous"]]
        if any(key["algorithm"] != ALGORITHM for key in told_keys):
            return None
        keys = {str(key["kid"]): urlsafe_b64decode(key["key"] + "==") for key in told_keys}
        report_s, reconnect = float(told["report_s"]), dict(told.get("reconnect", {}))
        issuer, now = str(told["ticket"].get("issuer", "quaymaster")), _now(told)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if min(map(len, keys.values())) < 32 or not 0 < report_s <= 60:
        return None
    return Introduced(keys, issuer, report_s, reconnect, now)


def noted(told: Mapping[str, Any]) -> Noted | None:
    """The answer to a report, `None` if something is wrong with it."""
    draining, reconnect = told.get("draining"), told.get("reconnect", {})
    if not isinstance(draining, bool) or not isinstance(reconnect, dict):
        return None
    rebalance = told.get("rebalance", 0)
    if type(rebalance) is not int or rebalance < 0:
        return None
    try:
        drain = None if told.get("drain") is None else _order(told["drain"])
        migrate, now = tuple(map(_migration, told.get("migrate", ()))), _now(told)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Noted(draining, reconnect, drain, rebalance, migrate, now) if len(migrate) <= MAX_MOVES else None


def _now(told: Mapping[str, Any]) -> float | None:
    now = told.get("now")
    return None if now is None else _amount(now, MAX_UNIX_S)


def _order(told: Mapping[str, Any]) -> DrainOrder:
    rate = told.get("rate")
    return DrainOrder(_amount(told["deadline_s"], MAX_S), None if rate is None else _amount(rate, 1e9))


def _amount(number: Any, most: float) -> float:
    if type(number) not in (int, float) or not math.isfinite(number) or not 0 <= number <= most:
        raise ValueError(number)
    return float(number)


def _migration(told: Mapping[str, Any]) -> Migration:
    session_id, handler = _text(told["session_id"], 128), _text(told["handler_id"], 128)
    url, ticket = _text(told["url"], MAX_URL), _text(told["ticket"], LONGEST)
    if not url.startswith(("ws://", "wss://")):
        raise ValueError(url)
    return Migration(session_id, HandlerId(handler), url, ticket)


def _text(text: Any, longest: int) -> str:
    if not isinstance(text, str) or not 0 < len(text) <= longest:
        raise ValueError(text)
    return text
