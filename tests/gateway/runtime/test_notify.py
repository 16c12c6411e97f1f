"""A service manager that hears how far we are."""

import socket
from pathlib import Path

import pytest

from gateway.runtime.notify import notify


def heard(address: str, name: str) -> list[bytes]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.setblocking(False)
        notify("READY=1", {"NOTIFY_SOCKET": name})
        return [manager.recv(100)]


def test_a_socket_of_the_file_system_hears_it(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    assert heard(path, path) == [b"READY=1"]


def test_an_abstract_socket_hears_it() -> None:
    assert heard("\0quaymaster-test-notify", "@quaymaster-test-notify") == [b"READY=1"]


@pytest.mark.parametrize("name", ["", "relative", "/no/such/socket"])
def test_who_can_not_be_told_costs_nothing(name: str) -> None:
    notify("READY=1", {"NOTIFY_SOCKET": name} if name else {})
