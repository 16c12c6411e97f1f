"""`/ping`, `/health…` and `/metrics`."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pytest

from gateway.runtime.app import Gateway
from tests.balancer.origins import (
    Connection,
    answers,
    answers_once_then_closes_on_the_second,
    counts_requests,
    never_answers,
    origin,
    refuses,
    until,
)
from tests.gateway.runtime.consuls import deregister, register_in
from tests.gateway.runtime.gateways import (
    KEY,
    ask,
    eventually,
    gateway,
    in_flight,
    request,
    settings_of,
    wire,
)
from tests.gateway.runtime.scrapes import scrape
from tests.servers import ConsulAgent

fails = answers(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
INTERNAL = ("/health/detailed", "/metrics", "/get_service_instance?service_name=auth")
ELSEWHERE = {"networks": ["10.0.0.0/8"], "key": KEY}


async def test_ping_says_exactly_what_the_chat_gateway_says() -> None:
    async with gateway() as running:
        answer = await ask(running.port, "GET", "/ping")
        assert answer.status == 200
        assert answer.body == '{"message":"API Gateway работает"}'.encode()
        assert answer.one("Content-Type") == "application/json; charset=utf-8"


async def test_the_three_healths_of_a_good_gateway() -> None:
    async with gateway() as running:
        live, ready, health = [
            (await ask(running.port, "GET", path)).json()
            for path in ("/health/live", "/health/ready", "/health")
        ]
        assert live == {"status": "alive"}
        assert ready == {"status": "ready", "checks": {"discovery": True, "draining": False}}
        assert health["status"] == "healthy"


PROBED = {"interval_s": 0.05, "timeout_s": 5}


async def test_the_health_of_every_service_and_dependency_with_its_response_time() -> None:
    check = {"interval_s": 0.05, "up": 1, "down": 1}
    async with origin(counts_requests) as there, origin(is_a_redis) as redis:
        urls = [f"http://127.0.0.1:{there.instance.port}"]
        probes = {"redis": PROBED | {"url": f"redis://:canary@127.0.0.1:{redis.instance.port}"}}
        health = {"probes": probes, "version": "1.0.0", "environment": "test"}
        services = {"auth": {"instances": urls, "health_check": check}, "idle": {"instances": urls}}
        async with gateway(services=services, health=health) as running:

            async def all_is_known() -> bool:
                services = (await ask(running.port, "GET", "/health")).json()["services"]
                return bool(services["redis"]["status"] == "healthy" and services["auth"]["response_time"])

            await eventually(all_is_known)
            said = await ask(running.port, "GET", "/health")
            body = said.json()
            assert (said.status, body["status"]) == (200, "healthy")
            assert (body["version"], body["environment"]) == ("1.0.0", "test")
            assert body["timestamp"].endswith("Z")
            assert list(body["services"]) == ["auth", "idle", "redis"]
            assert body["services"]["idle"] == {"status": "healthy", "response_time": None}
            assert body["services"]["redis"]["response_time"] > 0
            detailed = await ask(running.port, "GET", "/health/detailed")
            assert detailed.json()["probes"]["redis"]["status"] == "up"
            assert b"canary" not in said.body + detailed.body
            found = await scrape(running.port)
            assert found['quaymaster_probe_up{probe="redis"}'] == 1
            assert found['quaymaster_probe_seconds{probe="redis"}'] > 0


async def is_a_redis(connection: Connection) -> None:
    await connection.reader.read(4096)
    await connection.say(b"+OK\r\n+PONG\r\n")
    await connection.reader.read()


async def test_a_service_that_takes_no_calls_is_not_well_although_nobody_checks_it() -> None:
    async with refuses() as nobody, origin(counts_requests) as there:
        dead, well = (f"http://127.0.0.1:{port}" for port in (nobody.port, there.instance.port))
        services = {"auth": {"instances": [dead]}, "idle": {"instances": [well]}}
        async with gateway(services=services) as running:
            assert (await ask(running.port, "GET", "/open/x")).status == 502

            async def is_told() -> bool:
                body = (await ask(running.port, "GET", "/health")).json()
                statuses = {name: part["status"] for name, part in body["services"].items()}
                return (body["status"], statuses) == (
                    "degraded",
                    {"auth": "unhealthy", "idle": "healthy"},
                )

            await eventually(is_told)


async def test_health_has_the_names_and_the_form_that_the_settings_give_it() -> None:
    health = {"aliases": ["/api/health/"], "services": "brief"}
    async with gateway(health=health) as running:
        answers = [(await ask(running.port, "GET", path)) for path in ("/health", "/api/health/")]
        assert [answer.json()["services"] for answer in answers] == [{"auth": "up"}] * 2
        assert (await ask(running.port, "GET", "/api/health")).status == 404
        assert (await ask(running.port, "POST", "/api/health/")).one("Allow") == "GET, HEAD"


async def test_a_gateway_is_not_ready_without_what_it_requires_and_lives_all_the_same() -> None:
    async with refuses() as nobody, origin(is_a_redis) as redis:
        required = {"url": f"tcp://127.0.0.1:{nobody.port}", "required": True}
        other = {"url": f"redis://:pw@127.0.0.1:{redis.instance.port}", "required": True}
        probes = {"db": PROBED | required, "cache": PROBED | other}
        async with Gateway(settings_of(health={"probes": probes})) as running:

            async def all_are_asked() -> bool:
                detailed = (await ask(running.port, "GET", "/health/detailed")).json()
                return all(probe["status"] != "unknown" for probe in detailed["probes"].values())

            await eventually(all_are_asked)
            ready = await ask(running.port, "GET", "/health/ready")
            assert ready.status == 503
            assert ready.json()["checks"]["probes"] == {"db": False, "cache": True}

            async def is_said() -> bool:
                return (await ask(running.port, "GET", "/health")).status == 503

            await eventually(is_said)
            assert (await ask(running.port, "GET", "/health")).json()["status"] == "unhealthy"
            assert (await ask(running.port, "GET", "/health/live")).status == 200
            assert (await ask(running.port, "GET", "/open/x")).status == 502


async def test_new_settings_change_what_is_probed() -> None:
    async with origin(is_a_redis) as redis, gateway() as running:
        assert (await ask(running.port, "GET", "/health/detailed")).json()["probes"] == {}
        probes = {"cache": PROBED | {"url": f"redis://:pw@127.0.0.1:{redis.instance.port}"}}
        await running.follow(settings_of(health={"probes": probes}))

        async def is_up() -> bool:
            services = (await ask(running.port, "GET", "/health")).json()["services"]
            return bool(services.get("cache", {}).get("status") == "healthy")

        await eventually(is_up)
        await running.follow(settings_of())
        assert (await ask(running.port, "GET", "/health/detailed")).json()["probes"] == {}


async def test_before_the_registry_has_answered_it_is_alive_and_not_ready() -> None:
    registry = {"backend": "consul", "address": "127.0.0.1:1", "register_as": None}
    async with Gateway(settings_of(registry=registry)) as running:
        assert (await ask(running.port, "GET", "/health/live")).status == 200
        ready = await ask(running.port, "GET", "/health/ready")
        assert (ready.status, ready.json()["checks"]["discovery"]) == (503, False)
        assert (await ask(running.port, "GET", "/health")).json()["status"] == "degraded"


async def test_while_it_drains_it_serves_and_is_not_ready() -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        await running.drain()
        ready = await ask(running.port, "GET", "/health/ready")
        assert (ready.status, ready.json()["checks"]) == (503, {"discovery": True, "draining": True})
        assert (await ask(running.port, "GET", "/health/live")).status == 200
        assert (await ask(running.port, "GET", "/open/x")).status == 200


async def test_the_detailed_health_shows_instances_with_their_load() -> None:
    async with (
        origin(never_answers) as there,
        gateway(there.instance) as running,
        wire(running.port) as client,
    ):
        await client.say(request("GET", "/open/x"))
        await until(lambda: there.requests)
        detailed = (await ask(running.port, "GET", "/health/detailed")).json()
        (instance,) = detailed["services"]["auth"]["instances"]
        assert detailed["status"] == "healthy"
        assert detailed["services"]["auth"]["status"] == "known"
        assert instance["url"] == f"http://127.0.0.1:{there.instance.port}"
        assert (instance["active"], instance["health"], instance["aside"]) == (1, "passing", False)


async def test_an_instance_that_is_put_aside_is_shown_with_the_reason() -> None:
    ejection = {"server_errors": 2, "base_s": 60, "max_s": 60}
    async with origin(fails) as bad, origin(counts_requests) as good:
        urls = [f"http://127.0.0.1:{there.instance.port}" for there in (bad, good)]
        services = {
            "auth": {"instances": urls, "ejection": ejection, "circuit": {}, "concurrency": {"service": 9}}
        }
        async with gateway(services=services) as running:
            while bad.requests < 2:
                await ask(running.port, "POST", "/open/x")
            detailed = (await ask(running.port, "GET", "/health/detailed")).json()["services"]["auth"]
            shown = {instance["url"]: instance for instance in detailed["instances"]}
            aside, well = (shown[url] for url in urls)
            assert (aside["aside"], aside["aside_reason"], aside["weight_now"]) == (
                True,
                "server_errors",
                0.0,
            )
            assert 50 < aside["aside_for_s"] <= 60
            assert (well["aside"], well["aside_reason"], well["weight_now"]) == (False, None, 1.0)
            assert (detailed["circuit"], detailed["limit"], detailed["queued"]) == ("closed", 9, 0)
            assert (detailed["source"], detailed["panic"]) == ("registry", False)
            found = await scrape(running.port)
            assert found['quaymaster_ejections_total{reason="server_errors",service="auth"}'] == 1
            assert found['quaymaster_instances_aside{reason="server_errors",service="auth"}'] == 1
            assert found['quaymaster_circuit{service="auth",state="closed"}'] == 1
            assert found['quaymaster_service_limit{service="auth"}'] == 9


async def test_our_own_verdict_stands_beside_the_registrys() -> None:
    async with origin(fails) as bad, origin(counts_requests) as good:
        urls = [f"http://127.0.0.1:{there.instance.port}" for there in (bad, good)]
        check = {"interval_s": 0.05, "up": 1, "down": 1}
        async with gateway(services={"auth": {"instances": urls, "health_check": check}}) as running:

            async def all_are_judged() -> bool:
                found = (await ask(running.port, "GET", "/health/detailed")).json()["services"]["auth"]
                verdicts = {i["url"]: (i["health"], i["verdict"]) for i in found["instances"]}
                return verdicts == {urls[0]: ("passing", "down"), urls[1]: ("passing", "up")}

            await eventually(all_are_judged)
            found = await scrape(running.port)
            assert found['quaymaster_instances_checked{service="auth",verdict="down"}'] == 1
            assert found['quaymaster_health_checks_failed_total{reason="status",service="auth"}'] >= 1


async def test_a_registration_that_is_left_out_is_shown_with_its_reason(consul: ConsulAgent) -> None:
    """Consul takes port 0; calls can't go there, and the good instance beside it is not harmed."""
    registry = {"backend": "consul", "address": consul.address, "register_as": None}
    services: dict[str, object] = {"health-odd": {}}
    routes = [{"path": "/open/*", "service": "health-odd", "access": "public"}]
    await register_in(consul, "health-odd", 0)
    await register_in(consul, "health-odd", 9101)
    try:
        async with gateway(registry=registry, services=services, routes=routes) as running:
            detailed = (await ask(running.port, "GET", "/health/detailed")).json()
            odd = detailed["services"]["health-odd"]
            assert [(q["id"], q["reason"]) for q in odd["quarantined"]] == [("health-odd-0", "bad_port")]
            assert [instance["id"] for instance in odd["instances"]] == ["health-odd-9101"]
            metrics = (await ask(running.port, "GET", "/metrics")).body.decode()
            assert 'quaymaster_instances_quarantined{reason="bad_port",service="health-odd"} 1.0' in metrics
    finally:
        await deregister(consul, "health-odd-0")
        await deregister(consul, "health-odd-9101")


