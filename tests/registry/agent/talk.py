"""Talking to an agent as curl would: any method, any path, and the answer as it came."""

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import yarl


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def index(self) -> int:
        """The index of a read that can block."""
        return int(self.headers["x-consul-index"])


class Curl:
    """An async context manager; `base` is `http://host:port`."""

    def __init__(self, address: str) -> None:
        self.base = f"http://{address}"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """`body` is sent as JSON, or as it is when it is bytes. Percent signs in `path` stay."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        url = yarl.URL(f"{self.base}/v1/{path}", encoded=True)
        async with self._session.request(method, url, data=data, headers=headers) as response:
            found = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, await response.text(), found)

    async def get(self, path: str) -> Any:
        answer = await self("GET", path)
        assert answer.status == 200, answer.text
        return answer.json

    async def put(self, path: str, body: Any = None) -> None:
        answer = await self("PUT", path, body)
        assert answer.status == 200, answer.text
