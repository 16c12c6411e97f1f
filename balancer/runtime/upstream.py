"""An upstream on pooled connections of our own.

Who calls it decides whether a request may go out again; here that happens in one case only: a connection
that was kept ended before a byte of the answer came, as it does when an instance closes idle ones.
"""

import asyncio
import errno
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import cache
from types import TracebackType
from typing import Self

import structlog

from balancer.model import OutboundRequest, PoolLimits, Timeouts, UpstreamFailed
from balancer.outcome import Kind, Outcome, Phase, Side
from balancer.runtime.base import UpstreamAnswer
from balancer.runtime.connection import READ_SIZE, Connection
from balancer.runtime.pool import InstancePool, Saturated
from balancer.runtime.tunnel import End
from balancer.runtime.wire import BadRequest, RequestHead, encode_head
from registry.exhaustion import is_out_of_resources
from registry.model import Instance, ServiceName, ServiceSnapshot
from registry.runtime.tasks import Tasks

SWEEP_S = 1.0

Address = tuple[object, str, int, str | None]
"""Instance key, IP, port and scheme: what connections are kept by."""

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
        self._pools: dict[Address, InstancePool] = {}
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
        self, instance: Instance, request: OutboundRequest, timeouts: Timeouts, *, repeatable: bool = False
    ) -> UpstreamAnswer:
        loop = self._loop
        if loop is None:
            raise RuntimeError("use PooledUpstream as an async context manager")
        try:
            head = encode_head(request, instance.authority)
        except BadRequest as bad:
            fault = Outcome(Phase.CONNECT, Side.CLIENT, Kind.GARBAGE, sent=False, detail=str(bad))
            raise UpstreamFailed(fault) from None
        pool = self._pool(instance)
        now = loop.time()
        call = _Call(pool, self._tasks, request, head, timeouts, now + timeouts.total_s)
        kept = pool.take(now)
        if kept is not None and not repeatable and kept.hung_up():
            kept.abort()
            kept = None
        if kept is None:
            return await call.on(await self._connect(pool, now, timeouts))
        try:
            return await call.on(kept)
        except UpstreamFailed as failed:
            again = repeatable and isinstance(request.body, bytes)
            if not _met_a_closing_connection(failed.outcome, kept, repeatable=again):
                raise
            self.resent[instance.service] += 1
            log.debug("request_resent", service=instance.service, instance=instance.id)
            fresh = await self._connect(pool, loop.time(), timeouts, sent=failed.outcome.sent)
            return await call.on(fresh)

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
        here: dict[ServiceName, set[Address]] = {}
        for key, pool in list(self._pools.items()):
            service = pool.instance.service
            if self._current is not None:
                if service not in here:
                    here[service] = {_address(instance) for instance in self._current(service).instances}
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

    def _pool(self, instance: Instance) -> InstancePool:
        key = _address(instance)
        pool = self._pools.get(key)
        if pool is None:
            limits = self._limits(instance.service)
            pool = self._pools[key] = InstancePool(instance, limits, self._buffer, self._tls)
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


class _Call:
    """One request and its answer, on whichever connection."""

    __slots__ = ("_head", "_pool", "_request", "_tasks", "_timeouts", "_total_at")

    def __init__(
        self,
        pool: InstancePool,
        tasks: Tasks,
        request: OutboundRequest,
        head: RequestHead,
        timeouts: Timeouts,
        total_at: float,
    ) -> None:
        self._pool = pool
        self._tasks = tasks
        self._request = request
        self._head = head
        self._timeouts = timeouts
        self._total_at = total_at

    async def on(self, connection: Connection) -> UpstreamAnswer:
        """Sends it there. Raises `UpstreamFailed`; the connection is taken care of in any case."""
        body = self._begin(connection)
        try:
            head = await connection.answer()
        except BaseException:
            await body.release()
            raise
        body.settle()
        return UpstreamAnswer(head.status, head.reason, head.headers, body)

    def _begin(self, connection: Connection) -> "_Body":
        content, method = self._request.body, self._request.method
        if isinstance(content, bytes):
            connection.begin(
                self._head.data + content,
                method,
                self._timeouts,
                self._total_at,
                switch=self._request.switch,
            )
            return _Body(self._pool, connection, None)
        connection.begin(self._head.data, method, self._timeouts, self._total_at, body_follows=True)
        if connection.fault is not None:
            return _Body(self._pool, connection, None)
        upload = self._tasks.start("upload", connection.upload(content, self._head.declared))
        return _Body(self._pool, connection, upload)


class _Body:
    """The body of an answer, and the connection it comes from until it is released."""

    __slots__ = ("_connection", "_ended", "_pool", "_rest", "_upload")

    def __init__(
        self, pool: InstancePool, connection: Connection, upload: "asyncio.Task[None] | None"
    ) -> None:
        self._pool = pool
        self._connection: Connection | None = connection
        self._upload = upload
        self._rest = b""
        self._ended = False

    @property
    def ended(self) -> bool:
        return self._ended or (self._connection is not None and self._connection.answers.ended)

    def settle(self) -> None:
        """The head is there. An answer that has come whole gives its connection back before it is read."""
        connection = self._connection
        assert connection is not None
        assert connection.answers.head is not None
        if connection.answers.head.status == 101:
            return
        self._ended = connection.answers.ended
        if self._ended:
            self._rest = b"".join(connection.answers.pieces)
            if self._upload is None:
                self._give_back(connection)

    def whole(self) -> bytes | None:
        if not self._ended:
            return None
        rest, self._rest = self._rest, b""
        return rest

    def take_over(self, end: End) -> tuple[asyncio.Transport, bytes]:
        connection = self._connection
        assert connection is not None
        self._connection = None
        self._ended = True
        end.behind = connection
        return connection.take_over(end)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            if self._rest:
                rest, self._rest = self._rest, b""
                return rest
        elif self._connection is not None:
            if piece := await self._connection.read():
                return piece
            self._ended = True
        raise StopAsyncIteration

    async def release(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._upload is not None and not self._upload.done():
            # The client's stream is its task's until that has ended: somebody may want to read on.
            self._upload.cancel()
            await asyncio.wait([self._upload])
        if self._connection is not None:
            self._give_back(connection)

    def _give_back(self, connection: Connection) -> None:
        self._connection = None
        if connection.end(self._pool.now()):
            self._pool.give_back(connection)


def _address(instance: Instance) -> Address:
    return (instance.key, instance.ip, instance.port, instance.meta.get("scheme"))


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
