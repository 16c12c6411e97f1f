"""A registrar over several addresses of one registry: a registration lives where it was taken.

So it moves like this: an address that does not answer is left (registry/failover.py), the next one does not
know the instance and says so, and whoever keeps it registered registers it there. The one that was left is
told to forget it as soon as it can be.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from registry.backends.base import Registrar, Registration
from registry.failover import AddressLedger
from registry.model import Health, InstanceId, RegistryError, Unreachable

FORGET_S = 1.0
"""The deadline of asking addresses that were left to forget an instance."""


class MovingRegistrar:
    """A `Registrar`; one of `registrars` for each address."""

    def __init__(self, registrars: Sequence[Registrar], addresses: AddressLedger) -> None:
        self._registrars = registrars
        self._addresses = addresses
        self._at: dict[InstanceId, set[int]] = {}
        """Which addresses may know an instance from us."""

    async def register(self, registration: Registration) -> None:
        address = self._addresses.current
        self._at.setdefault(registration.id, set()).add(address)
        with self._asking(address) as registrar:
            await registrar.register(registration)
        await self._forgotten_elsewhere(registration.id, address)

    async def deregister(self, instance: InstanceId) -> None:
        """At the address of the moment, and as far as it goes at those that may still know it."""
        address = self._addresses.current
        with self._asking(address) as registrar:
            await registrar.deregister(instance)
        await self._forgotten_at(self._at.pop(instance, set()) - {address}, instance)

    async def heartbeat(self, instance: InstanceId, health: Health, note: str = "") -> None:
        address = self._addresses.current
        with self._asking(address) as registrar:
            await registrar.heartbeat(instance, health, note)
        await self._forgotten_elsewhere(instance, address)

    async def maintenance(self, instance: InstanceId, *, enable: bool, reason: str = "") -> None:
        with self._asking(self._addresses.current) as registrar:
            await registrar.maintenance(instance, enable=enable, reason=reason)

    @contextmanager
    def _asking(self, address: int) -> Iterator[Registrar]:
        """The registrar of that address, and a look at how it goes."""
        try:
            yield self._registrars[address]
        except (Unreachable, asyncio.CancelledError):
            # Callers with less patience than ours cancel: that agent hung, too.
            self._addresses.failed(address)
            raise
        except RegistryError:
            self._addresses.answered(address)
            raise
        self._addresses.answered(address)

    async def _forgotten_elsewhere(self, instance: InstanceId, address: int) -> None:
        """That address has it, so the ones that were left on the way may forget it."""
        others = self._at.get(instance, set()) - {address}
        reachable = {other for other in others if not self._addresses.is_failing(other)}
        if reachable:
            self._at[instance] -= await self._forgotten_at(reachable, instance)

    async def _forgotten_at(self, addresses: Collection[int], instance: InstanceId) -> set[int]:
        """Those that did it in time. The others forget what nobody feeds, after a while."""
        done: set[int] = set()

        async def forget(address: int) -> None:
            try:
                async with asyncio.timeout(FORGET_S):
                    with self._asking(address) as registrar:
                        await registrar.deregister(instance)
            except (RegistryError, TimeoutError):
                return
            done.add(address)

        await asyncio.gather(*map(forget, addresses))
        return done
