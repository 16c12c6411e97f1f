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
from tests.examples.marketplace.seed import HEALTH, LINES
from tests.examples.standins.logs import ON, requests_in
from tests.examples.standins.readme import wrong_lines
from tests.examples.standins.running import SECRET, Running, register, running
from tests.examples.standins.shapes import mismatch
from tests.examples.standins.walk import ERROR, Line, Walk, of_access, stranger_refused, undescribed, walk
from tests.gateway.runtime.gateways import eventually, token
from tests.servers import forget_all, patient

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


async def test_the_token_of_who_has_logged_out_is_good_no_more(walked: Walk) -> None:
    answer = await walked.example.ask("GET", "/api/gigs/", who="leaver")
    assert answer.status == 401
    assert mismatch(ERROR | {"reason": "revoked_token"}, answer.json()) is None


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


async def test_the_log_says_who_asked_for_what_from_where(capfd: pytest.CaptureFixture[str]) -> None:
    async with marketplace(overrides=ON) as example:
        example.tokens["ada"] = token("ada", secret=SECRET, user_id="ada")
        await example.ask("GET", "/api/gigs/", who="ada")
    (line,) = [one for one in requests_in(capfd.readouterr().out) if one["path"] == "/api/gigs/"]
    shape = {"timestamp": str, "method": "GET", "status": 200, "duration_ms": float}
    assert mismatch(shape | {"user_id": "ada", "ip": "127.0.0.1"}, line) is None


async def test_a_page_of_the_shop_may_call_with_credentials(walked: Walk) -> None:
    answer = await walked.example.ask("GET", "/api/gigs/", "Origin: http://localhost:3000", who="ada")
    assert answer.one("Access-Control-Allow-Origin") == "http://localhost:3000"
    assert answer.one("Access-Control-Allow-Credentials") == "true"
    elsewhere = await walked.example.ask("GET", "/api/gigs/", "Origin: https://elsewhere.org", who="ada")
    assert not elsewhere.all("Access-Control-Allow-Origin")


async def test_a_service_has_the_response_time_of_its_health_check(walked: Walk) -> None:
    async def has_all_times() -> bool:
        services = (await walked.example.ask("GET", "/api/health/")).json()["services"]
        return all(isinstance(one["response_time"], float) for one in services.values())

    await eventually(has_all_times)


async def test_redis_is_named_beside_the_services_once_there_is_one(redis_url: str) -> None:
    async with marketplace(REDIS_URL=redis_url) as example:

        async def redis_is_healthy() -> bool:
            services = (await example.ask("GET", "/api/health/")).json()["services"]
            return mismatch({"redis": HEALTH}, services) is None

        await eventually(redis_is_healthy)


async def test_two_gateways_with_one_redis_are_as_one(redis_url: str) -> None:
    forget_all(redis_url)

    def with_redis(services: Mapping[str, str] | None = None) -> AbstractAsyncContextManager[Running]:
        return marketplace(services, STORE="redis", REDIS_URL=patient(redis_url), RATE_LIMIT_REQUESTS="50")

    async with with_redis() as one, with_redis(one.urls) as other:
        await register(one, REGISTER, "ada")
        other.tokens = one.tokens
        first = await one.ask("GET", "/api/gigs/", who="ada")
        second = await other.ask("GET", "/api/gigs/", who="ada")
        left = [int(answer.one("X-RateLimit-Remaining")) for answer in (first, second)]
        assert left == [48, 47]
        assert (await one.ask("POST", "/api/auth/logout/", who="ada")).status == 200

        async def is_out() -> bool:
            return (await other.ask("GET", "/api/gigs/", who="ada")).status == 401

        await eventually(is_out)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "api_gateway"])
async def test_the_gateway_answers_to_its_names(walked: Walk, host: str) -> None:
    assert (await walked.example.ask("GET", "/api/health/", host=host)).status == 200


async def test_the_gateway_answers_to_no_other_name(walked: Walk) -> None:
    answer = await walked.example.ask("GET", "/api/health/", host="elsewhere.example.org")
    assert answer.status == 421
    assert mismatch(ERROR, answer.json()) is None


async def test_answers_carry_the_security_headers(walked: Walk) -> None:
    answer = await walked.example.ask("GET", "/api/gigs/", who="ada")
    names = ("X-Frame-Options", "X-Content-Type-Options", "X-XSS-Protection")
    assert [answer.one(name) for name in names] == ["DENY", "nosniff", "1; mode=block"]


async def test_the_limit_is_that_of_an_address_with_a_token_or_without() -> None:
    async with marketplace(RATE_LIMIT_REQUESTS="3") as example:
        example.tokens["ada"] = token("ada", secret=SECRET, user_id="ada")
        who = (None, "ada", "ada", "ada", None)
        asked = [await example.ask("GET", "/api/gigs/", who=one) for one in who]
    assert [answer.status for answer in asked] == [401, 200, 200, 429, 429]
    assert mismatch(ERROR | {"error": "Rate limit exceeded", "retry_after": int}, asked[3].json()) is None


async def test_nobody_guesses_passwords_for_long() -> None:
    wrong = {"email": "ada@example.com", "password": "wrong horse"}
    async with marketplace() as example:
        asked = [(await example.ask("POST", "/api/auth/login/", body=wrong)).status for _ in range(21)]
    assert asked == [401] * 20 + [429]


async def test_categories_are_kept_until_somebody_makes_one(walked: Walk) -> None:
    async def asked() -> tuple[int, bool]:
        answer = await walked.example.ask("GET", "/api/categories/", who="ada")
        return answer.json()["count"], "hit" in answer.one("Cache-Status")

    before, _ = await asked()
    assert await asked() == (before, True)
    await walked.example.ask("POST", "/api/categories/", who="ada", body={"name": "lamps"})
    assert await asked() == (before + 1, False)


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


async def test_the_api_page_tells_of_every_line(walked: Walk) -> None:
    assert await undescribed(walked, LINES) == []
    page = await walked.example.ask("GET", "/docs")
    assert (page.status, page.one("Content-Type")) == (200, "text/html; charset=utf-8")


async def test_the_readmes_lines_say_what_the_readme_says() -> None:
    async with marketplace() as example:
        assert not await wrong_lines(EXAMPLE, example.port)
