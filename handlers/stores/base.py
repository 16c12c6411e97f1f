"""What a seat store does. One object serves one pool; all methods are atomic towards each other.

Raises `StoreUnreachable` and nothing else when the store can't be asked.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from handlers.model import (
    Decision,
    DrainOrder,
    Epoch,
    HandlerId,
    HandlerState,
    Hello,
    Jti,
    Known,
    Located,
    PoolSettings,
    Report,
    ReportRefused,
    Seat,
    SeatRefused,
    SeatRequest,
    Uid,
)


class StoreUnreachable(Exception):
    """The store did not answer, or not in time."""


class Store(Protocol):
    async def sync(self, index: int, handlers: Iterable[Known]) -> None:
        """The registry's view of the pool, whole. Ignored unless `index` is newer than the last."""
        ...

    async def alloc(self, request: SeatRequest) -> Seat | SeatRefused:
        """Reserves a seat at the least loaded eligible handler."""
        ...

    async def batch_alloc(self, requests: Sequence[SeatRequest]) -> tuple[Seat | SeatRefused, ...]:
        """One seat after the other in one atomic step; an answer for each request, in their order."""
        ...

    async def cancel(self, jti: Jti) -> bool:
        """Gives an unconfirmed seat back. False if there is none (any more)."""
        ...

    async def hello(self, hello: Hello) -> ReportRefused | None:
        """A handler process (re)introduces itself; a new epoch voids every older seat there."""
        ...

    async def report(self, report: Report) -> DrainOrder | ReportRefused | None:
        """Confirmations, releases and heartbeat in one. Answers what is wanted of a draining handler."""
        ...

    async def admit_late(self, handler: HandlerId, epoch: Epoch, jti: Jti) -> bool:
        """Whether a ticket whose guarantee has passed still finds room; it then holds a seat again."""
        ...

    async def locate(self, uid: Uid) -> Located | None: ...

    async def seated(self, handler: HandlerId, uids: Collection[Uid]) -> frozenset[Uid]:
        """Who of these users has a seat at that handler, used or not. Of a user with very many seats the
        last ones are looked at."""
        ...

    async def drain(self, handler: HandlerId, order: DrainOrder | None) -> bool:
        """The handler gets nobody new, and is to be empty in `order.remaining_s`; `None` takes that back.

        Kept with the incarnation: its next process is up again. False for a handler nobody knows.
        """
        ...

    async def sweep(self) -> int:
        """Expires what has run out; returns how many seats that freed. Allocation never depends on it."""
        ...

    async def decision(self, sequence: int) -> Decision | None:
        """Why a seat was given where it was; of the last 1000."""
        ...

    def counts(self) -> Mapping[str, int]:
        """What this process's calls have settled, ever growing: seats confirmed, expired,
        cancelled, closed, and tickets let in late. The sum over all gateways is the pool's."""
        ...

    async def states(self) -> tuple[HandlerState, ...]:
        """Every handler as it stands, by id. Of a large pool, not all as of the same moment."""
        ...


class OpenStore(Protocol):
    """The type of every module's `open_store`. `clock` replaces the store's own clock (in tests)."""

    def __call__(
        self, pool: PoolSettings, url: str, *, clock: Callable[[], float] | None = None
    ) -> AbstractAsyncContextManager[Store]: ...
