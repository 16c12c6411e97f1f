"""Follows a stream that must never end: silence, an end and a bug all end in opening it again."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from random import Random
from typing import TypeVar

import structlog

from registry.backoff import full_jitter
from registry.model import Failed
from registry.runtime.trace import trace_of

log = structlog.get_logger()

T = TypeVar("T")


async def follow(
    name: str,
    open_stream: Callable[[], AsyncGenerator[T | Failed, None]],
    take: Callable[[T | Failed], None],
    *,
    silent_after_s: float,
    rng: Random,
    restarted: Callable[[], None],
) -> None:
    """Gives every element to `take`, until cancelled.

    A stream that says nothing for `silent_after_s` is opened anew, which reads everything again: a
    half-open connection would otherwise look like a quiet service for ever.
    """
    failures = 0

    def heard(news: T | Failed) -> None:
        nonlocal failures
        failures = 0
        take(news)

    while True:
        broken = await _read(name, open_stream, heard, silent_after_s)
        failures += 1
        restarted()
        take(broken)
        await asyncio.sleep(full_jitter(failures, rng))


async def _read(
    name: str,
    open_stream: Callable[[], AsyncGenerator[T | Failed, None]],
    heard: Callable[[T | Failed], None],
    silent_after_s: float,
) -> Failed:
    """Reads one stream as far as it goes, and says how it broke."""
    patience = asyncio.timeout(None)
    try:
        async with aclosing(open_stream()) as stream:
            while True:
                async with asyncio.timeout(silent_after_s) as patience:
                    news = await anext(stream)
                heard(news)
    except StopAsyncIteration:
        log.error("watch_ended", watch=name)
        return Failed("silent", "the watch ended by itself")
    except Exception as error:  # noqa: BLE001 whatever broke this watch must not end discovery
        if isinstance(error, TimeoutError) and patience.expired():
            log.warning("watch_silent", watch=name, after_s=silent_after_s)
            return Failed("silent", f"the watch said nothing for {silent_after_s:g} s")
        log.error("watch_died", watch=name, trace=trace_of(error))
        return Failed("bad_answer", f"the watch died of {type(error).__name__}")
