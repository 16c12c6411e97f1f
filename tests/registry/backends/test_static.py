from contextlib import aclosing

import pytest

from registry.backends import static
from registry.backends.base import BackendSettings
from registry.backends.shared.resolver import Resolver
from registry.backends.static import FixedFirst, open_backend, read_fixed, read_url
from registry.model import Gone, RegistryError, Seen, ServiceName, Update

LEGACY = ServiceName("legacy")


async def first_update(*urls: str) -> Update:
    async with open_backend(BackendSettings(static={LEGACY: urls})) as backend:
        assert backend.registrar is None
        async with aclosing(backend.watch.watch(LEGACY)) as stream:
            return await anext(stream)


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
