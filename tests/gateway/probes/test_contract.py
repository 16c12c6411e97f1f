"""What every probe promises. A new line in PROBES is tested by being there."""

import pytest

from gateway.health_probes import Found
from gateway.probes import PROBES
from tests.balancer.origins import Behaviour, Origin, never_accepts, origin, refuses, until
from tests.gateway.probes.behaviours import (
    ASKS_FOR_A_PASSWORD,
    IMPATIENCE_S,
    answers_garbage,
    answers_without_an_end,
    ask,
    hangs_up,
    never_answers,
    says,
    target,
)

WELL = {
    "http": b"HTTP/1.1 204 No Content\r\n\r\n",
    "postgres": ASKS_FOR_A_PASSWORD,
    "redis": b"+PONG\r\n",
    "tcp": b"",
}
CONTENT_WITH_A_CONNECTION = {"tcp"}


@pytest.fixture(params=sorted(PROBES))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def test_one_that_is_well_is_up(kind: str) -> None:
    async with origin(says(WELL[kind])) as there:
        assert await ask(target(kind, there.instance.port)) is Found.UP


async def test_nobody_there_is_unreachable(kind: str) -> None:
    async with refuses() as nobody:
        assert await ask(target(kind, nobody.port)) is Found.UNREACHABLE


async def test_a_full_backlog_is_a_timeout(kind: str) -> None:
    async with never_accepts() as full:
        assert await ask(target(kind, full.port), IMPATIENCE_S) is Found.TIMEOUT


async def test_silence_is_a_timeout(kind: str) -> None:
    async with origin(never_answers) as there:
        expected = Found.UP if kind in CONTENT_WITH_A_CONNECTION else Found.TIMEOUT
        assert await ask(target(kind, there.instance.port), IMPATIENCE_S) is expected


@pytest.mark.parametrize("fault", [answers_garbage, answers_without_an_end, hangs_up])
async def test_what_no_such_server_says_is_no_good_answer(kind: str, fault: Behaviour) -> None:
    async with origin(fault) as there:
        expected = Found.UP if kind in CONTENT_WITH_A_CONNECTION else Found.BAD_ANSWER
        assert await ask(target(kind, there.instance.port)) is expected


async def test_connections_do_not_stay(kind: str) -> None:
    async with origin(says(WELL[kind])) as there:
        for _ in range(3):
            await ask(target(kind, there.instance.port))
        async with origin(never_answers) as silent:
            await ask(target(kind, silent.instance.port), IMPATIENCE_S)
            await _until_closed(silent)
        await _until_closed(there)


async def _until_closed(there: Origin) -> None:
    await until(lambda: there.connections and not there.open_connections)