async def test_internal_endpoints_are_open_to_loopback() -> None:
    async with gateway() as running:
        for path in INTERNAL:
            assert (await ask(running.port, "GET", path)).status == 200


async def test_from_elsewhere_they_need_the_key() -> None:
    async with gateway(internal=ELSEWHERE) as running:
        for path in INTERNAL:
            for headers in ([], ["X-Internal-Key: "], [f"X-Internal-Key: {KEY[:-1]}"]):
                refused = await ask(running.port, "GET", path, *headers)
                assert (refused.status, refused.json()["reason"]) == (403, "forbidden")
            assert (await ask(running.port, "GET", path, f"X-Internal-Key: {KEY}")).status == 200


async def test_the_public_ones_are_open_to_everybody() -> None:
    async with gateway(internal=ELSEWHERE) as running:
        for path in ("/ping", "/health", "/health/live", "/health/ready"):
            assert (await ask(running.port, "GET", path)).status == 200


async def test_a_proxy_in_between_that_is_not_trusted_makes_nobody_internal() -> None:
    async with gateway() as running:
        refused = await ask(running.port, "GET", "/metrics", "X-Forwarded-For: 203.0.113.7")
        assert refused.status == 403


async def test_metrics_are_prometheus_text_and_count_what_happened() -> None:
    async with origin(counts_requests) as there, gateway(there.instance) as running:
        for _ in range(3):
            await ask(running.port, "GET", "/open/x")
        await ask(running.port, "GET", "/nowhere")
        answer = await ask(running.port, "GET", "/metrics")
        assert answer.one("Content-Type").startswith("text/plain; version=0.0.4")
        lines = answer.body.decode().splitlines()
        assert 'quaymaster_requests_total{code="200",method="GET",route="/open/*"} 3.0' in lines
        assert 'quaymaster_requests_total{code="404",method="GET",route="none"} 1.0' in lines
        assert 'quaymaster_errors_total{reason="no_route"} 1.0' in lines
        assert 'quaymaster_upstream_requests_total{code="200",outcome="done_ok",service="auth"} 3.0' in lines


