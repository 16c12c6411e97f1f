import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from registry.health_checks import Answer, HealthCheckPolicy, Question
from registry.model import Instance, InstanceId, ServiceName, Verdict
from registry.runtime import checker as checker_module
from registry.runtime.checker import Checker
from tests.registry.waiting import until

WEB, OTHER = ServiceName("web"), ServiceName("other")
POLICY = HealthCheckPolicy(interval_s=0.01, up=2, down=2)


def instance(name: str, service: ServiceName = WEB, port: int = 80) -> Instance:
    return Instance(InstanceId(name), service, "10.0.0.1", port, "10.0.0.1")


class Asked:
    """Answers as it is told, and keeps count."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Exception] = {}
        self.times: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self.hold: asyncio.Event | None = None
        """While set, answers wait for it."""
        self.cut_off: list[str] = []

    async def __call__(self, question: Question) -> Answer:
        name = question.instance.id
        self.times[name] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.hold is not None:
                await self.hold.wait()
            answer = self.answers.get(name, Answer.GOOD)
            if isinstance(answer, Exception):
                raise answer
            return answer
        except asyncio.CancelledError:
            self.cut_off.append(name)
            raise
        finally:
            self.at_once -= 1


@pytest.fixture
def asked() -> Asked:
    return Asked()


@asynccontextmanager
async def checking(
    asked: Asked, told: list[ServiceName] | None = None, **more: Any
) -> AsyncIterator[Checker]:
    heard: list[ServiceName] = [] if told is None else told
    async with Checker(heard.append, ask=asked, rng=Random(3), **more) as checker:
        yield checker


def verdicts(checker: Checker, service: ServiceName = WEB) -> dict[str, str]:
    return {endpoint[0][0]: verdict.value for endpoint, verdict in checker.verdicts(service).items()}


async def test_instances_are_asked_and_changes_are_told(asked: Asked) -> None:
    told: list[ServiceName] = []
    asked.answers["b"] = Answer.TIMEOUT
    async with checking(asked, told) as checker:
        checker.follow(WEB, [instance("a"), instance("b")], POLICY)
        await until(lambda: verdicts(checker) == {"a": "up", "b": "down"})
        await until(lambda: told != [])
        told.clear()
        asked.answers["b"] = Answer.GOOD
        await until(lambda: verdicts(checker) == {"a": "up", "b": "up"})
        await until(lambda: told == [WEB])
        assert checker.failed(WEB)["timeout"] >= 2


async def test_many_changes_are_one_piece_of_news(asked: Asked) -> None:
    told: list[ServiceName] = []
    asked.hold = asyncio.Event()
    async with checking(asked, told) as checker:
        checker.follow(WEB, [instance(f"{n}") for n in range(100)], replace(POLICY, interval_s=0.01))
        await until(lambda: asked.at_once == 100)
        asked.hold.set()
        await until(lambda: set(verdicts(checker).values()) == {"up"})
        await until(lambda: told != [])
    assert told == [WEB]


async def test_only_so_many_questions_at_once_and_everybody_gets_a_turn(asked: Asked) -> None:
    asked.hold = asyncio.Event()
    async with checking(asked, at_once=3) as checker:
        all_due = replace(POLICY, interval_s=1e-6)
        checker.follow(WEB, [instance(f"{n}") for n in range(20)], all_due)
        await until(lambda: asked.at_once >= 3)
        later = asyncio.get_running_loop().time() + 0.05
        await until(lambda: asyncio.get_running_loop().time() > later)
        assert asked.at_once == 3
        asked.hold.set()
        await until(lambda: len(asked.times) == 20 and min(asked.times.values()) >= 3)
    assert asked.most_at_once == 3


async def test_a_question_never_outlives_its_instance(asked: Asked) -> None:
    asked.hold = asyncio.Event()
    async with checking(asked) as checker:
        checker.follow(WEB, [instance("a"), instance("b")], POLICY)
        await until(lambda: asked.at_once == 2)
        checker.follow(WEB, [instance("b")], POLICY)
        await until(lambda: asked.cut_off == ["a"])
        asked.hold.set()
        await until(lambda: asked.times["b"] >= 5)
        assert asked.times["a"] == 1
        assert verdicts(checker) == {"b": "up"}
    assert asked.at_once == 0


async def test_the_end_ends_all_questions_and_tells_nothing_more(asked: Asked) -> None:
    told: list[ServiceName] = []
    asked.hold = asyncio.Event()
    async with checking(asked, told) as checker:
        checker.follow(WEB, [instance("a")], POLICY)
        checker.follow(OTHER, [instance("b", OTHER)], POLICY)
        await until(lambda: asked.at_once == 2)
    assert sorted(asked.cut_off) == ["a", "b"]
    assert told == []


async def test_without_a_policy_nobody_is_asked(asked: Asked) -> None:
    async with checking(asked) as checker:
        checker.follow(WEB, [instance("a")], POLICY)
        await until(lambda: asked.times["a"] >= 2)
        checker.follow(WEB, [instance("a")], None)
        checker.follow(OTHER, [instance("b", OTHER)], POLICY)
        before = asked.times["a"]
        await until(lambda: asked.times["b"] >= 10)
        assert (asked.times["a"], verdicts(checker)) == (before, {})


async def test_a_question_that_dies_of_a_bug_is_asked_again_and_says_nothing(asked: Asked) -> None:
    asked.answers["a"] = ZeroDivisionError()
    async with checking(asked) as checker:
        checker.follow(WEB, [instance("a"), instance("b")], POLICY)
        await until(lambda: asked.times["a"] >= 5)
        assert verdicts(checker) == {"a": "unchecked", "b": "up"}


async def test_the_loop_survives_its_own_death(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker_module, "AGAIN_AFTER_S", 0.01)
    broken, deaths = False, 0

    def fragile() -> float:
        nonlocal deaths
        if broken:
            deaths += 1
            raise ZeroDivisionError
        return asyncio.get_running_loop().time()

    async with checking(asked, clock=fragile) as checker:
        checker.follow(WEB, [instance("a")], POLICY)
        await until(lambda: asked.times["a"] >= 2)
        broken = True
        await until(lambda: deaths >= 3)
        broken = False
        checker.follow(OTHER, [instance("b", OTHER)], POLICY)
        await until(lambda: asked.times["b"] >= 2)


async def test_real_questions_to_a_real_listener() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    place = replace(instance("a", port=port), host="127.0.0.1", ip="127.0.0.1")
    told: list[ServiceName] = []
    async with Checker(told.append) as checker:
        checker.follow(WEB, [place], replace(POLICY, kind="tcp"))
        await until(lambda: verdicts(checker) == {"a": "up"})
        server.close()
        await server.wait_closed()
        await until(lambda: verdicts(checker) == {"a": "down"})
        assert repr(checker).startswith("<Checker: <CheckLedger: 0 unchecked, 0 up, 1 down>")
        assert Verdict.DOWN in checker.verdicts(WEB).values()
