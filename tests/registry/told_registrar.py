"""A registry in memory that takes registrations, and has every bad day a test wants."""

import asyncio
from collections.abc import Callable

from registry.backends.base import Registration
from registry.model import Health, InstanceId, NotRegistered


class ToldRegistrar:
    """A `Registrar`. `calls` is what it was asked, in the order in which it was done."""

    def __init__(self) -> None:
        self.there: dict[InstanceId, Registration] = {}
        self.calls: list[str] = []
        self.trouble: Callable[[], Exception] | None = None
        """Makes what every call raises, while it is set."""
        self._may_answer = asyncio.Event()
        self._may_answer.set()
        self.waiting = 0

    def hangs(self) -> None:
        self._may_answer.clear()

    def answers_again(self) -> None:
        self._may_answer.set()

    def forgets(self) -> None:
        self.there.clear()

    async def _answer(self, call: str) -> None:
        self.waiting += 1
        try:
            await self._may_answer.wait()
        finally:
            self.waiting -= 1
        if self.trouble is not None:
            raise self.trouble()
        self.calls.append(call)

    async def register(self, registration: Registration) -> None:
        await self._answer("register")
        self.there[registration.id] = registration

    async def deregister(self, instance: InstanceId) -> None:
        await self._answer("deregister")
        self.there.pop(instance, None)

    async def heartbeat(self, instance: InstanceId, health: Health, note: str = "") -> None:
        if instance not in self.there and self.trouble is None:
            raise NotRegistered(instance)
        await self._answer(f"heartbeat {health.value}")

    async def maintenance(self, instance: InstanceId, *, enable: bool, reason: str = "") -> None:
        await self._answer("maintenance")
