"""What a rate limiter does: one decision over all rules of a request, all or nothing."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from gateway.windows import Rule, Verdict

__all__ = ["Limiter", "OpenLimiter", "Rule", "Verdict"]


class Limiter(Protocol):
    async def hit(self, rules: Sequence[Rule]) -> Verdict | None:
        """Counts one request against every rule if all allow it, else against none. `None`: no rules.

        While a shared store does not answer, the verdict is `degraded`: a share of the limit is allowed.
        """
        ...

    def refusal(self, rules: Sequence[Rule]) -> Verdict | None:
        """What `hit` would refuse with, as far as that is known here without waiting; nothing is counted."""
        ...


class OpenLimiter(Protocol):
    """The type of every module's `open_limiter`."""

    def __call__(self, url: str) -> AbstractAsyncContextManager[Limiter]: ...
