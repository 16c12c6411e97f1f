"""Carries one request to one instance over HTTP/1.1, and its answer back.

`Upstream` is narrow on purpose: it says nothing of what carries the bytes. aiohttp's types,
exceptions and habits end in this file; every fault leaves it as an `Outcome`.
"""

import errno
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from typing import Protocol, Self

import aiohttp
from yarl import URL

from balancer.headers import fault_of_answer, fault_of_request, values_of
from balancer.model import AnswerBody, Headers, OutboundRequest, Timeouts, UpstreamBroke
from balancer.outcome import Kind, Outcome, Phase, Side
from balancer.runtime.progress import Progress, Upload
from registry.exhaustion import is_out_of_resources
from registry.model import Instance

KEEPALIVE_S = 4.0
"""Idle connections are given up before common servers do it (uvicorn after 5 s, nginx after 75 s): a
request that meets a connection the instance is closing counts as sent, so a POST could not be retried."""
READ_BUFFER = 1 << 16
"""Bytes of an answer held per call, twice over, while the client reads slowly."""
FAULTS = (aiohttp.ClientError, aiohttp.http.HttpProcessingError, OSError, ValueError)
"""What aiohttp is known to raise. `TimeoutError` is an `OSError`; anything else is a fault of our own."""
_TARGET = re.compile("/[^\x00-\x20\x7f\ud800-\udfff]*")


