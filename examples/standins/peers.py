"""One service asks another: the gateway says where an instance is, the call goes straight there."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from examples.standins.service import KEY_HEADER, Refusal, Surroundings
from registry.backends.shared.session import read_text

LARGEST_ANSWER = 64 * 1024
TIMEOUT = aiohttp.ClientTimeout(total=5.0, sock_connect=1.0)


class Peers:
    """The other services. Serves from when `lifetime`, for `app.cleanup_ctx`, has begun."""

    def __init__(self, given: Surroundings) -> None:
        self._gateway = given.gateway.rstrip("/")
        self._headers = {KEY_HEADER: given.key} if given.key else {}
        self._session: aiohttp.ClientSession | None = None

    async def lifetime(self, _: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(
            timeout=TIMEOUT, headers=self._headers, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as self._session:
            yield

    async def ask(
        self, method: str, service: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """What the service answers. Raises `Refusal`: the service's own, or 503 when nobody answers."""
        found = await self._call("GET", f"{self._gateway}/get_service_instance?service_name={service}")
        return await self._call(method, found["instance"]["url"] + path, body)

    async def _call(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        assert self._session is not None
        try:
            async with self._session.request(method, url, json=body, allow_redirects=False) as response:
                said = orjson.loads(await read_text(response, LARGEST_ANSWER))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Refusal(503, "a service that this needs does not answer") from error
        if not isinstance(said, dict) or response.status >= 500:
            raise Refusal(503, "a service that this needs does not answer")
        if response.status >= 400:
            raise Refusal(response.status, str(said.get("message")))
        return said
