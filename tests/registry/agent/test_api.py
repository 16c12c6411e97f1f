"""What is of this agent alone; everything it shares with Consul is in test_contract.py."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from registry.agent import AgentLimits, EmbeddedAgent
from tests.registry.agent.talk import Curl
from tests.registry.waiting import until

LIMITS = AgentLimits(services=2, checks=3, waiting=1, body_bytes=2000)


@pytest.fixture
async def curl() -> AsyncIterator[Curl]:
    async with EmbeddedAgent("127.0.0.1", 0, limits=LIMITS) as agent, Curl(agent.address) as curl:
        yield curl


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
@pytest.mark.parametrize("path", ["agent/services", "nowhere"])
async def test_web_pages_are_refused(curl: Curl, headers: dict[str, str], path: str) -> None:
    answer = await curl("GET", path, headers=headers)
    assert answer.status == 403
    assert "refused" in answer.text


async def test_a_page_cannot_register(curl: Curl) -> None:
    answer = await curl(
        "PUT", "agent/service/register", {"Name": "x"}, headers={"Origin": "https://evil.example"}
    )
    assert answer.status == 403
    assert await curl.get("agent/services") == {}


async def test_it_does_not_name_its_software(curl: Curl) -> None:
    assert "server" not in (await curl("GET", "agent/services")).headers


async def test_what_it_does_not_have_is_said(curl: Curl) -> None:
    answer = await curl("GET", "kv/x")
    assert (answer.status, answer.text) == (
        404,
        "/v1/kv/x: the embedded agent has only a part of Consul's API",
    )


async def test_a_body_too_large_is_refused(curl: Curl) -> None:
    answer = await curl("PUT", "agent/service/register", {"Name": "x" * 3000})
    assert answer.status == 413
    assert answer.text.startswith("Request body too large")


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.agent.api.BODY_TIMEOUT_S", 0.05)
    async with EmbeddedAgent("127.0.0.1", 0) as agent:
        host, port = agent.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"PUT /v1/agent/service/register HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{"
        )
        async with asyncio.timeout(10):
            assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


READS = (
    "agent/services", "agent/checks", "agent/self", "catalog/services", "catalog/service/auth",
    "health/service/auth", "health/checks/auth", "health/state/any", "health/node/quaymaster",
)  # fmt: skip
NO_TEXT = "\ud800"
"""Half a character: JSON can write it, and UTF-8 can't."""
TTL = {"TTL": "10s"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("agent/service/register", {"Name": NO_TEXT}),
        ("agent/service/register", {"Name": "auth", "ID": NO_TEXT}),
        ("agent/service/register", {"Name": "auth", "Address": NO_TEXT}),
        ("agent/service/register", {"Name": "auth", "Tags": ["ok", NO_TEXT]}),
        ("agent/service/register", {"Name": "auth", "Meta": {"k": NO_TEXT}}),
        ("agent/service/register", {"Name": "auth", "Meta": {NO_TEXT: "v"}}),
        ("agent/service/register", {"Name": "auth", NO_TEXT: 1}),
        ("agent/service/register", {"Name": "auth", "Port": 2**70}),
        ("agent/service/register", {"Name": "auth", "Port": 2**64 - 1}),
        ("agent/service/register", {"Name": "auth", "TaggedAddresses": {"lan": {"Port": -(2**70)}}}),
        ("agent/service/register", {"Name": "auth", "TaggedAddresses": {NO_TEXT: {"Port": 1}}}),
        ("agent/service/register", {"Name": "auth", "Check": {**TTL, "Notes": NO_TEXT}}),
        ("agent/service/register", {"Name": "auth", "Check": {**TTL, "OutputMaxSize": 2**70}}),
        ("agent/check/register", {"Name": NO_TEXT, **TTL}),
        ("agent/check/register", {"Name": "c", "ID": NO_TEXT, **TTL}),
        ("agent/check/register", {"Name": "c", "Notes": NO_TEXT, **TTL}),
        ("agent/check/update/service:good", {"Status": "passing", "Output": NO_TEXT}),
    ],
)
async def test_what_no_answer_could_hold_is_refused_and_stops_nobody(
    curl: Curl, path: str, body: dict[str, Any]
) -> None:
    await curl.put("agent/service/register", {"Name": "good", "Check": TTL})
    answer = await curl("PUT", path, body)
    assert answer.status == 400
    assert answer.text.startswith("Request decode failed: ")
    for read in READS:
        await curl.get(read)
    assert list(await curl.get("agent/services")) == ["good"]


@pytest.mark.parametrize("odd", ["%EA", "%ED%A0%80"])
async def test_odd_bytes_in_a_path_or_query_stop_nobody(curl: Curl, odd: str) -> None:
    await curl.put("agent/service/register", {"Name": "auth", "Check": TTL})
    await curl.put(f"agent/check/pass/service:auth?note=pr{odd}t")
    await curl.put(f"agent/service/maintenance/auth?enable=true&reason=pr{odd}t")
    assert (await curl("PUT", f"agent/check/pass/pr{odd}t")).status == 500
    assert (await curl("GET", f"nowhere/pr{odd}t")).status == 404
    for read in (*READS, f"health/service/pr{odd}t"):
        await curl.get(read)


async def test_full_is_said_and_who_is_there_is_still_served(curl: Curl) -> None:
    await curl.put("agent/service/register", {"Name": "a", "Check": {"TTL": "10s"}})
    await curl.put("agent/service/register", {"Name": "b"})
    answer = await curl("PUT", "agent/service/register", {"Name": "c"})
    assert (answer.status, answer.text) == (503, "this agent holds at most 2 services")
    for n in range(2):
        await curl.put("agent/check/register", {"Name": f"c{n}", "TTL": "10s"})
    answer = await curl("PUT", "agent/check/register", {"Name": "one too many", "TTL": "10s"})
    assert (answer.status, answer.text) == (503, "this agent holds at most 3 checks")
    await curl.put("agent/service/register", {"Name": "a", "Check": {"TTL": "10s"}})
    await curl.put("agent/service/maintenance/a?enable=true")


async def test_places_for_waiters_are_bounded_and_come_back_when_a_client_leaves() -> None:
    async with EmbeddedAgent("127.0.0.1", 0, limits=LIMITS) as agent, Curl(agent.address) as curl:
        question = f"catalog/services?index={(await curl('GET', 'catalog/services')).index}"
        host, port = agent.address.split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /v1/{question} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await until(lambda: agent.waiting == 1)
        answer = await curl("GET", question)
        assert answer.status == 429
        assert "too many blocking queries" in answer.text
        writer.close()
        await until(lambda: agent.waiting == 0)
        assert (await curl("GET", question + "&wait=1ms")).status == 200
        await writer.wait_closed()


async def test_filters_are_refused_and_never_ignored(curl: Curl) -> None:
    for path in ("health/service/x", "agent/services", "agent/checks", "catalog/services"):
        answer = await curl("GET", f"{path}?filter=Port+==+80")
        assert answer.status == 400
        assert answer.text.startswith("?filter is not supported by the embedded agent")


async def test_unsupported_checks_are_refused_and_never_ignored(curl: Curl) -> None:
    answer = await curl(
        "PUT", "agent/service/register", {"Name": "x", "Check": {"GRPC": "x:1", "Interval": "1s"}}
    )
    assert answer.status == 400
    assert await curl.get("agent/services") == {}


async def test_pretty_has_lines(curl: Curl) -> None:
    assert "\n" not in (await curl("GET", "agent/self")).text
    assert "\n" in (await curl("GET", "agent/self?pretty")).text
