"""After thousands of calls that went wrong at either end, everything that they had held is given back."""

import asyncio
import gc
import logging
import os
from random import Random
from typing import Any

import pytest
import uvloop

from tests.balancer.origins import origin
from tests.conformance.gateways import open_gateway
from tests.conformance.mischief import INSTANCE, Client, obeys
from tests.gateway.runtime.gateways import ask, eventually, until_idle

CALLS = {"uvloop": 4_000, "asyncio": 1_000}
"""uvloop is the loop of `quaymaster serve`."""
AT_ONCE = 200
TIMEOUTS = {"connect_s": 2, "first_byte_s": 0.1, "idle_s": 0.1, "total_s": 5}
CONNECTIONS = {"idle_s": 0.2}
"""So that those which are kept are soon closed, and what is left at the end is nothing at all."""


def held() -> tuple[int, int]:
    """Tasks and file descriptors of this process."""
    return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))


async def test_calls_that_go_wrong_leave_nothing_behind_and_no_answer_goes_astray(
    rng: Random, caplog: pytest.LogCaptureFixture
) -> None:
    calls = CALLS["uvloop" if isinstance(asyncio.get_running_loop(), uvloop.Loop) else "asyncio"]
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    async with origin(obeys) as instance:
        service = {"instances": [instance.instance.url], "connections": CONNECTIONS}
        async with open_gateway(
            instance.instance, services={"auth": service}, route={"timeouts": TIMEOUTS}
        ) as running:
            assert (await ask(running.port, "GET", "/answers/whole/first")).status == 200
            await until_idle(running.port)
            await eventually(lambda: _equals(0, instance.open_connections))
            before = held()

            client = Client(running.port, rng)
            async with asyncio.TaskGroup() as callers:
                for _ in range(AT_ONCE):
                    callers.create_task(client.call(calls // AT_ONCE))

            await until_idle(running.port)
            await eventually(lambda: _equals(0, instance.open_connections))
            gc.collect()
            await eventually(lambda: _at_most(before))
    assert client.heard["wrong"] == 0, "somebody got an answer to another's request"
    assert client.heard.total() == calls
    assert {"200", "502", "504", "gone", "cut"} <= set(client.heard)
    assert {head.split(b"/")[1].decode() for head in instance.heads} == set(INSTANCE)
    assert unhandled == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def _equals(wanted: int, found: int) -> bool:
    return found == wanted


async def _at_most(before: tuple[int, int]) -> bool:
    tasks, descriptors = held()
    return tasks <= before[0] and descriptors <= before[1]
