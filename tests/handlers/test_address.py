import contextlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.address import (
    BadAddress,
    capacity,
    check_hello,
    known,
    path,
    public_url,
    websocket_url,
)
from handlers.model import HandlerId, Hello, Known
from registry.model import Health, Instance, InstanceId, ServiceName


def instance(health: Health = Health.PASSING, weight: int = 1, **meta: str) -> Instance:
    name = ServiceName("websocket-handler")
    return Instance(InstanceId("WSH1"), name, "10.0.0.1", 8001, "10.0.0.1", health, weight, meta=meta)


@pytest.mark.parametrize(
    ("url", "at", "socket"),
    [
        ("http://host:8001", "/ws", "ws://host:8001/ws"),
        ("https://host", "/ws", "wss://host/ws"),
        ("ws://host:8001", "/chat", "ws://host:8001/chat"),
        ("wss://host/h1", "/ws", "wss://host/h1/ws"),
        ("http://http.example:80", "/ws", "ws://http.example:80/ws"),
    ],
)
def test_the_websocket_url_is_the_same_place(url: str, at: str, socket: str) -> None:
    assert websocket_url(public_url(url), at) == socket


@pytest.mark.parametrize("url", ["http://[::1]:8001", "https://host/h1/", "http://h:8001/"])
def test_a_public_url_loses_no_more_than_its_last_slash(url: str) -> None:
    assert public_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host:8001",
        "ftp://host",
        "HTTP://host",
        "javascript:alert(1)",
        "http://",
        "http:///ws",
        "http://host:0",
        "http://host:99999",
        "http://host:port",
        "http://user:pw@host",
        "http://host?x=1",
        "http://host#x",
        "http://ho st",
        "http://host\r\nX: y",
        "http://host\\evil",
        "http://hóst",
        "http://[::1",
    ],
)
def test_what_can_not_be_handed_to_a_client(url: str) -> None:
    with pytest.raises(BadAddress, match="public_url"):
        public_url(url)


@given(st.text())
def test_a_text_is_an_address_or_a_bad_one(text: str) -> None:
    for check in (public_url, path, capacity):
        with contextlib.suppress(BadAddress):
            check(text)


def test_a_long_bad_value_is_cut_before_it_reaches_a_log() -> None:
    with pytest.raises(BadAddress) as bad:
        public_url("x" * 10_000)
    assert len(str(bad.value)) < 300


@pytest.mark.parametrize("text", ["", "ws", "/a b", "/ü", "/a?b", "/a#b", "/a\n"])
def test_a_bad_path(text: str) -> None:
    with pytest.raises(BadAddress, match="path"):
        path(text)


@pytest.mark.parametrize("text", ["0", "-1", "1000001", "many", "", "1.5"])
def test_a_bad_capacity(text: str) -> None:
    with pytest.raises(BadAddress, match="capacity"):
        capacity(text)


HELLO = Hello(HandlerId("WSH1"), 1, "http://h:1", "/ws", 10)


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": "WSH\n1"},
        {"id": "W" * 201},
        {"epoch": 0},
        {"weight": 0},
        {"connections": -1},
        {"url": "x"},
        {"path": "x"},
        {"capacity": 0},
    ],
)
def test_a_hello_is_checked_in_every_field(change: dict[str, Any]) -> None:
    check_hello(HELLO)
    with pytest.raises(BadAddress):
        check_hello(replace(HELLO, **change))


def test_a_registration_tells_what_its_meta_says() -> None:
    told = instance(weight=3, public_url="https://chat.example/", path="/socket", capacity="50", sdk="1")
    assert known(told, usable=True) == Known(
        HandlerId("WSH1"), "https://chat.example", "/socket", 50, 3, healthy=True, speaks=True
    )


def test_without_meta_a_handler_is_where_its_service_is() -> None:
    assert known(instance(), usable=True) == Known(HandlerId("WSH1"), "http://10.0.0.1:8001")


@pytest.mark.parametrize(
    ("health", "usable", "healthy", "draining"),
    [
        (Health.PASSING, True, True, False),
        (Health.WARNING, True, True, False),
        (Health.CRITICAL, False, False, False),
        (Health.MAINTENANCE, False, False, True),
    ],
)
def test_what_its_health_means(health: Health, usable: bool, healthy: bool, draining: bool) -> None:
    told = known(instance(health), usable=usable)
    assert (told.healthy, told.draining) == (healthy, draining)
