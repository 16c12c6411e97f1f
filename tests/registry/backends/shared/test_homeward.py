import asyncio
from random import Random

import structlog

from registry.backends.shared.homeward import AFTER_S, going_home
from registry.failover import AddressLedger
from registry.model import Unreachable


class Days:
    """Time passes look by look; `home` says what each look finds."""

    def __init__(self, *home: bool | Exception) -> None:
        self.home = list(home)
        self.slept: list[float] = []
        self.over = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.home:
            self.over.set()
            await asyncio.Event().wait()

    async def ask(self) -> bool:
        found = self.home.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


async def test_everybody_returns_once_home_answers() -> None:
    ledgers = [AddressLedger(2), AddressLedger(2)]
    for ledger in ledgers:
        ledger.failed(0)
    days = Days(Unreachable("nobody"), False, True)
    async with going_home(ledgers, days.ask, Random(1), sleep=days.sleep):
        await days.over.wait()
    assert [ledger.current for ledger in ledgers] == [0, 0]
    assert all(0.5 * AFTER_S <= pause <= 1.5 * AFTER_S for pause in days.slept)
    assert len(set(days.slept)) > 1


async def test_who_is_at_home_asks_nothing() -> None:
    ledger, days, looks = AddressLedger(2), Days(True), 0

    async def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 5:
            days.over.set()
            await asyncio.Event().wait()

    async with going_home([ledger], days.ask, Random(1), sleep=sleep):
        await days.over.wait()
    assert days.home == [True]


async def test_a_bug_in_looking_is_said() -> None:
    ledger = AddressLedger(2)
    ledger.failed(0)
    died = asyncio.Event()

    async def ask() -> bool:
        asyncio.get_running_loop().call_soon(died.set)
        raise ZeroDivisionError

    with structlog.testing.capture_logs() as logs:
        async with going_home([ledger], ask, Random(1), sleep=lambda _: asyncio.sleep(0)):
            await died.wait()
            await asyncio.sleep(0)
    assert [(line["event"], line["log_level"]) for line in logs] == [("homeward_died", "error")]
