"""An upstream on pooled connections of our own.

Who calls it decides whether a request may go out again; here that happens in one case only: a connection
that was kept ended before a byte of the answer came, as it does when an instance closes idle ones.
"""

import asyncio
import errno
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from types import TracebackType
from typing import Self

import structlog

from balancer.budget import RetryLedger
from balancer.model import OutboundRequest, PoolLimits, Timeouts, UpstreamFailed
from balancer.outcome import Kind, Outcome, Phase, Side
from balancer.runtime.base import UpstreamAnswer
from balancer.runtime.bodies import StreamedBody, WholeBody
from balancer.runtime.connection import READ_SIZE, Connection
from balancer.runtime.pool import InstancePool, Saturated
from balancer.runtime.wire import AnswerHead, BadRequest, encode_head
from registry.exhaustion import is_out_of_resources
from registry.model import Endpoint, Instance, ServiceName, ServiceSnapshot
from registry.runtime.tasks import Tasks

SWEEP_S = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Connections of one service, over all its instances."""

    in_use: int
    idle: int
    waiting: int


class PooledUpstream:
    """Connections to all instances. An async context manager; used from one event loop only.

    `limits` are those of a service's instances. `current` tells which instances there are: the connections
    of one that has left are closed after their last call.
    """

    def __init__(
        self,
        limits: Callable[[ServiceName], PoolLimits] = lambda _: PoolLimits(),
        current: Callable[[ServiceName], ServiceSnapshot] | None = None,
    ) -> None:
        self._limits = limits
        self._current = current
        self._pools: dict[Endpoint, InstancePool] = {}
        # One for all connections: what is read into it is copied before anybody else reads.
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._tls = cache(ssl.create_default_context)
        self._tasks = Tasks(_died)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.resent: Counter[ServiceName] = Counter()
        """Requests that met a connection which the instance was just closing, and went out again."""

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._tasks.start("upstream_sweep", self._sweep_for_ever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.close()
        self._loop = None
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        # The loop tells a connection of its end one turn later.
        await asyncio.sleep(0)

    async def send(
        self,
        instance: Instance,
        request: OutboundRequest,
        timeouts: Timeouts,
        *,
        repeatable: bool = False,
        budget: RetryLedger | None = None,
    ) -> UpstreamAnswer:
        loop = self._loop
        if loop is None:
            raise RuntimeError("use PooledUpstream as an async context manager")
        try:
            head, declared = encode_head(request, instance, timeouts.total_s)
        except BadRequest as bad:
            fault = Outcome(Phase.CONNECT, Side.CLIENT, Kind.GARBAGE, sent=False, detail=str(bad))
            raise UpstreamFailed(fault) from None
        pool = self._pools.get(instance.endpoint) or self._open_pool(instance)
        content = request.body
        in_memory = isinstance(content, bytes)
        now = loop.time()
        total_at = now + timeouts.total_s
        kept = pool.take(now)
        if kept is not None and not repeatable and kept.hung_up():
            kept.abort()
            kept = None
        connection = kept or await self._connect(pool, now, timeouts)
        second: RetryLedger | None = None
        while True:
            upload = None
            try:
                if isinstance(content, bytes):
                    connection.begin(
                        head + content, request.method, timeouts, now, total_at, switch=request.switch
                    )
                else:
                    connection.begin(head, request.method, timeouts, now, total_at, body_follows=True)
                    if connection.fault is None:
                        upload = self._tasks.start("upload", connection.upload(content, declared))
                answer = await connection.answer()
            except BaseException as error:
                if second is not None:
                    second.second_ended(loop.time())
                await StreamedBody(pool, connection, upload).release()
                if not isinstance(error, UpstreamFailed) or connection is not kept:
                    raise
                if not _met_a_closing_connection(error.outcome, kept, repeatable=repeatable and in_memory):
                    raise
                sent = error.outcome.sent
                # An instance that breaks all that it is sent looks the same, and must not get it twice.
                if sent and budget is not None and not budget.has_room(loop.time()):
                    raise
            else:
                if second is not None:
                    second.second_ended(loop.time())
                return _answer(answer, pool, connection, upload, loop.time())
            self.resent[instance.service] += 1
            log.debug("request_resent", service=instance.service, instance=instance.id)
            now = loop.time()
            if sent and budget is not None:
                second = budget
                second.second += 1
            try:
                connection = await self._connect(pool, now, timeouts, sent=sent)
            except BaseException:
                if second is not None:
                    # No instance has seen anything of it.
                    second.second -= 1
                raise

    def stats(self) -> dict[ServiceName, PoolStats]:
        """What is open now, for metrics."""
        stats: dict[ServiceName, PoolStats] = {}
        for pool in self._pools.values():
            known = stats.get(pool.instance.service, PoolStats(0, 0, 0))
            stats[pool.instance.service] = PoolStats(
                known.in_use + pool.open - pool.idle, known.idle + pool.idle, known.waiting + pool.waiting
            )
        return stats

    def sweep(self, now: float) -> None:
        """Closes what is idle for too long, and forgets instances that have left. `now`: the loop's time."""
        here: dict[ServiceName, set[Endpoint]] = {}
        for key, pool in list(self._pools.items()):
            service = pool.instance.service
            if self._current is not None:
                if service not in here:
                    here[service] = {instance.endpoint for instance in self._current(service).instances}
                pool.retired = key not in here[service]
            pool.sweep(now)
            if pool.open == 0:
                pool.retired = True
                del self._pools[key]

    async def _sweep_for_ever(self) -> None:
        assert self._loop is not None
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep(self._loop.time())

    def _open_pool(self, instance: Instance) -> InstancePool:
        limits = self._limits(instance.service)
        pool = self._pools[instance.endpoint] = InstancePool(instance, limits, self._buffer, self._tls)
        return pool

    async def _connect(
        self, pool: InstancePool, now: float, timeouts: Timeouts, *, sent: bool = False
    ) -> Connection:
        try:
            return await pool.connect(now + min(timeouts.connect_s, timeouts.total_s))
        except Saturated:
            outcome = Outcome(Phase.CONNECT, Side.GATEWAY, Kind.SATURATED, sent)
        except (OSError, ValueError) as error:
            side = Side.GATEWAY if timeouts.total_s <= timeouts.connect_s else Side.INSTANCE
            outcome = replace(fault_of_connect(error, side), sent=sent)
        raise UpstreamFailed(outcome)

    def __repr__(self) -> str:
        return f"<PooledUpstream: {list(self._pools.values())}>"


