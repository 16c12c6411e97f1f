from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

import pytest

from registry.backends import static
from registry.backends.base import BackendSettings
from registry.backends.shared.resolver import Resolver
from registry.backends.static import FixedFirst, open_backend, read_fixed, read_url
from registry.model import Gone, Instance, InstanceId, RegistryError, Seen, ServiceName, Update
from tests.registry.told_watch import ToldWatch

T = TypeVar("T")

LEGACY = ServiceName("legacy")


async def told_at_once(stream: AsyncGenerator[T, None]) -> T:
    async with aclosing(stream):
        return await anext(stream)


async def first_update(*urls: str) -> Update:
    async with open_backend(BackendSettings(static={LEGACY: urls})) as backend:
        assert backend.registrar is None
        return await told_at_once(backend.watch.watch(LEGACY))


async def test_fixed_urls_are_instances_with_their_address_as_id() -> None:
    update = await first_update("http://127.0.0.1:9101", "https://10.0.0.7/", "http://[::1]:80")
    assert isinstance(update, Seen)
    assert {(i.id, i.url, i.ip) for i in update.instances} == {
        ("127.0.0.1:9101", "http://127.0.0.1:9101", "127.0.0.1"),
        ("10.0.0.7:443", "https://10.0.0.7:443", "10.0.0.7"),
        ("::1:80", "http://[::1]:80", "::1"),
    }


async def test_what_is_wrong_with_one_address_is_its_own_matter() -> None:
    update = await first_update("http://169.254.169.254:80", "http://127.0.0.1:9101", "http://127.0.0.1:9101")
    assert isinstance(update, Seen)
    assert [i.id for i in update.instances] == ["127.0.0.1:9101"]
    assert sorted(q.reason for q in update.quarantined) == ["duplicate", "not_allowed"]


async def test_a_service_without_addresses_is_gone() -> None:
    assert isinstance(await first_update(), Gone)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:80", "ftp://a:1", "http://", "http://:80", "http://a:99999", "http://a:b", "http://u:p@a:1",
        "http://a:1/path", "http://a:1?x=1", "http://a:1#x", "",
    ],
)  # fmt: skip
def test_a_url_that_is_more_or_less_than_an_address_is_refused_with_the_fix(url: str) -> None:
    with pytest.raises(ValueError, match="write http://host:port"):
        read_url(url)
    with pytest.raises(RegistryError, match="fixed addresses"):
        read_fixed({LEGACY: [url]})


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(RegistryError, match=r"\.\./kv"):
        read_fixed({ServiceName("../kv"): []})


async def test_new_settings_are_for_streams_that_are_opened_from_then_on() -> None:
    stays, comes, goes = ServiceName("stays"), ServiceName("comes"), ServiceName("goes")
    one, two = ("http://127.0.0.1:9101",), ("http://127.0.0.1:9102",)
    async with open_backend(BackendSettings(static={stays: one, LEGACY: one, goes: one})) as backend:
        assert backend.follow_fixed({stays: one, LEGACY: two, comes: two}) == {LEGACY, comes, goes}
        updates = [await told_at_once(backend.watch.watch(name)) for name in (stays, LEGACY, comes, goes)]
        found = [[i.port for i in update.instances] if isinstance(update, Seen) else [] for update in updates]
        assert found == [[9101], [9102], [9102], []]
        assert await told_at_once(backend.watch.watch_names()) == frozenset({stays, LEGACY, comes})


async def test_fixed_addresses_come_before_the_registrys_and_go_behind_them() -> None:
    told = ToldWatch()
    told.name("legacy")
    registered = Instance(InstanceId("r"), LEGACY, "10.0.0.1", 80, "10.0.0.1")
    async with Resolver() as resolver:
        watch = FixedFirst({}, resolver, told)
        told.say(LEGACY, Seen((registered,)))
        assert await told_at_once(watch.watch(LEGACY)) == Seen((registered,))
        assert watch.follow({LEGACY: ["http://127.0.0.1:9101"]}) == {LEGACY}
        update = await told_at_once(watch.watch(LEGACY))
        assert isinstance(update, Seen)
        assert [i.port for i in update.instances] == [9101]
        assert watch.follow({}) == {LEGACY}
        told.say(LEGACY, Seen((registered,)))
        assert await told_at_once(watch.watch(LEGACY)) == Seen((registered,))


async def test_settings_that_can_never_work_change_nothing() -> None:
    async with open_backend(BackendSettings(static={LEGACY: ("http://127.0.0.1:9101",)})) as backend:
        with pytest.raises(RegistryError, match="fixed addresses"):
            backend.follow_fixed({LEGACY: ["nonsense"]})
        assert isinstance(await told_at_once(backend.watch.watch(LEGACY)), Seen)


async def test_names_are_resolved_again_and_sooner_while_one_does_not_resolve() -> None:
    answers: dict[str, tuple[str, ...]] = {"old.internal": ("10.0.0.1",)}
    slept: list[float] = []
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    fixed = read_fixed({LEGACY: ["http://old.internal:80", "http://new.internal:80"]})
    async with Resolver(lookup=lambda name: answers.get(name, ()), clock=lambda: now) as resolver:
        stream = FixedFirst(fixed, resolver, sleep=sleep).watch(LEGACY)
        seen = [await anext(stream)]
        answers["new.internal"] = ("10.0.0.2",)
        seen.append(await anext(stream))
        answers["old.internal"] = ("10.0.0.3",)
        seen.append(await anext(stream))
        await stream.aclose()
    found = [{i.host: i.ip for i in update.instances} for update in seen if isinstance(update, Seen)]
    assert found == [
        {"old.internal": "10.0.0.1"},
        {"old.internal": "10.0.0.1", "new.internal": "10.0.0.2"},
        {"old.internal": "10.0.0.3", "new.internal": "10.0.0.2"},
    ]
    assert slept == [static.RESOLVE_AGAIN_S, static.RESOLVE_EVERY_S]


def test_fixed_addresses_are_told_again_before_a_short_wait_would_call_them_silent() -> None:
    assert static.speak_every_s(BackendSettings()) == static.RESOLVE_EVERY_S
    assert static.speak_every_s(BackendSettings(wait_s=5)) == 5