async def test_a_thousand_paths_make_no_new_series() -> None:
    async with gateway() as running:
        await ask(running.port, "GET", "/first")
        await ask(running.port, "GET", "/metrics")
        before = await series(running.port)
        async with wire(running.port) as client:
            for n in range(1000):
                await client.say(request("GET", f"/random-{n}?q={n}", f"X-Request-Id: {n}"))
                assert (await client.answer()).status == 404
        assert await series(running.port) == before


async def series(port: int) -> set[str]:
    lines = (await ask(port, "GET", "/metrics")).body.decode().splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


async def test_connections_show_as_in_use_and_as_idle() -> None:
    in_use, idle = (
        f'quaymaster_upstream_connections{{service="auth",state="{state}"}}' for state in ("in_use", "idle")
    )
    async with origin(answers_at_a_word) as there, gateway(there.instance) as running:
        async with wire(running.port) as client:
            await client.say(request("GET", "/open/x"))
            await until(lambda: there.requests)
            found = await scrape(running.port)
            assert (found[in_use], found[idle]) == (1, 0)
            there.go.set()
            assert (await client.answer()).status == 200
        found = await scrape(running.port)
        assert (found[in_use], found[idle]) == (0, 1)


async def answers_at_a_word(connection: Connection) -> None:
    await connection.request()
    await connection.origin.go.wait()
    await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await connection.reader.read()


