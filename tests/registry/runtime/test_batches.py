import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from registry.runtime.batches import Batches, Unanswered
from registry.runtime.tasks import Tasks


class Answers:
    """The other side: keeps what it was sent, and answers when it is let."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.fault: Exception | None = None
        self.asked = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, calls: Sequence[str]) -> list[str]:
        self.sent.append(list(calls))
        self.asked.set()
        await self.free.wait()
        if self.fault is not None:
            raise self.fault
        return [call.upper() for call in calls]


async def under_way(answers: Answers) -> None:
    """Returns once a first batch is sent."""
    await answers.asked.wait()


@pytest.fixture
async def answers() -> Answers:
    return Answers()


async def test_calls_of_one_turn_go_together_and_each_gets_its_own_answer(answers: Answers) -> None:
    batches = Batches(answers)
    assert await asyncio.gather(*map(batches.call, "abc")) == ["A", "B", "C"]
    assert answers.sent == [["a", "b", "c"]]
    assert await batches.call("d") == "D"
    assert repr(batches) == "<Batches: 0 waiting, none under way>"


async def test_what_comes_meanwhile_waits_for_the_next_batch(answers: Answers) -> None:
    batches = Batches(answers, most=2)
    answers.free.clear()
    first = asyncio.gather(*map(batches.call, "a"))
    await under_way(answers)
    later = asyncio.gather(*map(batches.call, "bcd"))
    await asyncio.sleep(0)
    assert repr(batches) == "<Batches: 3 waiting, one under way>"
    answers.free.set()
    assert (await first, await later) == (["A"], ["B", "C", "D"])
    assert answers.sent == [["a"], ["b", "c"], ["d"]]


async def test_a_cancelled_caller_takes_nothing_from_the_others(answers: Answers) -> None:
    batches = Batches(answers)
    answers.free.clear()
    tasks = Tasks(died=lambda name, error: None)
    a, b = (tasks.start(name, batches.call(name)) for name in "ab")
    await under_way(answers)
    c, d = (tasks.start(name, batches.call(name)) for name in "cd")
    await asyncio.sleep(0)
    a.cancel()
    c.cancel()
    answers.free.set()
    assert (await b, await d) == ("B", "D")
    assert answers.sent == [["a", "b"], ["d"]]
    assert a.cancelled()
    assert c.cancelled()


async def test_no_answer_is_everybodys_no_answer_and_the_next_batch_starts_anew(answers: Answers) -> None:
    batches = Batches(answers)
    answers.fault = Unanswered("nobody there")
    said = await asyncio.gather(*map(batches.call, "ab"), return_exceptions=True)
    assert [str(error) for error in said] == ["nobody there"] * 2
    assert said[0] is not said[1]
    answers.fault = None
    assert await batches.call("c") == "C"


async def test_who_waits_behind_a_batch_that_is_not_answered_waits_no_longer(answers: Answers) -> None:
    batches = Batches(answers, most=1)
    answers.free.clear()
    answers.fault = Unanswered("nobody there")
    asking = asyncio.gather(*map(batches.call, "abc"), return_exceptions=True)
    await under_way(answers)
    batches.post("d")
    answers.free.set()
    assert [str(error) for error in await asking] == ["nobody there"] * 3
    assert answers.sent == [["a"]]
    answers.fault = None
    assert await batches.call("e") == "E"
    assert answers.sent == [["a"], ["e"]]


async def test_a_post_comes_after_all_earlier_calls_and_asks_for_no_answer(answers: Answers) -> None:
    batches = Batches(answers)
    answers.fault = Unanswered("nobody there")
    batches.post("a")
    with pytest.raises(Unanswered):
        await batches.call("b")
    assert answers.sent == [["a", "b"]]


async def test_only_so_many_wait(answers: Answers) -> None:
    batches = Batches(answers, waiting=2)
    answers.free.clear()
    two = asyncio.gather(*map(batches.call, "ab"))
    await under_way(answers)
    batches.post("c")
    batches.post("d")
    batches.post("e")
    with pytest.raises(Unanswered, match="2 calls wait already"):
        await batches.call("f")
    answers.free.set()
    await two
    await batches.close()
    assert answers.sent == [["a", "b"], ["c", "d"]]


async def test_closing_makes_the_calls_that_wait_and_takes_no_more(answers: Answers) -> None:
    batches = Batches(answers)
    batches.post("a")
    await batches.close()
    assert answers.sent == [["a"]]
    with pytest.raises(Unanswered):
        await batches.call("b")


async def test_a_bug_leaves_nobody_waiting(answers: Answers) -> None:
    batches = Batches(answers, most=1)
    answers.fault = ZeroDivisionError("a bug")
    with capture_logs() as logs:
        said = await asyncio.gather(*map(batches.call, "ab"), return_exceptions=True)
        await asyncio.sleep(0)
    assert [type(error) for error in said] == [Unanswered, Unanswered]
    assert [entry["event"] for entry in logs] == ["task_died"]
    answers.fault = None
    assert await batches.call("c") == "C"
