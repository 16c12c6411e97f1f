"""Asks one instance how it is: by HTTP or by a connection alone.

What is avoided of aiohttp's client: redirects (an instance must not send us elsewhere), cookies and proxies
of the environment, names (the connection goes to the literal that was admitted, with the Host and the TLS
name of the registration), its hidden second try of a GET that was reset, kept connections (a dead listener
shows only to a new one), and bodies without an end.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from registry.exhaustion import is_out_of_resources
from registry.health_checks import Answer, Question, judge_answer
from registry.model import Instance

ENOUGH_BODY = 64 * 1024
"""An answer is whole when its body is, or is longer than that."""
LATE_S = 0.1
"""A deadline noticed so much later says that this process stood still, not that the instance did."""
HEADERS = {"User-Agent": "quaymaster-health-check", "Accept": "*/*", "Accept-Encoding": "identity"}


class Asking:
    """An async context manager around the one session that all questions share."""

    def __init__(
        self,
        *,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tls` reads the authorities, in a thread, when the first `https` instance is asked."""
        self._make_tls = tls
        self._clock = clock
        self._tls: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        )
        self._session._retry_connection = False  # it has no public switch
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def ask(self, question: Question) -> Answer:
        """The answer, after `timeout_s` at the latest. Raises nothing but a cancellation."""
        deadline = self._clock() + question.policy.timeout_s
        try:
            async with asyncio.timeout(question.policy.timeout_s):
                return await self._ask(question)
        except TimeoutError:
            late = self._clock() - deadline > LATE_S
            return Answer.NOT_ASKED if late else Answer.TIMEOUT

    async def _ask(self, question: Question) -> Answer:
        try:
            if question.policy.kind == "tcp":
                return await _connect(question.instance)
            return await self._get(question)
        except aiohttp.ClientSSLError:  # before its parent class: the connection was there
            return Answer.BROKEN
        except aiohttp.ClientConnectorError as error:
            return Answer.NOT_ASKED if is_out_of_resources(error) else Answer.UNREACHABLE
        except (aiohttp.ClientError, ValueError):
            return Answer.BROKEN
        except OSError as error:
            return Answer.NOT_ASKED if is_out_of_resources(error) else Answer.BROKEN

    async def _get(self, question: Question) -> Answer:
        instance, policy = question.instance, question.policy
        assert self._session is not None
        if instance.tls and self._tls is None:
            self._tls = await asyncio.to_thread(self._make_tls)
        ip = f"[{instance.ip}]" if ":" in instance.ip else instance.ip
        scheme = "https" if instance.tls else "http"
        async with self._session.get(
            URL(f"{scheme}://{ip}:{instance.port}{policy.path}", encoded=True),
            headers=HEADERS | {"Host": instance.authority},
            allow_redirects=False,
            ssl=self._tls or True,
            server_hostname=instance.host if instance.tls else None,
        ) as answer:
            size = 0
            async for part in answer.content.iter_any():
                size += len(part)
                if size > ENOUGH_BODY:
                    break
            return judge_answer(policy, instance, answer.status, answer.headers)


async def _connect(instance: Instance) -> Answer:
    try:
        _, writer = await asyncio.open_connection(instance.ip, instance.port)
    except OSError as error:
        return Answer.NOT_ASKED if is_out_of_resources(error) else Answer.UNREACHABLE
    writer.transport.abort()
    return Answer.GOOD
