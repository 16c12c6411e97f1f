"""One call for many: how it ends for those that wait."""

import asyncio

import pytest

from gateway.cache_keys import CacheKey
from gateway.runtime import flights as module
from gateway.runtime.flights import ALONE_S, Deserted, Failed, Flights, Landed, OnYourOwn
from registry.runtime.tasks import Tasks
from tests.gateway.caches.answers import ANSWER

URI, VARIANT = b"uri", b"variant"
LONG_S = 10.0


def died(name: str, error: BaseException) -> None:
    raise AssertionError(name) from error


@pytest.mark.parametrize("end", [Landed(ANSWER, VARIANT, ()), OnYourOwn(), Failed()])
async def test_all_that_wait_are_told_how_it_ended(end: Landed | OnYourOwn | Failed) -> None:
    flights = Flights()
    with flights.leading(URI, VARIANT) as flight:
        assert flights.of(URI, VARIANT) is flight
        assert flights.of(URI, b"other") is None
        waiting = asyncio.gather(*(flight.wait(LONG_S) for _ in range(3)))
        await asyncio.sleep(0)
        assert flights.waiting == 3
        flight.end(end)
        flight.end(Deserted())
        assert await waiting == [end] * 3
    assert flights.of(URI, VARIANT) is None
    assert repr(flights) == "<Flights: 0 under way, 0 waiting, 0 alone>"


async def test_who_leads_and_leaves_deserts_the_others_and_no_more() -> None:
    flights, tasks = Flights(), Tasks(died)
    begun = asyncio.Event()

    async def lead() -> None:
        with flights.leading(URI, VARIANT):
            begun.set()
            await asyncio.Event().wait()

    leader = tasks.start("lead", lead())
    await begun.wait()
    flight = flights.of(URI, VARIANT)
    assert flight is not None
    waiting = asyncio.gather(*(flight.wait(LONG_S) for _ in range(3)))
    await asyncio.sleep(0)
    leader.cancel()
    assert await waiting == [Deserted()] * 3
    await tasks.close()


async def test_one_that_waits_and_leaves_takes_nothing_from_the_others() -> None:
    flights, tasks = Flights(), Tasks(died)
    with flights.leading(URI, VARIANT) as flight:
        one, other = (tasks.start("wait", flight.wait(LONG_S)) for _ in range(2))
        await asyncio.sleep(0)
        one.cancel()
        await asyncio.sleep(0)
        flight.end(OnYourOwn())
        assert await other == OnYourOwn()
    assert one.cancelled()
    await tasks.close()


async def test_nobody_waits_for_ever() -> None:
    with Flights().leading(URI, VARIANT) as flight:
        assert await flight.wait(0.01) == OnYourOwn()


async def test_who_comes_after_a_change_does_not_wait_for_who_came_before() -> None:
    flights = Flights()
    with flights.leading(URI, VARIANT) as before:
        flights.forget(URI)
        assert flights.of(URI, VARIANT) is None
        with flights.leading(URI, VARIANT) as after:
            before.end(OnYourOwn())
            assert flights.of(URI, VARIANT) is after
        assert flights.of(URI, VARIANT) is None
    assert "0 under way" in repr(flights)


async def test_that_one_ends_does_not_end_its_successor() -> None:
    flights = Flights()
    first = flights.leading(URI, VARIANT)
    first.__enter__()
    flights.forget(URI)
    with flights.leading(URI, VARIANT) as second:
        first.__exit__(None, None, None)
        assert flights.of(URI, VARIANT) is second


def test_what_can_not_be_shared_is_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    flights = Flights(clock=lambda: now)
    assert not flights.are_parted(VARIANT)
    flights.part(VARIANT)
    now = ALONE_S - 0.1
    assert flights.are_parted(VARIANT)
    now = ALONE_S
    assert not flights.are_parted(VARIANT)
    monkeypatch.setattr(module, "MOST_REMEMBERED", 2)
    for variant in (b"1", b"2", b"3"):
        flights.part(variant)
    assert [flights.are_parted(variant) for variant in (b"1", b"2", b"3")] == [False, True, True]


def test_an_answer_is_for_those_who_asked_the_same() -> None:
    names = (b"lang",)
    german, english = (CacheKey(URI, b"", b"", {b"lang": lang}) for lang in (b"de", b"en"))
    landed = Landed(ANSWER, german.variant(names), names)
    assert landed.is_for(german)
    assert not landed.is_for(english)
