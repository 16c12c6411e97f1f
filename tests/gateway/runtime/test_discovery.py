"""What is watched for which settings, and the gateway's own entry."""

import random

import pytest

from gateway.runtime.discovery import opened_discovery
from gateway.runtime.rules import StartFailed
from registry.model import ServiceName
from tests.gateway.runtime.gateways import KEY, NOWHERE, eventually, settings_of
from tests.servers import free_ports

FIXED = {"instances": [NOWHERE]}


async def test_services_come_and_go_with_the_settings() -> None:
    before = settings_of()
    after = settings_of(services={"auth": FIXED, "more": FIXED})
    async with opened_discovery(before, random.Random(1)) as discovery:

        async def knows_more() -> bool:
            return len(discovery.watcher.current(ServiceName("more")).instances) == 1

        assert set(discovery.watcher.snapshots()) == {"auth"}
        discovery.follow(before, after)
        await eventually(knows_more)


async def test_a_registry_that_can_not_be_there_is_said_in_one_line() -> None:
    (taken,) = free_ports(1)
    embedded = {"backend": "embedded", "address": f"127.0.0.1:{taken}", "register_as": None}
    async with opened_discovery(settings_of(registry=embedded), random.Random(1)):
        with pytest.raises(StartFailed, match=str(taken)):
            async with opened_discovery(settings_of(registry=embedded), random.Random(1)):
                pytest.fail("two agents listen at one address")


@pytest.mark.parametrize(
    ("keys", "entry"),
    [
        ({"register_as": None}, None),
        ({"register_as": "quay", "advertise_address": "10.0.0.7"}, ("quay", "10.0.0.7", 8123)),
        ({"register_as": "quay"}, ("quay", "127.0.0.1", 8123)),
    ],
)
async def test_the_gateways_own_entry(
    keys: dict[str, str | None], entry: tuple[str, str, int] | None
) -> None:
    embedded = {"backend": "embedded", "address": "127.0.0.1:0"} | keys
    settings = settings_of(registry=embedded, internal={"key": KEY})
    async with opened_discovery(settings, random.Random(1)) as discovery:
        registered = discovery.registered(settings, 8123)
        if entry is None:
            assert registered is None
            return
        assert registered is not None
        async with registered:
            found = registered.registration
            assert (found.service, found.address, found.port) == entry
