"""Advice reaches the clients that are there when it changes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from handlers.model import PoolSettings
from tests.handlers.runtime.clients import Harbour, first, harbour
from tests.handlers.runtime.gateways import Gateway, gateway, until


@pytest.fixture
async def good() -> AsyncIterator[Gateway]:
    async with gateway(PoolSettings(capacity=100, seats_per_user=100)) as made:
        yield made


def advice(last_ms: int) -> dict[str, Any]:
    return {"first_ms": [0, last_ms], "base_ms": 1000, "cap_ms": 30000, "jitter": "full"}


async def hears(made: Gateway, quay: Harbour, last_ms: int) -> None:
    """The handler process is told this advice."""
    made.order({"reconnect": advice(last_ms)})
    assert await quay.node._link.report()


async def test_clients_hear_of_advice_that_has_changed_much(good: Gateway) -> None:
    good.order({"reconnect": advice(1000)})
    async with harbour(good) as quay:
        sockets = [await quay.connect(await good.ticket(uid)) for uid in "abc"]
        for socket in sockets:
            assert await first(socket) == "welcome"
        for last_ms in (1500, 2000, 3999, 999):
            await hears(good, quay, last_ms)
        for socket in sockets:
            # 1500 and 3999 are not worth a frame; of two in a row, the later may be all that is told.
            told = [await socket.receive_json(timeout=5)]
            if told[-1]["reconnect"] == advice(2000):
                told.append(await socket.receive_json(timeout=5))
            assert told[-1] == {"type": "advice", "reconnect": advice(999)}
            await socket.close()


async def test_a_client_that_comes_later_is_not_told_what_it_knows(good: Gateway) -> None:
    good.order({"reconnect": advice(1000)})
    async with harbour(good) as quay:
        await hears(good, quay, 9000)
        async with await quay.connect(await good.ticket("ann")) as socket:
            assert await first(socket) == "welcome"
            await until(lambda: quay.node.reconnect == advice(9000))
            await socket.send_str("x")
            assert await socket.receive_str(timeout=5) == "ann: x"
