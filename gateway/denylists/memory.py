"""Revoked tokens in this process: right for one gateway, and forgotten with it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.denylists.base import Denylist, DenylistSettings
from gateway.revocation import RevokedTokens
from registry.runtime.clock import unix_now


class MemoryDenylist:
    healthy = True

    def __init__(self, settings: DenylistSettings, clock: Callable[[], float] = unix_now) -> None:
        self._revoked = RevokedTokens(settings.max_tokens)
        self.holds = self._revoked.holds
        self._clock = clock

    async def add(self, token_id: str, expires_at: float) -> bool:
        self._revoked.add(token_id, expires_at, self._clock())
        return True

    def follow(self, settings: DenylistSettings) -> None:
        self._revoked.most = settings.max_tokens
        self._revoked.tidy(self._clock())

    def __repr__(self) -> str:
        return f"<MemoryDenylist: {len(self._revoked)} tokens>"


@asynccontextmanager
async def open_denylist(url: str, settings: DenylistSettings) -> AsyncIterator[Denylist]:
    """An empty one. `url` says where shared stores are; nothing is shared here."""
    del url
    yield MemoryDenylist(settings)
