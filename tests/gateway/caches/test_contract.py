"""What every place for answers promises. A new line in CACHES is tested by being there."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gateway.caches import CACHES, load_cache
from gateway.caches.base import Cache
from tests.gateway.caches.answers import ANSWER, answer, keep, kept, key
from tests.servers import patient

MIB = 1 << 20
WITHIN_S = 5.0


@pytest.fixture(params=CACHES)
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    # A shared store brings its real server along; one that needs none never asks for the fixture.
    url = "" if request.param == "memory" else patient(request.getfixturevalue("redis_url"))
    async with load_cache(request.param)(url, 16 * MIB) as opened:
        yield opened


async def test_what_was_kept_is_found_as_it_was(cache: Cache) -> None:
    where = key()
    assert await kept(cache, where) is None
    strange = answer(bytes(range(256)) * 100, reason=b"", headers=((b"X", b"\xff: \x00"),), strict=True)
    assert await keep(cache, where, strange)
    assert await kept(cache, where) == strange


async def test_a_later_answer_takes_the_place_of_an_earlier(cache: Cache) -> None:
    where = key()
    for body in (b"one", b"two"):
        assert await keep(cache, where, answer(body))
    assert await kept(cache, where) == answer(b"two")


async def test_uris_are_apart(cache: Cache) -> None:
    one, other = key(), key()
    assert await keep(cache, one)
    assert await kept(cache, other) is None
    await cache.drop(other.uri)
    assert await kept(cache, one) == ANSWER


async def test_variants_are_apart_and_told_by_the_headers_answers_vary_by(cache: Cache) -> None:
    uri, names = key().uri, (b"lang",)
    german, english = key(uri, lang="de"), key(uri, lang="en")
    assert await keep(cache, german, answer(b"hallo"), names)
    assert await kept(cache, english) is None
    assert await keep(cache, english, answer(b"hello"), names)
    assert await kept(cache, german) == answer(b"hallo")
    assert await kept(cache, english) == answer(b"hello")
    found = await cache.find(key(uri))
    assert found is not None
    assert (found.names, found.stored) == (names, None)


async def test_what_varies_by_more_is_found_by_more(cache: Cache) -> None:
    uri, more = key().uri, (b"lang", b"tier")
    free, paid = key(uri, lang="de", tier="free"), key(uri, lang="de", tier="paid")
    assert await keep(cache, free, answer(b"free"), (b"lang",))
    assert await kept(cache, paid) == answer(b"free"), "nothing says yet that there is a difference"
    assert await keep(cache, paid, answer(b"paid"), more)
    assert await kept(cache, free) is None, "the answer of before is nobody's: it may be either's"
    assert await kept(cache, paid) == answer(b"paid")


async def test_a_drop_takes_every_variant(cache: Cache) -> None:
    uri = key().uri
    variants = [key(uri, lang=lang) for lang in ("de", "en", "fr")]
    for where in variants:
        assert await keep(cache, where, names=(b"lang",))
    assert await cache.drop(uri)
    assert [await kept(cache, where) for where in variants] == [None] * 3
    assert await keep(cache, variants[0], answer(b"new"), (b"lang",))
    assert [await kept(cache, where) for where in variants] == [answer(b"new"), None, None]


async def test_what_was_asked_for_before_a_drop_is_not_kept_after_it(cache: Cache) -> None:
    where = key()
    before = await cache.find(where)
    assert before is not None
    await cache.drop(where.uri)
    assert not await cache.keep(where, before, (), answer(b"outdated"), 60.0)
    assert await kept(cache, where) is None
    assert await keep(cache, where, answer(b"new"))
    assert not await cache.keep(where, before, (), answer(b"outdated"), 60.0)
    assert await kept(cache, where) == answer(b"new")


async def test_an_answer_whose_time_is_over_is_gone(cache: Cache) -> None:
    where = key()
    assert await keep(cache, where, keep_s=0.05)
    deadline = time.monotonic() + WITHIN_S
    while await kept(cache, where) is not None:
        assert time.monotonic() < deadline, "it never went"
        await asyncio.sleep(0.01)


async def test_a_short_lived_variant_does_not_take_the_others_with_it(cache: Cache) -> None:
    uri, names = key().uri, (b"lang",)
    lasting, brief = key(uri, lang="de"), key(uri, lang="en")
    assert await keep(cache, lasting, names=names)
    assert await keep(cache, brief, names=names, keep_s=0.05)
    deadline = time.monotonic() + WITHIN_S
    while await kept(cache, brief) is not None:
        assert time.monotonic() < deadline, "it never went"
        await asyncio.sleep(0.01)
    assert await kept(cache, lasting) == ANSWER


async def test_many_at_once(cache: Cache) -> None:
    places = [key() for _ in range(50)]
    assert all(await asyncio.gather(*(keep(cache, at, answer(b"%d" % n)) for n, at in enumerate(places))))
    found = await asyncio.gather(*(kept(cache, at) for at in places))
    assert [stored.body for stored in found if stored] == [b"%d" % n for n in range(50)]


async def test_long_answers_come_back_whole(cache: Cache) -> None:
    where, long = key(), answer(b"x" * MIB)
    assert await keep(cache, where, long)
    assert await kept(cache, where) == long
