"""Fetches an issuer's key set: from where the settings say, and from nowhere else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from gateway.jwks import MAX_JWKS_BYTES

TIMEOUT = ClientTimeout(total=5, sock_connect=2)
HEADERS = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}


class NotFetched(Exception):
    """There is no document; the text says why."""


class JwksClient:
    """Follows no redirect, keeps no cookie, believes no proxy of the environment, unpacks nothing."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def fetch(self, url: str) -> bytes:
        """The document at `url`, in `TIMEOUT` at most. Raises `NotFetched`."""
        try:
            async with self._session.get(url, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise NotFetched(f"answers {answer.status}")
                raw = bytearray()
                async for piece in answer.content.iter_any():
                    raw += piece
                    if len(raw) > MAX_JWKS_BYTES:
                        raise NotFetched(f"is longer than {MAX_JWKS_BYTES} bytes")
                return bytes(raw)
        except (ClientError, OSError, ValueError) as error:
            raise NotFetched(str(error) or type(error).__name__) from error


@asynccontextmanager
async def opened_jwks_client() -> AsyncIterator[JwksClient]:
    """Connects when it is first used."""
    async with ClientSession(
        connector=TCPConnector(limit=4, force_close=True),
        cookie_jar=DummyCookieJar(),
        timeout=TIMEOUT,
        headers=HEADERS,
        auto_decompress=False,
        trust_env=False,
    ) as session:
        yield JwksClient(session)
