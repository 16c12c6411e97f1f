"""Brings those back to the first address who had to leave it, once it answers again."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

import structlog

from registry.failover import AddressLedger
from registry.model import RegistryError

log = structlog.get_logger()

AFTER_S = 30.0
"""Between two looks at home, give or take half: gateways that left together do not return together."""


@asynccontextmanager
async def going_home(
    ledgers: Sequence[AddressLedger],
    ask_home: Callable[[], Awaitable[bool]],
    rng: Random,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncGenerator[None, None]:
    """Looks homeward as long as it is open.

    `ask_home` says whether the first address can be asked, or raises `RegistryError`.
    """
    task = asyncio.get_running_loop().create_task(_look(ledgers, ask_home, rng, sleep), name="homeward")
    task.add_done_callback(_ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("homeward_died", error=repr(error))


async def _look(
    ledgers: Sequence[AddressLedger],
    ask_home: Callable[[], Awaitable[bool]],
    rng: Random,
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    while True:
        await sleep(AFTER_S * rng.uniform(0.5, 1.5))
        if not any(ledger.away for ledger in ledgers):
            continue
        try:
            works = await ask_home()
        except RegistryError:
            works = False
        if works:
            log.info("registry_address_returned")
            for ledger in ledgers:
                ledger.go_home()
