"""How new a key set is, how often its issuer is asked, and what stays while it does not answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.runtime.jwks_client import NotFetched
from gateway.runtime.jwks_keeper import FIRST_RETRY_S, MIN_GAP_S, RETRY_S, JwksKeeper
from gateway.token_keys import KeySet
from registry.runtime.tasks import Tasks
from tests.balancer.origins import until
from tests.gateway.tokens import P256, jwk

URL = "http://issuer.example/keys"
REFRESH_S = 300.0


class Issuer:
    """What the keeper fetches from: says `document`, or nothing; a fetch waits while `slow`."""

    def __init__(self) -> None:
        self.document: bytes | None = keys("a")
        self.fetched = 0
        self.go = asyncio.Event()
        self.go.set()

    async def fetch(self, url: str) -> bytes:
        assert url == URL
        self.fetched += 1
        await self.go.wait()
        if self.document is None:
            raise NotFetched("is down")
        return self.document


class Rig:
    def __init__(self) -> None:
        self.now = 1000.0
        self.issuer = Issuer()
        self.sets: list[KeySet] = []
        self.slept: list[float] = []
        self.wake = asyncio.Event()
        self.died: list[BaseException] = []
        self.tasks = Tasks(lambda _, error: self.died.append(error))
        self.keeper = JwksKeeper(
            self.issuer.fetch, URL, ["ES256"], REFRESH_S, self.sets.append, self.tasks,
            clock=lambda: self.now, sleep=self._sleep,
        )  # fmt: skip

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.wake.wait()
        self.wake.clear()

    @property
    def kids(self) -> list[list[Any]]:
        return [[key.kid for key in one.keys] for one in self.sets]

    async def pass_time(self, seconds: float) -> None:
        """Lets the keeper's pause be over; returns when it has begun the next."""
        self.now += seconds
        pauses = len(self.slept)
        self.wake.set()
        await until(lambda: len(self.slept) > pauses)


def keys(*kids: str) -> bytes:
    return json.dumps({"keys": [jwk(P256, "ES256", kid=kid) for kid in kids]}).encode()


@asynccontextmanager
async def rig(document: bytes | None = keys("a")) -> AsyncIterator[Rig]:
    made = Rig()
    made.issuer.document = document
    made.keeper.start(has_keys=False)
    await until(lambda: made.slept)
    try:
        yield made
    finally:
        made.keeper.stop()
        await made.tasks.close()
        assert not made.died


async def test_it_is_fetched_at_the_start_and_anew_in_time() -> None:
    async with rig() as it:
        it.issuer.document = keys("a", "b")
        await it.pass_time(REFRESH_S)
        assert it.kids == [["a"], ["a", "b"]]
        assert it.slept == [REFRESH_S, REFRESH_S]


async def test_the_last_good_set_stays_while_the_issuer_is_down_or_talks_nonsense() -> None:
    async with rig() as it:
        for document in (None, b"<html>", b'{"keys": []}'):
            it.issuer.document = document
            await it.pass_time(REFRESH_S)
        assert it.kids == [["a"]]
        assert it.slept[1:] == [RETRY_S] * 3
        it.issuer.document = keys("c")
        await it.pass_time(RETRY_S)
        assert it.kids == [["a"], ["c"]]
        assert it.slept[-1] == REFRESH_S


async def test_without_any_keys_it_is_tried_more_often() -> None:
    async with rig(None) as it:
        await it.pass_time(FIRST_RETRY_S)
        assert it.slept == [FIRST_RETRY_S] * 2
        assert "failing" in repr(it.keeper)


async def test_unknown_keys_make_one_fetch_in_thirty_seconds() -> None:
    async with rig() as it:
        for _ in range(5):
            await it.keeper.look_again()
        assert it.issuer.fetched == 1, "it was fetched a moment ago"
        it.now += MIN_GAP_S
        it.issuer.document = keys("b")
        await asyncio.gather(*(it.keeper.look_again() for _ in range(20)))
        assert it.issuer.fetched == 2, "one for all of them"
        assert it.kids[-1] == ["b"], "which is here when they go on"
        await it.keeper.look_again()
        assert it.issuer.fetched == 2


async def test_a_fetch_that_fails_counts_too() -> None:
    async with rig() as it:
        it.now += MIN_GAP_S
        it.issuer.document = None
        for _ in range(3):
            await it.keeper.look_again()
        assert it.issuer.fetched == 2


async def test_whoever_gives_up_takes_nobodys_keys_away() -> None:
    async with rig() as it:
        it.now += MIN_GAP_S
        it.issuer.go.clear()
        it.issuer.document = keys("b")
        async with asyncio.TaskGroup() as group:
            impatient = group.create_task(it.keeper.look_again())
            patient = group.create_task(it.keeper.look_again())
            await until(lambda: it.issuer.fetched == 2)
            impatient.cancel()
            it.issuer.go.set()
            await patient
        assert it.kids[-1] == ["b"]


async def test_the_first_fetch_can_be_waited_for() -> None:
    it = Rig()
    await it.keeper.first()  # nothing is under way
    it.issuer.go.clear()
    it.keeper.start(has_keys=False)
    await until(lambda: it.issuer.fetched)
    async with asyncio.TaskGroup() as group:
        group.create_task(it.keeper.first())
        it.issuer.go.set()
    assert it.kids == [["a"]]
    it.keeper.stop()
    await it.tasks.close()