def _answer(
    head: AnswerHead,
    pool: InstancePool,
    connection: Connection,
    upload: "asyncio.Task[None] | None",
    now: float,
) -> UpstreamAnswer:
    """What came, whole or with the connection it still comes from."""
    body: StreamedBody | WholeBody
    if connection.answers.ended and upload is None and head.status != 101:
        body = WholeBody(connection.answers.take())
        if connection.end(now):
            pool.give_back(connection)
    else:
        body = StreamedBody(pool, connection, upload)
    return UpstreamAnswer(head.status, head.reason, head.headers, body, head.eject)


def _met_a_closing_connection(outcome: Outcome, kept: Connection, *, repeatable: bool) -> bool:
    if outcome.kind is not Kind.RESET or outcome.side is not Side.INSTANCE or kept.answers.begun:
        return False
    return repeatable or not outcome.sent


def fault_of_connect(error: Exception, late: Side) -> Outcome:
    """Why no connection came about; `late` is whose deadline it was. No byte has been sent."""
    number = getattr(error, "errno", None)
    detail = errno.errorcode.get(number, type(error).__name__) if number else type(error).__name__
    side, kind = Side.INSTANCE, Kind.REFUSED
    if isinstance(error, TimeoutError) and number is None:
        side, kind, detail = late, Kind.TIMEOUT, ""
    elif isinstance(error, ssl.SSLError):
        kind = Kind.GARBAGE
    elif is_out_of_resources(error):
        side = Side.GATEWAY
    elif number == errno.ETIMEDOUT:
        kind = Kind.TIMEOUT
    return Outcome(Phase.CONNECT, side, kind, sent=False, detail=detail)


def _died(name: str, error: BaseException) -> None:
    log.error("upstream_task_died", task=name, error=repr(error))