class UpstreamFailed(Exception):
    """There is no answer; `outcome` says how far the request got and whose fault it was."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome


class LeasedBody(AnswerBody, Protocol):
    """A body with the connection it comes from."""

    @property
    def ended(self) -> bool:
        """The instance has sent all of it, read or not."""
        ...

    def release(self) -> None:
        """Gives the connection back, or closes it when the body has not ended. Call it always."""
        ...


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """The head of an answer as it came, and its body. Whoever has it releases the body."""

    status: int
    reason: bytes
    headers: Headers
    body: LeasedBody


class Upstream(Protocol):
    async def send(self, instance: Instance, request: OutboundRequest, timeouts: Timeouts) -> UpstreamAnswer:
        """Sends once, never again by itself, and returns when the head of the answer is there.

        `timeouts.total_s` is what is left of the whole call. Raises `UpstreamFailed`.
        """
        ...


class AiohttpUpstream:
    """One aiohttp client session for all instances. An async context manager."""

    def __init__(self, *, keepalive_s: float = KEEPALIVE_S) -> None:
        self._keepalive_s = keepalive_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(_connected)
        session = aiohttp.ClientSession(
            # No cap: a limit here would queue calls out of the sight of load counts and timeouts.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=self._keepalive_s),
            # The default jar would send one client's cookies with the next client's request.
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            read_bufsize=READ_BUFFER,
            trace_configs=[tracing],
        )
        # aiohttp repeats idempotent requests by itself on a connection that was closed meanwhile. Only
        # this private switch stops it; test_upstream.py notices when it stops working.
        session._retry_connection = False
        self._session = session
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, instance: Instance, request: OutboundRequest, timeouts: Timeouts) -> UpstreamAnswer:
        if self._session is None:
            raise RuntimeError("use AiohttpUpstream as an async context manager")
        if (fault := _fault_of(request)) is not None:
            raise UpstreamFailed(Outcome(Phase.CONNECT, Side.CLIENT, Kind.GARBAGE, sent=False, detail=fault))
        progress = Progress(timeouts)
        upload = Upload.of(request, progress)
        try:
            async with progress.until_answer():
                response = await self._session.request(
                    request.method,
                    _url(instance, request.target),
                    headers=_headers(instance, request),
                    data=upload,
                    allow_redirects=False,
                    server_hostname=instance.host if instance.url.startswith("https") else None,
                    trace_request_ctx=progress,
                )
        except FAULTS as error:
            raise UpstreamFailed(outcome_of(error, progress)) from error
        return _checked(response, progress)


def _checked(response: aiohttp.ClientResponse, progress: Progress) -> UpstreamAnswer:
    reason = (response.reason or "").encode("utf-8", "surrogateescape")
    headers = list(response.raw_headers)
    fault = fault_of_answer(response.status, reason, headers)
    if response.version is not None and response.version.major != 1:
        fault = "not HTTP/1"
    if fault is not None:
        response.close()
        raise UpstreamFailed(Outcome(Phase.WAIT, Side.INSTANCE, Kind.GARBAGE, sent=True, detail=fault))
    return UpstreamAnswer(response.status, reason, headers, _Body(response, progress))


class _Body:
    """Reads what there is as soon as it is there; the instance is slowed down while nobody reads."""

    def __init__(self, response: aiohttp.ClientResponse, progress: Progress) -> None:
        self._response = response
        self._progress = progress

    @property
    def ended(self) -> bool:
        return self._response.content.is_eof()

    def whole(self) -> bytes | None:
        return self._response.content.read_nowait() if self.ended else None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            async with self._progress.one_read():
                chunk = await self._response.content.readany()
        except FAULTS as error:
            self._response.close()
            raise UpstreamBroke(outcome_of(error, self._progress)) from error
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def release(self) -> None:
        if self.ended:
            self._response.release()
        else:
            self._response.close()


async def _connected(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    """aiohttp has a connection and is about to write on it."""
    progress: Progress = context.trace_request_ctx
    progress.connected()


def _url(instance: Instance, target: str) -> URL:
    """Connects to the checked literal, never to a name. The whole target stands in the path, since yarl
    would drop the `?` of an empty query; `encoded` keeps it byte for byte."""
    ip = f"[{instance.ip}]" if ":" in instance.ip else instance.ip
    scheme = "https" if instance.url.startswith("https") else "http"
    return URL.build(scheme=scheme, authority=f"{ip}:{instance.port}", path=target, encoded=True)


def _headers(instance: Instance, request: OutboundRequest) -> list[tuple[str, str]]:
    # aiohttp would drop `Cookie` when `cookie` follows: names of one header get their first spelling.
    spelling: dict[str, str] = {}
    pairs = []
    for raw_name, value in request.headers:
        name = raw_name.decode()
        pairs.append((spelling.setdefault(name.lower(), name), value.decode()))
    if "host" not in spelling:
        pairs.insert(0, ("Host", instance.authority))
    if isinstance(request.body, bytes):
        pairs = [(name, value) for name, value in pairs if name.lower() != "content-length"]
        if request.body:
            pairs.append(("Content-Length", str(len(request.body))))
    return pairs


def _fault_of(request: OutboundRequest) -> str | None:
    """What aiohttp would refuse, or change silently: it drops bytes that are not UTF-8."""
    if request.method != request.method.upper() or request.method == "CONNECT":
        return "method"
    if _TARGET.fullmatch(request.target) is None:
        return "target"
    try:
        b"".join(part for pair in request.headers for part in pair).decode()
    except UnicodeDecodeError:
        return "header that is not UTF-8"
    if values_of(request.headers, b"transfer-encoding"):
        return "transfer-encoding"
    return fault_of_request(request.headers)


def outcome_of(error: Exception, progress: Progress) -> Outcome:
    """Translates a fault of the wire: how far the try had got, whose fault, and what kind."""
    phase, side, sent = progress.phase, Side.INSTANCE, progress.sent
    if progress.client_fault is not None:
        detail = type(progress.client_fault).__name__
        return Outcome(phase, Side.CLIENT, Kind.RESET, sent, detail)
    number = getattr(error, "errno", None)
    detail = errno.errorcode.get(number, type(error).__name__) if number else type(error).__name__
    match error:
        case TimeoutError():
            return Outcome(phase, progress.late_side, Kind.TIMEOUT, sent)
        case aiohttp.ClientSSLError() | aiohttp.ClientResponseError() | aiohttp.http.HttpProcessingError():
            kind = Kind.GARBAGE
        case OSError() if is_out_of_resources(error):
            side, kind = Side.GATEWAY, Kind.REFUSED
        case OSError() if number == errno.ETIMEDOUT:
            kind = Kind.TIMEOUT
        case OSError() if phase is Phase.CONNECT:
            kind = Kind.REFUSED
        case ValueError():
            side, kind = Side.CLIENT, Kind.GARBAGE
        case _:
            kind = Kind.RESET
    return Outcome(phase, side, kind, sent, detail)