async def test_a_request_that_went_out_again_is_counted() -> None:
    async with origin(answers_once_then_closes_on_the_second) as there, gateway(there.instance) as running:
        for _ in range(2):
            assert (await ask(running.port, "GET", "/open/x")).status == 200
        assert (await scrape(running.port))['quaymaster_upstream_resent_total{service="auth"}'] == 1


async def test_open_tunnels_are_counted_by_service() -> None:
    websocket = ("Connection: Upgrade", "Upgrade: websocket")
    tunnels = 'quaymaster_tunnels{service="auth"}'
    async with origin(switches_protocols) as there, gateway(there.instance) as running:
        async with wire(running.port) as client:
            await client.say(request("GET", "/open/x", *websocket))
            assert (await client.answer(to_head=True)).status == 101
            found = await scrape(running.port)
            assert found[tunnels] == 1
            assert found["quaymaster_client_connections"] == 2

        async def is_closed() -> bool:
            return tunnels not in await scrape(running.port)

        await eventually(is_closed)


async def switches_protocols(connection: Connection) -> None:
    await connection.request()
    await connection.say(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    await connection.reader.read()


async def test_client_connections_are_those_open_now() -> None:
    async with gateway() as running, wire(running.port) as one:
        await one.say(request("GET", "/ping"))
        await one.answer()
        async with wire(running.port) as other:
            await other.say(request("GET", "/ping"))
            await other.answer()
            assert (await scrape(running.port))["quaymaster_client_connections"] == 3

        async def are_two() -> bool:
            return (await scrape(running.port))["quaymaster_client_connections"] == 2

        await eventually(are_two)


class LogsToDisk(io.StringIO):
    """A standard output whose bytes go to a file."""

    def __init__(self, disk: BinaryIO) -> None:
        super().__init__()
        self._disk = disk

    @property
    def buffer(self) -> BinaryIO:
        return self._disk


@contextmanager
def full_disk() -> Iterator[LogsToDisk]:
    """A standard output with no space left."""
    with open("/dev/full", "wb", buffering=0) as disk:
        yield LogsToDisk(disk)


async def test_log_lines_that_a_full_disk_did_not_take_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with full_disk() as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        async with gateway(logging={"level": "info"}) as running:
            await ask(running.port, "GET", "/ping")

            async def are_counted() -> bool:
                return (await scrape(running.port))["quaymaster_access_log_dropped_total"] == 1

            await eventually(are_counted)


async def test_a_departed_instance_takes_its_series_with_it(consul: ConsulAgent) -> None:
    registry = {"backend": "consul", "address": consul.address, "register_as": None, "suspect_s": 0}
    services: dict[str, object] = {"health-brief": {}}
    routes = [{"path": "/open/*", "service": "health-brief", "access": "public"}]
    for port in (9101, 9102):
        await register_in(consul, "health-brief", port)
    try:
        async with gateway(registry=registry, services=services, routes=routes) as running:
            assert 'instance="health-brief-9102"' in "".join(await series(running.port))
            await deregister(consul, "health-brief-9102")

            async def is_gone() -> bool:
                return 'instance="health-brief-9102"' not in "".join(await series(running.port))

            await eventually(is_gone)
            assert 'instance="health-brief-9101"' in "".join(await series(running.port))
    finally:
        await deregister(consul, "health-brief-9101")


async def test_calls_in_flight_are_back_at_zero_when_their_clients_have_gone() -> None:
    async with origin(never_answers) as there, gateway(there.instance) as running:
        async with wire(running.port) as one, wire(running.port) as other:
            await one.say(request("GET", "/open/x"))
            await other.say(request("GET", "/open/x"))
            await until(lambda: there.requests == 2)
            assert await in_flight(running.port) == 2

        async def is_idle() -> bool:
            return await in_flight(running.port) == 0

        await eventually(is_idle)
        await until(lambda: there.open_connections == 0)
