import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from registry.model import Failed
from registry.runtime.follow import follow
from registry.runtime.tasks import Tasks
from tests.registry.waiting import until

Stream = AsyncGenerator[str | Failed, None]


class Source:
    """Opens one prepared stream after the other; the last one stays open and silent."""

    def __init__(self) -> None:
        self._streams: list[Callable[[], Stream]] = []
        self.heard: list[str] = []
        self.restarts = 0
        self.closed = 0

    def __call__(self) -> Stream:
        return self._streams.pop(0)()

    def take(self, news: str | Failed) -> None:
        self.heard.append(f"{news.reason}: {news.detail}" if isinstance(news, Failed) else news)

    def restarted(self) -> None:
        self.restarts += 1

    def says(self, *news: str, then: Callable[[], None] = lambda: None, stays: bool = False) -> None:
        """Prepares one more stream."""

        async def stream() -> Stream:
            try:
                for each in news:
                    yield each
                if stays:
                    await asyncio.Event().wait()
                then()
            finally:
                self.closed += 1

        self._streams.append(stream)


def breaks() -> None:
    raise ZeroDivisionError


def times_out() -> None:
    raise TimeoutError


@asynccontextmanager
async def following(source: Source, silent_after_s: float = 30.0) -> AsyncIterator[None]:
    tasks = Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))
    tasks.start(
        "follow",
        follow(
            "web",
            source,
            source.take,
            silent_after_s=silent_after_s,
            rng=random.Random(7),
            restarted=source.restarted,
        ),
    )
    try:
        yield
    finally:
        await tasks.close()


async def test_a_stream_that_falls_silent_is_closed_and_opened_anew() -> None:
    source = Source()
    source.says("a", stays=True)
    source.says("b", stays=True)
    source.says(stays=True)
    async with following(source, silent_after_s=0.03):
        await until(lambda: source.restarts == 2)
    silent = "silent: the watch said nothing for 0.03 s"
    assert source.heard == ["a", silent, "b", silent]
    assert source.closed >= 2


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (breaks, "bad_answer: the watch died of ZeroDivisionError"),
        (times_out, "bad_answer: the watch died of TimeoutError"),
        (lambda: None, "silent: the watch ended by itself"),
    ],
)
async def test_a_stream_that_dies_or_ends_is_opened_anew(end: Callable[[], None], said: str) -> None:
    source = Source()
    source.says("a", then=end)
    source.says("b", stays=True)
    async with following(source):
        await until(lambda: source.heard[-1:] == ["b"])
    assert source.heard == ["a", said, "b"]
    assert source.closed == 2, "also the one that was followed when this was told to stop"


async def test_a_reader_that_breaks_ends_nothing() -> None:
    source = Source()
    source.says("a")
    source.says("b", stays=True)
    heard: list[object] = []

    def take(news: str | Failed) -> None:
        heard.append(news)
        if news == "a":
            raise ZeroDivisionError

    source.take = take  # type: ignore[method-assign]  # a reader of this test's own
    async with following(source):
        await until(lambda: heard[-1:] == ["b"])
