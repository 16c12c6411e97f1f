"""Two tries of one call at a time, of which the first to be answered counts.

A hedge begins when the first try is slow for its service. The loser is cancelled, which closes its
connection: what is still to come on it must not be taken for the answer to another request.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from balancer.model import Failed
from balancer.outcome import OUTRUN
from balancer.runtime.attempt import Try
from balancer.runtime.base import End

Sending = Coroutine[Any, Any, End]


class Race:
    """Who was answered first. Two answers may come in one turn of the loop: the second to ask has lost."""

    __slots__ = ("_first", "second", "winner")

    def __init__(self, first: Try) -> None:
        self._first = first
        self.second: Try | None = None
        self.winner: Try | None = None

    def is_won_by(self, this: Try) -> bool:
        if self.winner is None:
            self.winner = this
        return self.winner is this

    def is_lost_by(self, this: Try) -> bool:
        return self.winner is not None and self.winner is not this

    async def run(
        self, send: Callable[[Try], Sending], after_s: float, hedge: Callable[[], Try | None]
    ) -> End:
        """How the call ends: by the winner, or as the try failed that failed last.

        `hedge` begins the second try if there may be one; it is asked `after_s` later, unless the first one
        has ended.
        """
        try:
            async with asyncio.TaskGroup() as group:
                tries = [group.create_task(send(self._first))]
                await asyncio.wait(tries, timeout=after_s)
                if not tries[0].done() and (second := hedge()) is not None:
                    self.second = second
                    tries.append(group.create_task(send(second)))
                while (running := [t for t in tries if not t.done()]) and self.winner is None:
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in running:
                    task.cancel()
        except BaseExceptionGroup as errors:
            # A bug in one of them ends the call as it would alone.
            raise errors.exceptions[0] from None
        finally:
            # A task that was cancelled before its first step has ended nothing.
            for this in (self._first, self.second):
                if this is not None and this is not self.winner:
                    this.end(OUTRUN)
        ends = [task.result() for task in tries if not task.cancelled()]
        return next((end for end in ends if not isinstance(end, Failed)), ends[-1])
