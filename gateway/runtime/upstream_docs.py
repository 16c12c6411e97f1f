"""What services say of their own APIs: fetched in the background, so that no request waits for it.

An instance is asked as for any call: chosen, retried elsewhere, and within a deadline. What can't be had or
used is left as it was known last, and said once.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from types import MappingProxyType, TracebackType
from typing import Self

import structlog

from balancer.model import CallPolicy, OutboundRequest, RetryClass, Timeouts, UpstreamBroke
from balancer.runtime.call import Answer, Balancer
from gateway.openapi_references import BadDocument
from gateway.openapi_upstream import UpstreamApi, read_upstream
from gateway.request_head import HOP
from gateway.settings import Settings
from registry.model import ServiceName
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()

MAX_BYTES = 2 * 1024 * 1024
WITHIN_S = 10.0
"""One document, all tries together."""
FIRST_PAUSE_S = 0.5
"""Before it is tried again; twice as long each time, up to `docs.refresh_s`. Services may start later."""
JITTER = 0.1


class _NotHad(Exception):
    """There is no document. The text says why."""


@dataclass(frozen=True, slots=True)
class _Asked:
    path: str
    refresh_s: float


class UpstreamDocs:
    """An async context manager. `follow` says who is asked; `mark` names this gateway in `HOP`."""

    def __init__(self, balancer: Balancer, mark: str, *, rng: Random) -> None:
        self._balancer = balancer
        self._mark = mark
        self._rng = rng
        self._tasks = Tasks(self._died)
        self._asked: dict[str, _Asked] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self.apis: Mapping[str, UpstreamApi] = MappingProxyType({})
        """By service. Replaced whole."""
        self.version = 0
        """Grows whenever `apis` changes."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asked = {}
        await self._tasks.close()

    def follow(self, settings: Settings) -> None:
        """Asks the services of these settings from now on, and no others."""
        before, self._asked = self._asked, _asked_by(settings)
        for name in before:
            if self._asked.get(name) != before[name]:
                self._running.pop(name).cancel()
                self._publish({known: api for known, api in self.apis.items() if known != name})
        for name in self._asked:
            if name not in self._running:
                self._start(name)

    def _start(self, name: str, after_s: float = 0.0) -> None:
        self._running[name] = self._tasks.start(f"api {name}", self._run(name, after_s))

    async def _run(self, name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        asked, digest, pause_s, told = self._asked[name], b"", FIRST_PAUSE_S, ""
        while True:
            try:
                text = await self._fetch(ServiceName(name), asked.path)
                if (news := blake2b(text).digest()) != digest:
                    api = await asyncio.to_thread(read_upstream, text)
                    digest = news
                    self._publish({**self.apis, name: api})
                pause_s, told = asked.refresh_s, ""
            except (_NotHad, BadDocument) as problem:
                pause_s = min(2 * pause_s, asked.refresh_s)
                if str(problem) != told:
                    told = str(problem)
                    log.warning("api_description_ignored", service=name, problem=told)
            await asyncio.sleep(pause_s * self._rng.uniform(1 - JITTER, 1 + JITTER))

    async def _fetch(self, service: ServiceName, path: str) -> bytes:
        headers = [
            (b"Accept", b"application/json"),
            (b"Accept-Encoding", b"identity"),
            (b"User-Agent", b"quaymaster"),
            (HOP.encode(), self._mark.encode()),
        ]
        policy = CallPolicy(service, RetryClass.SAFE, Timeouts(first_byte_s=WITHIN_S, total_s=WITHIN_S))
        try:
            async with (
                asyncio.timeout(WITHIN_S),
                self._balancer.call(policy, OutboundRequest("GET", path, headers)) as end,
            ):
                if not isinstance(end, Answer):
                    raise _NotHad("no instance gives it")
                if end.status != 200:
                    raise _NotHad(f"the answer's status is {end.status}")
                return await _whole(end)
        except (TimeoutError, UpstreamBroke):
            raise _NotHad("it does not come in time, or breaks off") from None

    def _publish(self, apis: Mapping[str, UpstreamApi]) -> None:
        self.apis, self.version = MappingProxyType(dict(apis)), self.version + 1

    def _died(self, task: str, error: BaseException) -> None:
        """Of a bug. Begun anew, since otherwise the service would stay as it was described last."""
        log.error("api_description_died", task=task, trace=trace_of(error))
        name = task.removeprefix("api ")
        if (asked := self._asked.get(name)) is not None:
            self._start(name, asked.refresh_s)

    def __repr__(self) -> str:
        return f"<UpstreamDocs: {len(self.apis)} of {len(self._asked)} services described>"


async def _whole(answer: Answer) -> bytes:
    body = answer.body.whole()
    if body is None:
        body = b""
        async for piece in answer.body:
            body += piece
            if len(body) > MAX_BYTES:
                break
    if len(body) > MAX_BYTES:
        raise _NotHad(f"it is longer than {MAX_BYTES} bytes")
    return body


def _asked_by(settings: Settings) -> dict[str, _Asked]:
    if not settings.docs.enabled:
        return {}
    return {
        name: _Asked(service.openapi, settings.docs.refresh_s)
        for name, service in settings.services.items()
        if service.openapi is not None
    }
