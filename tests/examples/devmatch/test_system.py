"""Every endpoint of DevMatch's list, and what its gateway promises beside them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager

import pytest
import pytest_asyncio

from examples.devmatch import matching, orchestrator, presence, tasks, users
from examples.devmatch.system import EXAMPLE
from examples.standins.service import Build
from tests.balancer.origins import answers, origin
from tests.examples.devmatch.seed import LINES
from tests.examples.standins.logs import ON, requests_in
from tests.examples.standins.metrics import read_metrics
from tests.examples.standins.readme import wrong_lines
from tests.examples.standins.running import SECRET, Running, register, running
from tests.examples.standins.shapes import mismatch
from tests.examples.standins.walk import (
    ERROR,
    Line,
    Walk,
    of_access,
    outsider_refused,
    stranger_refused,
    undescribed,
    walk,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGISTER = "/api/v1/auth/register"
CLOSED, OPEN = 0, 2
"""What gateway_circuit_breaker_state says."""
SERVICES: Mapping[str, Build | str] = {
    "USER_SERVICE_URL": users.build,
    "TASK_SERVICE_URL": tasks.build,
    "RECOMMENDATION_SERVICE_URL": matching.build,
    "PRESENCE_SERVICE_URL": presence.build,
    "ORCHESTRATOR_URL": orchestrator.build,
}


def devmatch(
    services: Mapping[str, Build | str] | None = None,
    overrides: Mapping[str, str] | None = None,
    **environment: str,
) -> AbstractAsyncContextManager[Running]:
    given = {"JWT_SECRET": SECRET, **environment}
    return running(EXAMPLE, {**SERVICES, **(services or {})}, given, overrides)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def walked() -> AsyncIterator[Walk]:
    async with devmatch() as example:
        await register(example, REGISTER, "ada", "leaver")
        yield await walk(example, LINES)


@pytest.mark.parametrize("line", LINES, ids=str)
async def test_what_the_list_names_is_there(walked: Walk, line: Line) -> None:
    assert walked.problem(line) is None


async def test_the_token_of_who_has_logged_out_is_good_no_more(walked: Walk) -> None:
    answer = await walked.example.ask("GET", "/api/v1/users/me", who="leaver")
    assert answer.status == 401
    assert mismatch(ERROR | {"reason": "revoked_token"}, answer.json()) is None


@pytest.mark.parametrize("line", of_access(LINES, "user"), ids=str)
async def test_nobody_without_a_token_gets_there(walked: Walk, line: Line) -> None:
    assert await stranger_refused(walked, line) is None


@pytest.mark.parametrize("line", of_access(LINES, "internal"), ids=str)
async def test_what_is_inside_is_not_for_pages_elsewhere(walked: Walk, line: Line) -> None:
    assert await outsider_refused(walked, line) is None


async def test_every_answer_has_the_id_that_its_request_came_with(walked: Walk) -> None:
    answer = await walked.example.ask("GET", "/api/v1/users/me", "X-Request-ID: mine-1", who="ada")
    assert answer.one("X-Request-ID") == "mine-1"


async def test_every_answer_says_how_long_it_took(walked: Walk) -> None:
    answer = await walked.example.ask("GET", "/api/v1/users/me", who="ada")
    assert float(answer.one("X-Process-Time")) > 0


async def test_the_metrics_have_the_names_that_the_dashboards_know(walked: Walk) -> None:
    found = read_metrics((await walked.example.ask("GET", "/metrics")).body)
    names = {name for name, _ in found}
    assert names >= {
        "gateway_requests_total",
        "gateway_request_duration_seconds_bucket",
        "gateway_active_connections",
        "gateway_service_calls_total",
        "gateway_circuit_breaker_state",
    }
    of_the_walk = {"method": "POST", "endpoint": "/api/v1/auth/login", "status": "200"}
    assert found["gateway_requests_total", frozenset(of_the_walk.items())] >= 1


async def test_errors_of_services_and_of_the_gateway_have_one_shape(walked: Walk) -> None:
    of_the_service = await walked.example.ask("GET", "/api/v1/tasks/nothing", who="ada")
    of_the_gateway = await walked.example.ask("GET", "/api/v2/tasks/", who="ada")
    for answer in (of_the_service, of_the_gateway):
        assert answer.status == 404
        assert mismatch(ERROR | {"error": "not_found"}, answer.json()) is None


async def test_the_log_has_a_line_with_the_lists_fields_for_each_request(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with devmatch(overrides=ON) as example:
        await example.ask("GET", "/api/v1/tasks/?token=secret", "X-Request-ID: mine-2")
    (line,) = [one for one in requests_in(capfd.readouterr().out) if one["request_id"] == "mine-2"]
    shape = {"timestamp": str, "level": "info", "service": "devmatch-gateway", "request_id": "mine-2"}
    shape |= {"method": "GET", "url": "/api/v1/tasks/", "status_code": 401, "duration_ms": float}
    assert mismatch(shape, line) is None


async def test_a_page_of_the_web_client_may_call_and_no_other(walked: Walk) -> None:
    asked = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type")
    path = "/api/v1/tasks/"
    ours = await walked.example.ask("OPTIONS", path, "Origin: http://localhost:3000", *asked)
    assert ours.one("Access-Control-Allow-Origin") == "http://localhost:3000"
    theirs = await walked.example.ask("OPTIONS", path, "Origin: https://elsewhere.example.org", *asked)
    assert not theirs.all("Access-Control-Allow-Origin")


async def test_recommendations_are_asked_for_once_in_a_while(walked: Walk) -> None:
    """The walk has deleted the task since."""
    path = f"/api/v1/matching/recommendations/{walked.kept['task_id']}"
    answer = await walked.example.ask("GET", path, who="ada")
    assert answer.status == 200
    assert "hit" in answer.one("Cache-Status")


async def test_the_limit_is_that_of_the_environment() -> None:
    async with devmatch(RATE_LIMIT_REQUESTS="2", RATE_LIMIT_WINDOW="30") as example:
        asked = [await example.ask("GET", "/api/v1/users/me") for _ in range(3)]
    assert [answer.status for answer in asked] == [401, 401, 429]
    assert asked[0].one("X-RateLimit-Limit") == "2"
    assert int(asked[2].one("Retry-After")) > 0
    text = "You have exceeded the rate limit of 2 requests per 30 seconds"
    assert mismatch(ERROR | {"reason": "rate_limited", "message": text}, asked[2].json()) is None


async def test_a_service_that_only_fails_is_left_alone_and_the_others_go_on() -> None:
    broken = answers(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n")
    async with origin(broken) as failing:
        services = {"RECOMMENDATION_SERVICE_URL": f"http://127.0.0.1:{failing.instance.port}"}
        async with devmatch(services) as example:
            await register(example, REGISTER, "ada")
            asked = {"skills": ["python"], "candidates": [{}]}
            failed = [
                await example.ask("POST", "/api/v1/matching/score", who="ada", body=asked) for _ in range(20)
            ]
            assert failed[0].status == 500
            assert failed[-1].status == 503
            assert failed[-1].json()["reason"] == "circuit_open"
            metrics = read_metrics((await example.ask("GET", "/metrics")).body)
            state = {
                service: metrics["gateway_circuit_breaker_state", frozenset({("service", service)})]
                for service in ("recommendation-service", "task-service")
            }
            assert state == {"recommendation-service": OPEN, "task-service": CLOSED}
            others = await example.ask("GET", "/api/v1/tasks/", who="ada")
            assert others.status == 200


async def test_the_api_page_tells_of_every_line(walked: Walk) -> None:
    assert await undescribed(walked, LINES) == []
    page = await walked.example.ask("GET", "/docs")
    assert (page.status, page.one("Content-Type")) == (200, "text/html; charset=utf-8")


async def test_the_readmes_lines_say_what_the_readme_says() -> None:
    async with devmatch() as example:
        assert not await wrong_lines(EXAMPLE, example.port)
