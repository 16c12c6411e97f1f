"""Waiting for what must happen, with a deadline and without a guess."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Returns once the condition holds. Fails when it does not in time."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 the condition is anybody's, and sets no event
            await asyncio.sleep(0.005)


async def first(stream: AsyncGenerator[T, None], wanted: Callable[[T], bool], within_s: float = 10.0) -> T:
    """The first of the stream that is wanted; what comes before it is dropped."""
    async with asyncio.timeout(within_s):
        async for each in stream:
            if wanted(each):
                return each
    raise AssertionError("the stream ended")
