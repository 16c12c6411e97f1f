"""Dependencies asked in the background: real questions, to servers that come and go."""

import asyncio
from collections.abc import Callable, Mapping
from random import Random

from pydantic import SecretStr
from structlog.testing import capture_logs

from gateway.health_probes import Found, ProbeState, ProbeTarget
from gateway.probes import load_probe
from gateway.probes.base import Ask
from gateway.runtime.probing import Probing
from gateway.settings import ProbeSettings
from tests.balancer.origins import Connection, never_answers, origin, refuses, until

PASSWORD = ":canary@"


async def is_a_redis(connection: Connection) -> None:
    await connection.reader.read(4096)
    await connection.say(b"+OK\r\n+PONG\r\n")
    await connection.reader.read()


def probe(port: int, timeout_s: float = 5, **more: bool) -> ProbeSettings:
    url = SecretStr(f"redis://{PASSWORD}127.0.0.1:{port}")
    return ProbeSettings.model_validate({"url": url, "interval_s": 0.02, "timeout_s": timeout_s, **more})


def probing_with(load: Callable[[str], Ask] = load_probe) -> Probing:
    return Probing(rng=Random(7), load=load)


def by_name(probing: Probing) -> Mapping[str, ProbeState]:
    return {state.name: state for state in probing.states}


async def test_before_the_first_answer_nothing_is_known_and_then_it_is() -> None:
    async with origin(is_a_redis) as there, refuses() as nobody, probing_with() as probing:
        probing.follow({"cache": probe(there.instance.port), "gone": probe(nobody.port, required=True)})
        assert [(state.name, state.up) for state in probing.states] == [("cache", None), ("gone", None)]
        await until(lambda: all(state.up is not None for state in probing.states))
        known = by_name(probing)
        assert (known["cache"].up, known["gone"].up, known["gone"].required) == (True, False, True)
        assert known["gone"].found is Found.UNREACHABLE


async def test_one_that_does_not_answer_is_given_up_in_time() -> None:
    async with origin(never_answers) as there, probing_with() as probing:
        probing.follow({"cache": probe(there.instance.port, timeout_s=0.05)})
        await until(lambda: probing.states[0].found is Found.TIMEOUT)


async def test_its_end_and_its_return_are_told_once_each_and_no_password_with_them() -> None:
    with capture_logs() as logged:
        async with origin(is_a_redis) as there, probing_with() as probing:
            probing.follow({"cache": probe(there.instance.port)})
            await until(lambda: probing.states[0].up)
            there.stop_listening()
            await until(lambda: probing.states[0].up is False)
            asked_at = probing.states[0].asked_at
            await until(lambda: probing.states[0].asked_at != asked_at)
    assert [(entry["event"], entry["probe"]) for entry in logged] == [("probe_down", "cache")]
    assert "canary" not in f"{logged} {probing!r}"


async def test_what_is_asked_no_more_is_forgotten_and_what_stays_is_kept() -> None:
    async with origin(is_a_redis) as one, origin(is_a_redis) as other, probing_with() as probing:
        kept, left = probe(one.instance.port), probe(other.instance.port)
        probing.follow({"kept": kept, "left": left, "unset": ProbeSettings(url=None)})
        await until(lambda: all(state.up for state in probing.states))
        before = by_name(probing)["kept"]
        probing.follow({"kept": kept})
        assert [state.name for state in probing.states] == ["kept"]
        assert probing.states[0].up is before.up is True
        await until(lambda: not other.open_connections)
        asked = other.connections
        await until(lambda: probing.states[0].asked_at != before.asked_at)
        assert other.connections == asked


async def test_new_settings_of_a_probe_begin_anew() -> None:
    async with origin(is_a_redis) as there, refuses() as nobody, probing_with() as probing:
        probing.follow({"cache": probe(there.instance.port)})
        await until(lambda: probing.states[0].up)
        probing.follow({"cache": probe(nobody.port)})
        assert probing.states[0].up is None
        await until(lambda: probing.states[0].up is False)


async def test_a_bug_in_a_probe_is_told_and_it_is_asked_again() -> None:
    calls: list[ProbeTarget] = []

    async def breaks_the_first_time(target: ProbeTarget) -> Found:
        calls.append(target)
        if len(calls) == 1:
            raise LookupError("a bug")
        return Found.UP

    with capture_logs() as logged:
        async with probing_with(lambda _kind: breaks_the_first_time) as probing:
            probing.follow({"cache": probe(1)})
            await until(lambda: probing.states[0].up)
    (entry,) = logged
    assert (entry["event"], "a bug" in entry["trace"]) == ("probe_died", True)


async def test_at_the_end_nothing_is_asked_any_more() -> None:
    async with origin(never_answers) as there:
        async with probing_with() as probing:
            probing.follow({"cache": probe(there.instance.port)})
            await until(lambda: there.connections)
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert not [name for name in names if name.startswith("probe")]
        assert repr(probing) == "<Probing: 0 of 1 up>"
