import random
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from registry.backends.shared.polling import Poller
from registry.backoff import CAP_S
from registry.model import Denied, Failed, Unreachable


class Script:
    """A server that answers from a list, and time that passes only while somebody sleeps."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers: Iterator[int | Exception] = iter(answers)
        self.indexes: list[int | None] = []
        self.slept: list[float] = []
        self.now = 0.0
        self.poller = Poller(random.Random(7), clock=lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def read(self, index: int | None) -> tuple[int, str]:
        self.indexes.append(index)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer, f"at {answer}"

    async def run(self, count: int) -> list[str | Failed]:
        async with aclosing(self.poller.poll(self.read)) as stream:
            return [await anext(stream) for _ in range(count)]


async def test_each_query_blocks_on_the_last_index() -> None:
    script = Script(5, 5, 9)
    assert await script.run(3) == ["at 5", "at 5", "at 9"]
    assert script.indexes == [None, 5, 5]


async def test_an_index_that_goes_backwards_is_dropped_and_counted_and_its_answer_is_news() -> None:
    script = Script(42, 10, 11)
    assert await script.run(3) == ["at 42", "at 10", "at 11"]
    assert script.indexes == [None, 42, None]
    assert script.poller.index_resets == 1


async def test_index_zero_does_not_spin() -> None:
    script = Script(*[0] * 10)
    await script.run(10)
    assert script.indexes == [None, *[1] * 9]
    assert script.now >= 3.5, "two at once, and then two a second"


async def test_a_failure_is_a_value_and_the_next_query_does_not_block() -> None:
    script = Script(5, Unreachable("nobody"), 6, Denied("no"))
    assert await script.run(4) == ["at 5", Failed("unreachable", "nobody"), "at 6", Failed("denied", "no")]
    assert script.indexes == [None, 5, None, 6]


async def test_the_pauses_after_failures_grow_to_the_cap_and_start_anew_after_an_answer() -> None:
    script = Script(*[Unreachable("nobody")] * 60, 5, Unreachable("nobody"), 6)
    await script.run(63)
    assert max(script.slept) <= CAP_S
    assert max(script.slept) > CAP_S / 2
    assert script.slept[-2] <= 0.1, "the first failure after an answer"


async def test_an_error_that_is_none_of_the_registry_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await Script(ZeroDivisionError()).run(1)
