"""What is of this agent alone; everything it shares with Consul is in test_contract.py."""

import asyncio
from collections.abc import AsyncIterator

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
