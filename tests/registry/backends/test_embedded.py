"""What is this backend's own; that it works like Consul is the contract suite's to test."""

import socket
from contextlib import aclosing
from pathlib import Path

import pytest

from registry.backends.base import Backend, BackendSettings, Registration
from registry.backends.consul import open_backend as open_consul
from registry.backends.embedded import open_backend
from registry.model import Gone, InstanceId, RegistryError, Seen, ServiceName, Update
from tests.registry.waiting import first
from tests.servers import free_ports

WEB = ServiceName("web")
ONE = Registration(InstanceId("web-1"), WEB, 9001, address="127.0.0.1")


async def first_update(backend: Backend) -> Update:
    async with aclosing(backend.watch.watch(WEB)) as stream:
        return await anext(stream)


async def test_services_reach_it_at_its_address_as_they_would_reach_consul() -> None:
    settings = BackendSettings(address=f"127.0.0.1:{free_ports(1)[0]}")
    async with open_backend(settings) as gateways, open_consul(settings) as services:
        assert services.registrar is not None
        async with aclosing(gateways.watch.watch(WEB)) as stream:
            assert isinstance(await anext(stream), Gone)
            await services.registrar.register(ONE)
            await first(stream, lambda update: isinstance(update, Seen))


async def test_any_free_port_will_do() -> None:
    async with open_backend(BackendSettings(address="127.0.0.1:0")) as backend:
        assert isinstance(await first_update(backend), Gone)


async def test_an_agent_open_to_other_machines_is_not_believed_about_this_one() -> None:
    settings = BackendSettings(address=f"0.0.0.0:{free_ports(1)[0]}")
    async with open_backend(settings) as backend:
        assert backend.registrar is not None
        await backend.registrar.register(ONE)
        update = await first_update(backend)
    assert isinstance(update, Seen)
    assert [q.reason for q in update.quarantined] == ["not_allowed"]


async def test_an_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RegistryError, match=address):
            async with open_backend(BackendSettings(address=address)):
                pass


async def test_with_a_data_dir_registrations_outlive_it(tmp_path: Path) -> None:
    settings = BackendSettings(address=f"127.0.0.1:{free_ports(1)[0]}", data_dir=str(tmp_path))
    async with open_backend(settings) as backend:
        assert backend.registrar is not None
        await backend.registrar.register(ONE)
    async with open_backend(settings) as backend:
        update = await first_update(backend)
    assert isinstance(update, Seen)
    assert [i.id for i in update.instances] == ["web-1"]
