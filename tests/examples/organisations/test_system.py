"""Every endpoint of the list, every event that it names, and what the gateway promises beside them."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, redirect_stdout
from io import BytesIO, TextIOWrapper

import pytest
import pytest_asyncio

from examples.organisations import auth
from examples.organisations.system import EXAMPLE
from examples.standins.service import Build
from tests.balancer.origins import origin, refuses
from tests.examples.organisations.seed import EVENTS, LINES
from tests.examples.standins.readme import wrong_lines
from tests.examples.standins.running import Running, register, running
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
from tests.gateway.probes.behaviours import ASKS_FOR_A_PASSWORD
from tests.gateway.probes.behaviours import says as speaks_postgres
from tests.gateway.runtime.gateways import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGISTER = "/v1/client/sign-up"
KEY = "the key of the services inside"
SERVICES: Mapping[str, Build | str] = {"AUTH_SERVICE_URL": auth.build}


def organisations(**environment: str) -> AbstractAsyncContextManager[Running]:
    return running(EXAMPLE, SERVICES, {"INTERNAL_SERVICE_KEY": KEY, **environment})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told() -> AsyncIterator[tuple[Walk, BytesIO]]:
    """The walk, and what auth-service has written to its log meanwhile."""
    out = BytesIO()
    with redirect_stdout(TextIOWrapper(out)):
        async with organisations() as example:
            ids = await register(example, REGISTER, "ada", "bob")
            walked = await walk(example, LINES, {"user_id": ids["bob"]})
            yield walked, out


@pytest.fixture
def walked(told: tuple[Walk, BytesIO]) -> Walk:
    return told[0]


@pytest.mark.parametrize("line", LINES, ids=str)
async def test_what_the_list_names_is_there(walked: Walk, line: Line) -> None:
    assert walked.problem(line) is None


@pytest.mark.parametrize("line", of_access(LINES, "user"), ids=str)
async def test_nobody_without_a_token_gets_there(walked: Walk, line: Line) -> None:
    assert await stranger_refused(walked, line) is None


@pytest.mark.parametrize("line", of_access(LINES, "internal"), ids=str)
async def test_what_is_for_services_is_not_for_pages_elsewhere(walked: Walk, line: Line) -> None:
    assert await outsider_refused(walked, line) is None


async def test_a_service_elsewhere_shows_the_internal_key(walked: Walk) -> None:
    path, host = f"/auth/user/{walked.kept['ada']}", "elsewhere.example.org"
    asked = [
        await walked.example.ask("GET", path, f"X-Internal-Key: {key}", host=host) for key in (KEY, KEY[::-1])
    ]
    assert [answer.status for answer in asked] == [200, 403]


async def test_every_event_that_the_list_names_is_told_as_a_line_of_json(told: tuple[Walk, BytesIO]) -> None:
    lines = [json.loads(line) for line in told[1].getvalue().splitlines() if line.startswith(b"{")]
    heard = {topic: {line["event"] for line in lines if line["topic"] == topic} for topic in EVENTS}
    assert heard == EVENTS
    assert all(line.keys() >= {"timestamp", "user_id"} for line in lines)


async def test_only_who_manages_an_organisation_gets_past_the_gateway(walked: Walk) -> None:
    for method, path in (("POST", "invite"), ("DELETE", "member/x"), ("PATCH", "member/x/role")):
        answer = await walked.example.ask(method, f"/v1/org/{walked.kept['id']}/{path}", who="bob")
        assert answer.status == 403
        assert mismatch(ERROR | {"reason": "missing_role"}, answer.json()) is None


async def test_services_hear_which_organisation_is_the_active_one(walked: Walk) -> None:
    forged = "X-Org-Id: somebody-elses"
    of_ada = await walked.example.ask("GET", "/v1/client/me", forged, who="owner")
    assert of_ada.json()["active_org"] == walked.kept["id"]
    of_bob = await walked.example.ask("GET", "/v1/client/me", forged, who="bob")
    assert of_bob.json()["active_org"] is None


async def test_who_has_logged_out_is_out_once_the_gateway_asks_again() -> None:
    async with organisations() as example:
        await register(example, REGISTER, "ada")
        assert (await example.ask("GET", "/v1/client/me", who="ada")).status == 200
        assert (await example.ask("POST", "/v1/client/logout", who="ada")).status == 200

        async def is_out() -> bool:
            return (await example.ask("GET", "/v1/client/me", who="ada")).status == 401

        await eventually(is_out)


async def test_nobody_is_let_in_while_nobody_can_say_who_they_are() -> None:
    async with refuses() as gone:
        services = {"AUTH_SERVICE_URL": f"http://127.0.0.1:{gone.port}"}
        async with running(EXAMPLE, services, {"INTERNAL_SERVICE_KEY": KEY}) as example:
            example.tokens["ada"] = "a-token-that-may-be-good"
            answer = await example.ask("GET", "/v1/client/me", who="ada")
    assert answer.status == 503
    assert mismatch(ERROR | {"reason": "identity_unavailable"}, answer.json()) is None


async def test_health_says_how_the_database_is() -> None:
    async with origin(speaks_postgres(ASKS_FOR_A_PASSWORD)) as postgres:
        url = f"postgresql+asyncpg://user:password@127.0.0.1:{postgres.instance.port}/gateway_db"
        async with organisations(DATABASE_URL=url) as example:

            async def is_healthy() -> bool:
                services = (await example.ask("GET", "/health")).json()["services"]
                return mismatch({"status": "healthy", "response_time": float}, services["postgres"]) is None

            await eventually(is_healthy)


async def test_who_has_logged_out_gets_no_new_token(walked: Walk) -> None:
    answer = await walked.example.ask(
        "POST", "/v1/client/refresh_token", body={"refresh_token": walked.kept["refresh"]}
    )
    assert answer.status == 401
    assert mismatch(ERROR, answer.json()) is None


async def test_the_api_page_tells_of_every_line(walked: Walk) -> None:
    assert await undescribed(walked, LINES) == []
    page = await walked.example.ask("GET", "/docs")
    assert (page.status, page.one("Content-Type")) == (200, "text/html; charset=utf-8")


async def test_the_readmes_lines_say_what_the_readme_says() -> None:
    async with organisations() as example:
        assert not await wrong_lines(EXAMPLE, example.port)
