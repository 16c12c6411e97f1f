"""What the gateway answers clients and handler processes, and the JSON of it.

Shapes of ALLOCATION 2.2 and 2.10: `GET /get_websocket_handler`, `POST /handlers/register` and `report`.
"""

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import orjson

from handlers.address import websocket_url
from handlers.advice import Advice
from handlers.model import DrainOrder, HandlerId, Jti, PoolSettings
from handlers.ticket import ALGORITHM, HandlerKey

REPORT_S = 1.0
"""A handler reports at least so often; three may get lost before it counts as dead."""


def report_s(pool: PoolSettings) -> float:
    """How often the handlers of that pool report, at least."""
    return min(REPORT_S, pool.dead_after_s / 3)


class Grant(NamedTuple):
    """A seat, as its client gets it. `jti` is for `Allocator.cancel`, should the answer not get through."""

    handler_id: HandlerId
    url: str
    path: str
    """Where WebSockets are, below `url`."""
    ticket: str
    ticket_expires_in: int
    guaranteed_for: int
    session_id: str
    advice: Advice
    jti: Jti
    sequence: int = 0
    """Number of the allocation in the pool, for whoever asks why; 0 for one without the store."""

    def json(self) -> bytes:
        """The 200 answer. Its first two fields are the chat gateway's own.

        Put together of what is the same for all clients of a handler, and of texts without quotes.
        """
        return (
            f'{_handler_json(self.handler_id, self.url, self.path)},"ticket":"{self.ticket}",'
            f'"ticket_expires_in":{self.ticket_expires_in},"guaranteed_for":{self.guaranteed_for},'
            f'"session_id":"{self.session_id}","reconnect":{self.advice.json}}}'
        ).encode()


@lru_cache(maxsize=4096)
def _handler_json(handler: HandlerId, url: str, path: str) -> str:
    """How the answer begins for every client of that handler."""
    told = {"websocket_handler_url": url, "handler_id": handler, "websocket_url": websocket_url(url, path)}
    return orjson.dumps(told).decode()[:-1]


class ComeBack(NamedTuple):
    """There is room, and no seat at this moment."""

    retry_after_s: float
    queue_token: str | None
    """The client's appointment, to be shown when it comes back; `None` when the book is full."""
    retry_at_ms: int | None
    """Of the appointment, in unix milliseconds."""


class Migration(NamedTuple):
    """A seat elsewhere for a client whose handler asked for one. `url` is the WebSocket URL."""

    session_id: str
    handler_id: str
    url: str
    ticket: str


@dataclass(frozen=True, slots=True)
class HelloAnswer:
    """What a handler process needs to work: its keys, the pool's times, advice for its clients."""

    key: HandlerKey
    previous: tuple[HandlerKey, ...]
    audience: str
    issuer: str
    pool: PoolSettings
    advice: Advice

    def body(self, now: float) -> dict[str, object]:
        """The 200 answer; `now` is unix seconds, by which the handler judges the times in tickets."""
        return {
            "now": now,
            "ticket": self._key(self.key),
            "previous": [self._key(key) for key in self.previous],
            "report_s": report_s(self.pool),
            "dead_after_s": self.pool.dead_after_s,
            "reconnect": self.advice.body(),
            "pool": {
                "name": self.pool.name,
                "guaranteed_s": self.pool.guaranteed_s,
                "ticket_s": self.pool.ticket_s,
            },
        }

    def _key(self, key: HandlerKey) -> dict[str, object]:
        return {
            "kid": key.kid,
            "key": urlsafe_b64encode(key.key).rstrip(b"=").decode(),
            "algorithm": ALGORITHM,
            "audience": self.audience,
            "issuer": self.issuer,
        }


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    draining: bool
    """The handler is to refuse new clients."""
    advice: Advice
    drain: DrainOrder | None = None
    """Until when it should be empty, and how fast."""
    rebalance: int = 0
    """Clients that should move away although it is not draining."""
    migrate: tuple[Migration, ...] = ()

    def body(self, now: float) -> dict[str, object]:
        """The 200 answer, at `now` in unix seconds."""
        body: dict[str, object] = {
            "now": now,
            "draining": self.draining,
            "reconnect": self.advice.body(),
        }
        if self.drain is not None:
            body["drain"] = {"deadline_s": self.drain.remaining_s, "rate": self.drain.rate}
        if self.rebalance:
            body["rebalance"] = self.rebalance
        if self.migrate:
            body["migrate"] = [move._asdict() for move in self.migrate]
        return body
