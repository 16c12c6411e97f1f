"""Background tasks with an owner: kept by a reference, named, and their death is noticed.

A bare `asyncio.create_task` can be garbage-collected while it runs, and its exception is reported
only when nobody needs it any more. Every task of this project belongs to one `Tasks`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

Died = Callable[[str, BaseException], None]


class Tasks:
    """Owns tasks. `died(name, error)` is called when one ends by an exception other than cancellation."""

    def __init__(self, died: Died) -> None:
        self._died = died
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs `work` until it ends, is cancelled, or `close` is called."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._died(task.get_name(), error)

    async def close(self) -> None:
        """Cancels what still runs and waits for it."""
        running = list(self._tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def __repr__(self) -> str:
        return f"<Tasks: {', '.join(sorted(t.get_name() for t in self._tasks)) or 'none'}>"
