import threading
from collections.abc import Iterator

import pytest

from registry.backends.shared import resolver
from registry.backends.shared.resolver import RETRY_S, Resolver, system_lookup
from tests.registry.waiting import until


class Directory:
    """A name service that says what it is told to, and can be made to hang or fail."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[str, ...]] = {}
        self.failing = False
        self.asked: list[str] = []
        self.now = 0.0
        self._may_answer = threading.Event()
        self._may_answer.set()

    def __call__(self, name: str) -> tuple[str, ...]:
        self.asked.append(name)
        self._may_answer.wait()
        if self.failing:
            raise OSError("temporary failure in name resolution")
        return self.answers.get(name, ())

    def hangs(self) -> None:
        self._may_answer.clear()

    def answers_again(self) -> None:
        self._may_answer.set()

    def clock(self) -> float:
        return self.now

    def resolver(self, timeout_s: float = 10.0) -> Resolver:
        return Resolver(lookup=self, timeout_s=timeout_s, ttl_s=30.0, clock=self.clock)


@pytest.fixture
def directory() -> Iterator[Directory]:
    directory = Directory()
    yield directory
    directory.answers_again()


async def test_names_are_resolved_together_and_remembered(directory: Directory) -> None:
    directory.answers = {"a": ("10.0.0.1",), "b": ("10.0.0.2", "fd00::2")}
    async with directory.resolver() as names:
        assert await names.resolve(["a", "b", "nobody"]) == directory.answers
        assert await names.resolve({"a", "nobody"}) == {"a": ("10.0.0.1",)}
        assert sorted(directory.asked) == ["a", "b", "nobody"]


async def test_what_is_old_is_asked_again(directory: Directory) -> None:
    directory.answers = {"a": ("10.0.0.1",)}
    async with directory.resolver() as names:
        await names.resolve(["a", "nobody"])
        directory.answers = {"a": ("10.0.0.9",), "nobody": ("10.0.0.8",)}
        directory.now = RETRY_S
        assert await names.resolve(["a", "nobody"]) == {"a": ("10.0.0.1",), "nobody": ("10.0.0.8",)}
        directory.now = 30.0
        assert (await names.resolve(["a"]))["a"] == ("10.0.0.9",)


async def test_a_failing_name_service_takes_no_address_away(directory: Directory) -> None:
    directory.answers = {"a": ("10.0.0.1",)}
    async with directory.resolver() as names:
        await names.resolve(["a"])
        directory.failing = True
        for directory.now in (30.0, 60.0, 3600.0):
            assert await names.resolve(["a", "new"]) == {"a": ("10.0.0.1",)}


async def test_only_the_word_that_there_is_no_such_name_takes_it_away(directory: Directory) -> None:
    directory.answers = {"a": ("10.0.0.1",)}
    async with directory.resolver() as names:
        await names.resolve(["a"])
        directory.answers = {}
        directory.now = 30.0
        assert await names.resolve(["a"]) == {}


async def test_a_name_that_hangs_costs_one_thread_and_one_timeout(directory: Directory) -> None:
    directory.answers = {"a": ("10.0.0.1",)}
    async with directory.resolver(timeout_s=0.05) as names:
        directory.hangs()
        assert await names.resolve(["a"]) == {}
        asked_at_once = await names.resolve(["a"])
        assert asked_at_once == {}
        directory.now = RETRY_S
        assert await names.resolve(["a"]) == {}
        assert directory.asked == ["a"], "the lookup that hangs is waited for, not repeated"
        directory.answers_again()
        await until(lambda: repr(names).endswith("0 lookups running>"))
        assert await names.resolve(["a"]) == {"a": ("10.0.0.1",)}, "the late answer counts"


async def test_the_memory_is_bounded(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "MAX_NAMES", 3)
    async with directory.resolver() as names:
        for number in range(10):
            await names.resolve([f"n{number}"])
        assert repr(names) == "<Resolver: 3 names, 0 lookups running>"
        await names.resolve([f"many{number}" for number in range(5)])
        assert repr(names) == "<Resolver: 5 names, 0 lookups running>"


def test_the_systems_resolver_gives_literals_ipv4_first() -> None:
    literals = system_lookup("localhost")
    assert literals[0] == "127.0.0.1"
    assert len(set(literals)) == len(literals)


def test_the_systems_resolver_calls_a_name_that_can_not_be_one_a_failure() -> None:
    with pytest.raises(OSError):
        system_lookup("a" * 64 + ".example")
