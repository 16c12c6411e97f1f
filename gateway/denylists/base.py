"""What a denylist does: it is told of revoked tokens, and asked of each token that is shown."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class DenylistSettings(Protocol):
    """What is needed of `RevocationSettings`."""

    @property
    def refresh_s(self) -> float: ...
    @property
    def max_tokens(self) -> int: ...


class Denylist(Protocol):
    async def add(self, token_id: str, expires_at: float) -> bool:
        """Revokes a token until it expires (Unix seconds): here at once, before anything is waited for.

        Returns whether the other gateways learn of it now; if not, they do when their store is back.
        """
        ...

    def holds(self, token_id: str, /) -> bool:
        """Whether it is revoked, as far as is known here."""
        ...

    @property
    def healthy(self) -> bool:
        """Whether what is known here is what is known anywhere."""
        ...

    def follow(self, settings: DenylistSettings) -> None:
        """Takes new settings; what is revoked stays revoked."""
        ...


class OpenDenylist(Protocol):
    """The type of every module's `open_denylist`."""

    def __call__(self, url: str, settings: DenylistSettings) -> AbstractAsyncContextManager[Denylist]: ...
