import asyncio
import random
import socket
import time
from typing import Any

import pytest

from registry.backends.base import Registration
from registry.model import Denied, InstanceId, RegistryError, ServiceName, Unreachable
from registry.runtime import registered as registered_module
from registry.runtime.registered import Registered
from tests.registry.told_registrar import ToldRegistrar
from tests.registry.waiting import until
from tests.servers import free_ports

ONE = InstanceId("web-1")


@pytest.fixture
def registrar() -> ToldRegistrar:
    return ToldRegistrar()


def registered(
    registrar: ToldRegistrar, *, listening_at: tuple[str, int] | None = None, **more: Any
) -> Registered:
    registration = Registration(ONE, ServiceName("web"), 9001, **({"ttl_s": 0.06} | more))
    return Registered(registrar, registration, listening_at=listening_at, rng=random.Random(7))


def beats(registrar: ToldRegistrar) -> int:
    return registrar.calls.count("heartbeat passing")


async def test_it_registers_beats_and_deregisters(registrar: ToldRegistrar) -> None:
    async with registered(registrar, meta={"zone": "a"}) as one:
        assert one.registered
        assert registrar.there[ONE].meta["zone"] == "a"
        await until(lambda: beats(registrar) >= 3)
        assert repr(one) == "<Registered web-1: registered>"
    assert registrar.there == {}
    assert registrar.calls[0] == "register"
    assert registrar.calls[-1] == "deregister"
    assert registrar.calls.count("register") == 1


async def test_what_was_handed_over_stays_registered_and_is_kept_by_somebody_else(
    registrar: ToldRegistrar,
) -> None:
    async with registered(registrar) as one:
        await one.hand_over()
        kept = list(registrar.calls)
    assert ONE in registrar.there
    assert registrar.calls == kept, "neither a beat nor a deregistration"


async def test_the_incarnation_is_the_start_in_unix_milliseconds_unless_one_is_given(
    registrar: ToldRegistrar,
) -> None:
    async with registered(registrar):
        started_s = int(registrar.there[ONE].meta["incarnation"]) / 1000
        assert abs(started_s - time.time_ns() / 1e9) < 60
        first = registrar.there[ONE].meta
        registrar.forgets()
        await until(lambda: ONE in registrar.there)
        assert registrar.there[ONE].meta == first, "the same process is the same incarnation"
    async with registered(registrar, meta={"incarnation": "7"}):
        assert registrar.there[ONE].meta["incarnation"] == "7"


async def test_what_the_agent_has_forgotten_is_registered_again(registrar: ToldRegistrar) -> None:
    async with registered(registrar) as one:
        for _ in range(3):
            registrar.forgets()
            await until(lambda: ONE in registrar.there)
        await until(lambda: one.registered)


@pytest.mark.parametrize("trouble", [Unreachable("down"), Denied("no"), TimeoutError(), ZeroDivisionError()])
async def test_whatever_the_trouble_it_goes_on_trying(registrar: ToldRegistrar, trouble: Exception) -> None:
    met = 0

    def troubled() -> Exception:
        nonlocal met
        met += 1
        return trouble

    registrar.trouble = troubled
    async with registered(registrar) as one:
        reason = trouble.reason if isinstance(trouble, RegistryError) else type(trouble).__name__
        assert repr(one) == f"<Registered web-1: not registered ({reason})>"
        registrar.trouble = None
        await until(lambda: one.registered)
        registrar.trouble, met = troubled, 0
        await until(lambda: met >= 2)
        registrar.trouble = None
        before = beats(registrar)
        await until(lambda: beats(registrar) > before)
    assert registrar.there == {}


async def test_an_agent_that_hangs_keeps_nobody_from_starting_or_stopping(
    registrar: ToldRegistrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registered_module, "ENTER_S", 0.05)
    monkeypatch.setattr(registered_module, "CALL_S", (0.05, 0.1))
    registrar.hangs()
    started = time.monotonic()
    async with registered(registrar) as one:
        assert not one.registered
    assert time.monotonic() - started < 5.0
    assert registrar.waiting == 0


async def test_trouble_while_deregistering_is_not_the_programs_trouble(registrar: ToldRegistrar) -> None:
    async with registered(registrar):
        registrar.trouble = lambda: Unreachable("down")
    assert ONE in registrar.there


async def test_withdrawing_is_for_good_and_may_be_repeated(registrar: ToldRegistrar) -> None:
    async with registered(registrar) as one:
        await asyncio.gather(one.withdraw(), one.withdraw())
        done = list(registrar.calls)
        assert done.count("deregister") == 1
        assert not one.registered
        await asyncio.sleep(0.1)  # several heartbeats long: that nothing happens has no event
        assert registrar.calls == done


async def test_a_registration_under_way_does_not_come_after_the_deregistration(
    registrar: ToldRegistrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registered_module, "ENTER_S", 0.01)
    registrar.hangs()
    async with registered(registrar, ttl_s=30.0) as one:
        await until(lambda: registrar.waiting == 1)
        leaving = asyncio.get_running_loop().create_task(one.withdraw())
        await asyncio.sleep(0)
        registrar.answers_again()
        await leaving
    assert registrar.calls == ["register", "deregister"]


async def test_a_withdrawal_that_was_cancelled_is_made_good_at_the_exit(registrar: ToldRegistrar) -> None:
    async with registered(registrar, ttl_s=30.0) as one:
        registrar.hangs()
        leaving = asyncio.get_running_loop().create_task(one.withdraw())
        await until(lambda: registrar.waiting == 1)
        leaving.cancel()
        await asyncio.wait([leaving])
        registrar.answers_again()
    assert registrar.there == {}


async def test_without_a_ttl_the_agent_is_asked_whether_it_remembers(
    registrar: ToldRegistrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registered_module, "STILL_THERE_EVERY_S", 0.02)
    async with registered(registrar, check_http="http://127.0.0.1:1/"):
        registrar.forgets()
        await until(lambda: ONE in registrar.there)


async def test_it_registers_once_somebody_listens(registrar: ToldRegistrar) -> None:
    (port,) = free_ports(1)
    async with registered(registrar, listening_at=("127.0.0.1", port)) as one:
        await asyncio.sleep(0.1)  # that nothing is registered yet has no event
        assert registrar.calls == []
        with socket.create_server(("127.0.0.1", port)):
            await until(lambda: one.registered)


async def test_where_nobody_listens_it_registers_after_a_while(
    registrar: ToldRegistrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registered_module, "LISTEN_S", 0.05)
    async with registered(registrar, listening_at=("127.0.0.1", free_ports(1)[0])) as one:
        await until(lambda: one.registered)


async def test_who_leaves_before_anybody_listens_was_never_registered(registrar: ToldRegistrar) -> None:
    async with registered(registrar, listening_at=("127.0.0.1", free_ports(1)[0])):
        pass
    assert registrar.calls == []
