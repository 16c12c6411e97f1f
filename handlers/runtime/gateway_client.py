"""The three calls a handler process makes to a gateway, over HTTP with JSON.

Any gateway of the list will do: a call that fails moves on to the next one. The only place of the SDK
that knows aiohttp's client and its errors; what went wrong comes back as a value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiohttp
import orjson

from handlers import heard
from handlers.heard import Introduced, Noted
from handlers.model import Epoch, HandlerId, Hello, Jti, Report, ReportRefusal
from registry.backends.shared.session import read_text

MAX_ANSWER = 524_288
"""Bytes; an answer with as many migrations as there may be has half of it."""
REFUSALS = {(404, ReportRefusal.UNKNOWN_HANDLER), (409, ReportRefusal.STALE_EPOCH)}
REASONS = {401: "denied", 403: "denied", 503: "unavailable"}


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A gateway did not answer as one should.

    `reason` is `unreachable`, `slow`, `denied`, `bad_answer`, or `unavailable`: it can't reach its store.
    """

    reason: str
    gateway: str


class GatewayClient:
    """Async context manager. `pool` is named in every call when given; `timeout_s` bounds one call to
    one gateway."""

    def __init__(
        self,
        gateways: Sequence[str],
        *,
        internal_key: str | None = None,
        pool: str | None = None,
        timeout_s: float = 1.0,
    ) -> None:
        if not gateways:
            raise ValueError("gateways is empty: give at least one URL, like http://127.0.0.1:8000")
        self.gateways = tuple(gateway.rstrip("/") for gateway in gateways)
        self._headers = {"X-Internal-Key": internal_key} if internal_key else {}
        self._pool: dict[str, Any] = {} if pool is None else {"pool": pool}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._current = 0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "GatewayClient":
        self._session = aiohttp.ClientSession(
            timeout=self._timeout,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=64),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def hello(self, hello: Hello) -> Introduced | ReportRefusal | NoAnswer:
        """One try; the next call goes to the next gateway if this one fails."""
        told = await self._post(
            "/handlers/register",
            {
                "handler_id": hello.id,
                "epoch": hello.epoch,
                "url": hello.url,
                "path": hello.path,
                "capacity": hello.capacity,
                "weight": hello.weight,
                "connections": hello.connections,
                "known": hello.known,
            },
        )
        if not isinstance(told, dict):
            return told
        return heard.introduced(told) or self._next("bad_answer")

    async def report(self, report: Report) -> Noted | ReportRefusal | NoAnswer:
        """One try: its counts are of now, so another gateway gets a report of its own."""
        body: dict[str, Any] = {
            "handler_id": report.id,
            "epoch": report.epoch,
            "seq": report.seq,
            "connections": report.connections,
            "confirmed": report.confirmed,
            "closed": report.closed,
            "leaving": report.leaving,
        }
        if report.move:
            body["move"] = [{"uid": move.uid, "session_id": move.session_id} for move in report.move]
        told = await self._post("/handlers/report", body)
        return (heard.noted(told) or self._next("bad_answer")) if isinstance(told, dict) else told

    async def admit(self, handler: HandlerId, epoch: Epoch, jti: Jti) -> bool | NoAnswer:
        """Whether a late ticket finds room. Tries every gateway once."""
        failed = NoAnswer("unreachable", self.gateways[self._current])
        for _ in self.gateways:
            told = await self._post("/handlers/admit", {"handler_id": handler, "epoch": epoch, "jti": jti})
            if isinstance(told, ReportRefusal):
                return False
            if isinstance(told, NoAnswer):
                failed = told
            elif isinstance(room := told.get("admit"), bool):
                return room
            else:
                failed = self._next("bad_answer")
        return failed

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | ReportRefusal | NoAnswer:
        assert self._session is not None
        try:
            async with self._session.post(
                self.gateways[self._current] + path,
                data=orjson.dumps({**body, **self._pool}),
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as answer:
                status = answer.status
                told = orjson.loads(await read_text(answer, MAX_ANSWER))
        except TimeoutError:
            return self._next("slow")
        except (aiohttp.ClientError, OSError):
            return self._next("unreachable")
        except ValueError:  # no JSON, or too much of it
            return self._next("bad_answer")
        if not isinstance(told, dict):
            return self._next("bad_answer")
        for refused_with, refusal in REFUSALS:
            if status == refused_with and told.get("reason") == refusal.value:
                return refusal
        if status != 200:
            return self._next(REASONS.get(status, "bad_answer"))
        return told

    def _next(self, reason: str) -> NoAnswer:
        """The current gateway has failed: the next call goes elsewhere."""
        failed = self.gateways[self._current]
        self._current = (self._current + 1) % len(self.gateways)
        return NoAnswer(reason, failed)
