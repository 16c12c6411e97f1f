"""Passes reconnect advice on to connected clients, for the day on which this process dies without a word."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from handlers import control_frames
from handlers.runtime.client_socket import Session, tell_all


class Adviser:
    """Clients have advice from the gateway when they come; they are told when it has changed much since.

    `sessions` are the clients that are here. `run` is the loop; its owner runs it as a task.
    """

    def __init__(self, sessions: Callable[[], Iterable[Session]]) -> None:
        self._sessions = sessions
        self._told: Mapping[str, Any] = {}
        self._changed = asyncio.Event()

    def heard(self, reconnect: Mapping[str, Any]) -> None:
        """The advice of now, as the gateway gave it."""
        if control_frames.worth_telling(self._told, reconnect):
            self._told = reconnect
            self._changed.set()

    async def run(self) -> None:
        """Never ends by itself. What changes while clients are being told is told afterwards, once."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            sockets = [session.socket for session in self._sessions()]
            await tell_all(sockets, control_frames.advice(self._told))
