"""Waiting for one's turn: for a place among the calls of a service, or for an instance with room.

Who is cancelled while it waits, in the very turn in which it was woken too, leaves nothing behind.
"""

import asyncio

from balancer.concurrency import ConcurrencyLedger
from balancer.model import Subset


class Turn:
    """One waiter, woken once."""

    __slots__ = ("_woken", "subset")

    def __init__(self, subset: Subset | None = None) -> None:
        self.subset = subset
        self._woken = asyncio.get_running_loop().create_future()

    def wake(self) -> None:
        if not self._woken.done():
            self._woken.set_result(None)

    async def come(self, patience_s: float) -> None:
        """Returns when it has been woken. Raises `TimeoutError`."""
        async with asyncio.timeout(patience_s):
            await self._woken


async def place_in(places: ConcurrencyLedger, patience_s: float) -> bool:
    """Waits for a place, which whoever called then has to `leave`. False: the line is full, or too slow."""
    turn = Turn()
    if not places.line_up(turn):
        return False
    try:
        await turn.come(patience_s)
    except BaseException as error:
        if not places.step_out(turn):
            # A place was handed over in the same turn in which it was given up.
            places.leave()
        if isinstance(error, TimeoutError):
            return False
        raise
    return True


async def room_at_an_instance(
    places: ConcurrencyLedger, patience_s: float, *, first: bool, subset: Subset | None = None
) -> Turn | None:
    """Waits until called to look for an instance; whoever was says `looked` then, by its turn."""
    turn = Turn(subset)
    if not places.line_up_for_instance(turn, first=first):
        return None
    try:
        await turn.come(patience_s)
    except BaseException as error:
        if not places.step_out_for_instance(turn):
            places.looked(turn, again=False)
        if isinstance(error, TimeoutError):
            return None
        raise
    return turn
