"""The checks the agent makes itself: HTTP and TCP, each on its own time.

Every check has a task of its own, so that a slow one delays nobody; how many look at the same moment
is bounded, and each look has a timeout. (TTL checks need no task: the catalogue knows when they end.)
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Self

import aiohttp
import structlog
import yarl

from registry.addresses import split_address
from registry.agent.definitions import CRITICAL, PASSING, WARNING, CheckDefinition
from registry.exhaustion import is_out_of_resources

Observe = Callable[[str, str, str], None]
"""(check id, status, output)"""

FIRST_LOOK_S = 1.0
"""The first look comes within a random part of this (or of a shorter interval): not all at once."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Verdict:
    status: str
    output: str


class Threshold:
    """Says when a verdict counts: after so many of a kind in a row (`SuccessBeforePassing`, …)."""

    def __init__(self, check: CheckDefinition) -> None:
        self._needed = {True: check.success_before_passing, False: check.failures_before_critical}
        self._good, self._in_a_row = True, 0

    def passes(self, status: str) -> bool:
        good = status != CRITICAL
        self._in_a_row = self._in_a_row + 1 if good is self._good else 1
        self._good = good
        return self._in_a_row >= self._needed[good]


class Prober:
    """Looks at every check it was told of, for as long as it is open. An async context manager."""

    def __init__(
        self, group: asyncio.TaskGroup, observe: Observe, *, min_interval_s: float, at_once: int, rng: Random
    ) -> None:
        self._group = group
        self._observe = observe
        self._min_interval_s = min_interval_s
        self._slots = asyncio.Semaphore(at_once)
        self._rng = rng
        self._tasks: dict[str, tuple[CheckDefinition, asyncio.Task[None]]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # A look is a new connection: a kept one would not notice that the port is closed.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for id in list(self._tasks):
            self.forget(id)
        if self._session is not None:
            await self._session.close()

    def watch(self, check: CheckDefinition) -> None:
        """Starts to look, or goes on when it is the same check as before."""
        if check.id in self._tasks and self._tasks[check.id][0] == check:
            return
        self.forget(check.id)
        if check.kind in ("http", "tcp"):
            task = self._group.create_task(self._keep_looking(check), name=f"check {check.id}")
            self._tasks[check.id] = (check, task)

    def forget(self, id: str) -> None:
        """Stops to look, also in the middle of it."""
        if known := self._tasks.pop(id, None):
            known[1].cancel()

    async def _keep_looking(self, check: CheckDefinition) -> None:
        interval_s = max(check.interval_s, self._min_interval_s)
        threshold = Threshold(check)
        await asyncio.sleep(self._rng.uniform(0, min(interval_s, FIRST_LOOK_S)))
        while True:
            async with self._slots:
                verdict = await self._look(check)
            if verdict is not None and threshold.passes(verdict.status):
                self._observe(check.id, verdict.status, _utf8(verdict.output))
            await asyncio.sleep(interval_s)

    async def _look(self, check: CheckDefinition) -> Verdict | None:
        """`None` when it could not be found out."""
        asked = f'Get "{_without_password(check.target)}": ' if check.kind == "http" else ""
        try:
            async with asyncio.timeout(check.timeout_s):
                return await (self._ask(check) if check.kind == "http" else self._connect(check))
        except TimeoutError:
            return Verdict(CRITICAL, f"{asked}context deadline exceeded after {check.timeout_s:g}s")
        except (OSError, aiohttp.ClientError, ValueError) as error:
            if is_out_of_resources(error):
                log.warning("check_not_made", check=check.id, error=str(error))
                return None
            return Verdict(CRITICAL, asked + _explain(check, error))
        except Exception as error:  # noqa: BLE001  one check that finds a bug must not stop the others
            log.error("check_failed", check=check.id, error=repr(error))
            return Verdict(CRITICAL, f"{asked}the agent failed to look: {type(error).__name__}")

    async def _ask(self, check: CheckDefinition) -> Verdict:
        assert self._session is not None
        url = yarl.URL(check.target)
        if url.scheme not in ("http", "https"):
            return Verdict(
                CRITICAL,
                f'Get "{_without_password(check.target)}": unsupported protocol scheme "{url.scheme}"',
            )
        headers = [(name, value) for name, values in check.headers.items() for value in values]
        usual = {"User-Agent": "Consul Health Check", "Accept": "text/plain, text/*, */*"}
        given = {name.lower() for name, _ in headers}
        async with self._session.request(
            check.method,
            url,
            headers=[*headers, *((k, v) for k, v in usual.items() if k.lower() not in given)],
            data=check.body.encode() or None,
            # A service that answers "look there" could make the agent ask anything it can reach.
            allow_redirects=False,
            ssl=not check.skip_tls_verify,
            skip_auto_headers=("Accept-Encoding", "Content-Type"),
        ) as response:
            body = await _at_most(response.content, check.output_max)
        return Verdict(
            _status_of(response.status),
            f"HTTP {check.method} {_without_password(check.target)}: "
            f"{response.status} {response.reason} Output: {body.decode(errors='replace')}",
        )

    async def _connect(self, check: CheckDefinition) -> Verdict:
        host, port = split_address(check.target, 0)
        if not port:
            return Verdict(CRITICAL, f"dial tcp: address {check.target}: missing port in address")
        _, writer = await asyncio.open_connection(host, port)
        writer.transport.abort()
        return Verdict(PASSING, f"TCP connect {check.target}: Success")

    def __repr__(self) -> str:
        return f"<Prober: {len(self._tasks)} checks>"


def _utf8(text: str) -> str:
    """With "?" for bytes that were no text: aiohttp keeps those of a reason as half characters, and an
    output with one of them could not be sent to anybody."""
    return text.encode("utf-8", "replace").decode()


def _status_of(code: int) -> str:
    """2xx passes, 429 (too busy) warns, everything else is critical. So in Consul."""
    return PASSING if 200 <= code < 300 else WARNING if code == 429 else CRITICAL


async def _at_most(stream: aiohttp.StreamReader, size: int) -> bytes:
    body = b""
    while len(body) < size and (chunk := await stream.read(size - len(body))):
        body += chunk
    return body


def _without_password(target: str) -> str:
    """A URL that may be shown: a check's output is read by everybody."""
    try:
        url = yarl.URL(target)
    except ValueError:
        return target
    return str(url.with_user(None)) if url.absolute and url.user is not None else target


def _explain(check: CheckDefinition, error: Exception) -> str:
    """Go's words for the usual failures: people search for them."""
    where = _authority(check)
    if isinstance(error, socket.gaierror | aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {where.rpartition(':')[0] or where}: no such host"
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return f"dial tcp {where}: connect: connection refused"
    return str(error) or type(error).__name__


def _authority(check: CheckDefinition) -> str:
    if check.kind == "tcp":
        return check.target
    try:
        url = yarl.URL(check.target)
        return f"{url.host}:{url.port}"
    except ValueError:
        return check.target
