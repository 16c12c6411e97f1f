"""Every line of the marketplace's lists, and what its gateway promises beside them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager

import jwt
import pytest
import pytest_asyncio

from examples.marketplace import content, freelance, goods, notifications, users
from examples.marketplace.system import EXAMPLE
from examples.standins.service import Build
from tests.balancer.origins import never_answers, origin, refuses
from tests.examples.marketplace.seed import LINES
from tests.examples.standins.readme import wrong_lines
from tests.examples.standins.running import SECRET, Running, register, running
from tests.examples.standins.shapes import mismatch
from tests.examples.standins.walk import ERROR, Line, Walk, of_access, stranger_refused, walk

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGISTER = "/api/users/"
SERVICES: Mapping[str, Build | str] = {
    "USER_SERVICE_URL": users.build,
    "NOTIFICATION_SERVICE_URL": notifications.build,
    "FREELANCE_SERVICE_URL": freelance.build,
    "CONTENT_SERVICE_URL": content.build,
    "MARKETPLACE_SERVICE_URL": goods.build,
}


def marketplace(
    services: Mapping[str, Build | str] | None = None,
    overrides: Mapping[str, str] | None = None,
    **environment: str,
) -> AbstractAsyncContextManager[Running]:
    return running(
        EXAMPLE, {**SERVICES, **(services or {})}, {"JWT_SECRET_KEY": SECRET, **environment}, overrides
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def walked() -> AsyncIterator[Walk]:
    async with marketplace() as example:
        await register(example, REGISTER, "ada", "leaver")
        yield await walk(example, LINES)


@pytest.mark.parametrize("line", LINES, ids=str)
async def test_what_the_list_names_is_there(walked: Walk, line: Line) -> None:
    assert walked.problem(line) is None


@pytest.mark.parametrize("line", of_access(LINES, "user"), ids=str)
async def test_nobody_without_a_token_gets_there(walked: Walk, line: Line) -> None:
    assert await stranger_refused(walked, line) is None


async def test_a_user_is_whom_the_user_id_of_the_token_names(walked: Walk) -> None:
    claims = jwt.decode(walked.example.tokens["ada"], options={"verify_signature": False})
    profile = await walked.example.ask("GET", "/api/profile/", who="ada")
    assert profile.json()["id"] == claims["user_id"]


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("no token", "invalid_token"),
        (jwt.encode({"user_id": "ada", "exp": 1}, SECRET, "HS256"), "expired_token"),
        (jwt.encode({"user_id": "ada", "exp": 1 << 33}, SECRET[::-1], "HS256"), "invalid_token"),
    ],
)
async def test_a_bad_token_is_told_what_is_wrong_with_it(walked: Walk, token: str, reason: str) -> None:
    answer = await walked.example.ask("GET", "/api/gigs/", f"Authorization: Bearer {token}")
    assert answer.status == 401
    assert mismatch(ERROR | {"reason": reason}, answer.json()) is None


async def test_a_page_of_the_shop_may_call_with_credentials(walked: Walk) -> None:
    answer = await walked.example.ask("GET", "/api/gigs/", "Origin: http://localhost:3000", who="ada")
    assert answer.one("Access-Control-Allow-Origin") == "http://localhost:3000"
    assert answer.one("Access-Control-Allow-Credentials") == "true"
    elsewhere = await walked.example.ask("GET", "/api/gigs/", "Origin: https://elsewhere.org", who="ada")
    assert not elsewhere.all("Access-Control-Allow-Origin")


async def test_a_service_that_is_gone_is_502_and_the_others_go_on() -> None:
    async with (
        refuses() as gone,
        marketplace({"CONTENT_SERVICE_URL": f"http://127.0.0.1:{gone.port}"}) as example,
    ):
        await register(example, REGISTER, "ada")
        answer = await example.ask("GET", "/api/posts/", who="ada")
        assert answer.status == 502
        assert mismatch(ERROR | {"error": "bad_gateway"}, answer.json()) is None
        assert (await example.ask("GET", "/api/products/", who="ada")).status == 200


async def test_a_service_that_never_answers_is_504() -> None:
    async with origin(never_answers) as silent:
        services = {"CONTENT_SERVICE_URL": f"http://127.0.0.1:{silent.instance.port}"}
        brief = {"services.content-service.timeouts.total_s": "0.2"}
        brief |= {
            f"services.content-service.timeouts.{name}": "0.2" for name in ("connect_s", "first_byte_s")
        }
        async with marketplace(services, brief) as example:
            await register(example, REGISTER, "ada")
            answer = await example.ask("GET", "/api/posts/", who="ada")
    assert answer.status == 504
    assert mismatch(ERROR | {"error": "gateway_timeout"}, answer.json()) is None


async def test_the_readmes_lines_say_what_the_readme_says() -> None:
    async with marketplace() as example:
        assert not await wrong_lines(EXAMPLE, example.port)
