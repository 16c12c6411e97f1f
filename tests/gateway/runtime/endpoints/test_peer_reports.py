"""`/report_instance`, as microservices that called a peer tell of it."""

import asyncio
import json
from typing import Any

import pytest

from gateway.runtime.app import Gateway
from registry.model import Instance
from tests.balancer.origins import instance_at
from tests.gateway.runtime.gateways import (
    RawAnswer,
    Wire,
    ask,
    gateway,
    post_json,
    request,
    settings_of,
)
from tests.gateway.runtime.scrapes import scrape

PORTS = (9101, 9102, 9103, 9104)


def four() -> list[Instance]:
    return [instance_at(port, str(port)) for port in PORTS]


async def report(port: int, caller: str = "127.0.0.1", **body: Any) -> RawAnswer:
    """From a caller with that address."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(caller, 0))
    try:
        client, content = Wire(reader, writer), json.dumps({"service_name": "auth", **body}).encode()
        await client.say(request("POST", "/report_instance", body=content))
        return await client.answer()
    finally:
        writer.close()


async def id_of(port: int, url: str) -> str:
    found = (await ask(port, "GET", "/health/detailed")).json()["services"]["auth"]["instances"]
    name: str = next(instance["id"] for instance in found if instance["url"] == url)
    return name


async def urls_aside(port: int) -> set[str]:
    found = (await ask(port, "GET", "/health/detailed")).json()["services"]["auth"]["instances"]
    return {instance["url"] for instance in found if instance["aside"]}


async def test_a_report_of_a_known_instance_is_taken_and_counted() -> None:
    async with gateway(*four()) as running:
        url = "http://127.0.0.1:9101"
        by_url = await report(running.port, url=url, outcome="timeout")
        assert (by_url.status, by_url.json()) == (202, {"status": "taken"})
        by_id = await report(running.port, id=await id_of(running.port, url), outcome="ok")
        assert by_id.status == 202
        found = await scrape(running.port)
        assert found['quaymaster_reports_total{outcome="timeout",service="auth"}'] == 1
        assert found['quaymaster_reports_total{outcome="ok",service="auth"}'] == 1


async def test_two_callers_put_an_instance_aside_and_one_does_not() -> None:
    async with gateway(*four()) as running:
        lone, bad = "http://127.0.0.1:9101", "http://127.0.0.1:9102"
        for _ in range(50):
            assert (await report(running.port, url=lone, outcome="server_error")).status == 202
            for caller in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
                assert (await report(running.port, caller, url=bad, outcome="connect_failed")).status == 202
        assert await urls_aside(running.port) == {bad}
        told = (await ask(running.port, "GET", "/get_service_instance?service_name=auth")).json()
        assert bad not in {told["instance"]["url"], *(other["url"] for other in told["alternates"])}


@pytest.mark.parametrize(
    ("body", "reason", "said"),
    [
        ({"id": "x", "outcome": "ok"}, "unknown_instance", "no such instance"),
        ({"url": "http://127.0.0.1:1", "outcome": "ok"}, "unknown_instance", "no such instance"),
        ({"outcome": "ok"}, "missing_parameter", "id and url are missing"),
        ({"id": "x"}, "bad_parameter", "outcome: Field required"),
        ({"id": "x", "outcome": "bad"}, "bad_parameter", "'connect_failed', 'timeout' or 'server_error'"),
        ({"id": 7, "outcome": "ok"}, "bad_parameter", "id: Input should be a valid string"),
        ({"id": "x", "outcome": "ok", "service_name": "../kv"}, "bad_parameter", "service_name must be"),
        ({"id": "x", "outcome": "ok", "service_name": "nobody"}, "unknown_service", "no service"),
    ],
)
async def test_what_can_not_be_taken_is_refused_with_the_reason(
    body: dict[str, Any], reason: str, said: str
) -> None:
    async with gateway(*four()) as running:
        refused = await report(running.port, **body)
        assert refused.json()["reason"] == reason
        assert refused.status == (404 if reason.startswith("unknown") else 400)
        assert said in refused.json()["message"]


async def test_reports_of_nobody_are_counted_as_that() -> None:
    async with gateway(*four()) as running:
        await report(running.port, id="gone", outcome="timeout")
        await report(running.port, service_name="nobody", id="gone", outcome="timeout")
        found = await scrape(running.port)
        counted = {name: n for name, n in found.items() if name.startswith("quaymaster_reports_total")}
        assert counted == {'quaymaster_reports_total{outcome="unknown_instance",service="auth"}': 1}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"auth"'])
async def test_what_is_no_report_is_a_400(body: bytes) -> None:
    async with gateway(*four()) as running:
        assert (await post_json(running.port, "/report_instance", body)).status == 400


async def test_before_the_registry_has_answered_nothing_is_called_unknown() -> None:
    registry = {"backend": "consul", "address": "127.0.0.1:1", "register_as": None}
    async with Gateway(settings_of(registry=registry)) as running:
        answer = await report(running.port, service_name="anything", id="a", outcome="ok")
        assert (answer.status, answer.json()["reason"]) == (503, "registry_unreachable")


async def test_only_internal_callers_report() -> None:
    async with gateway(*four(), internal={"networks": ["10.0.0.0/8"]}) as running:
        assert (await report(running.port, id="a", outcome="ok")).status == 403
        assert (await ask(running.port, "GET", "/report_instance")).status == 405
