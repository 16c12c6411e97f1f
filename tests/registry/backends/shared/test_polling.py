import random
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from registry.backends.shared.polling import CAP_S, Poller
from registry.failover import AddressLedger
from registry.model import NO_LEADER, Denied, Failed, Gone, Unreachable


class Script:
    """A server that answers from a list, and time that passes only while somebody sleeps."""

    def __init__(self, *answers: int | Exception, addresses: int = 1) -> None:
        self.addresses = AddressLedger(addresses)
        self.answers: Iterator[int | Exception] = iter(answers)
        self.indexes: list[int | None] = []
        self.asked: list[int] = []
        self.slept: list[float] = []
        self.now = 0.0
        self.poller = Poller(random.Random(7), self.addresses, clock=lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def read(self, address: int, index: int | None) -> tuple[int, str]:
        self.indexes.append(index)
        self.asked.append(address)
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


# Several addresses.


async def test_another_address_is_tried_at_once_and_asked_from_the_beginning() -> None:
    script = Script(5, Unreachable("nobody"), 900, 901, addresses=2)
    assert await script.run(4) == ["at 5", Failed("unreachable", "nobody"), "at 900", "at 901"]
    assert script.asked == [0, 0, 1, 1]
    assert script.indexes == [None, 5, None, 900]
    assert script.poller.index_resets == 0, "another agent's index is no news of this one"
    assert script.poller.failovers == 1
    assert script.now == 1.0, "the token bucket, and no backoff"


async def test_when_all_have_failed_the_pauses_grow() -> None:
    script = Script(*[Unreachable("nobody")] * 40, addresses=3)
    await script.run(40)
    assert set(script.asked) == {0, 1, 2}
    assert script.asked[:3] == [0, 1, 2]
    assert script.now > 50


async def test_an_answer_makes_an_address_worth_another_try() -> None:
    script = Script(Unreachable("nobody"), Unreachable("nobody"), 5, addresses=2)
    await script.run(3)
    assert script.asked == [0, 1, 0]
    assert [script.addresses.is_failing(n) for n in range(2)] == [False, True]


async def test_a_token_that_may_not_read_here_is_no_reason_to_ask_elsewhere() -> None:
    script = Script(Denied("no"), Denied("no"), 5, addresses=2)
    await script.run(3)
    assert script.asked == [0, 0, 0]


async def test_a_move_without_a_failure_is_told_as_one_so_that_losses_are_doubted() -> None:
    script = Script(5, 7, 8, addresses=2)
    async with aclosing(script.poller.poll(script.read)) as stream:
        assert await anext(stream) == "at 5"
        script.addresses.failed(0)
        moved = await anext(stream)
        assert isinstance(moved, Failed)
        assert moved.reason == "moved"
        assert [await anext(stream), await anext(stream)] == ["at 7", "at 8"]
    assert script.asked == [0, 1, 1]
    assert script.indexes == [None, None, 7]


async def test_an_agent_without_a_leader_is_left_for_one_that_may_know_more_and_its_answer_is_used() -> None:
    asked: list[tuple[int, int | None]] = []
    script = Script(addresses=2)

    async def read(address: int, index: int | None) -> tuple[int, Gone]:
        asked.append((address, index))
        return 5, Gone(NO_LEADER if len(asked) < 4 else None)

    async with aclosing(script.poller.poll(read)) as stream:
        told = [await anext(stream) for _ in range(5)]
    assert [type(each) for each in told] == [Gone, Failed, Gone, Gone, Gone]
    assert asked == [(0, None), (1, None), (1, 5), (1, 5)], "nobody else is left to ask"
