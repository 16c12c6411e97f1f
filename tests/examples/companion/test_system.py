"""Every endpoint of the companion app's list, and what its gateway promises beside them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager

import pytest
import pytest_asyncio

from examples.companion import ai, auth, chat, media, payment
from examples.companion.system import EXAMPLE
from examples.standins.service import Build
from registry.runtime.clock import unix_now
from tests.balancer.origins import never_answers, origin, refuses
from tests.examples.companion.seed import LINES
from tests.examples.standins.logs import ON, requests_in
from tests.examples.standins.readme import wrong_lines
from tests.examples.standins.running import SECRET, Running, register, running
from tests.examples.standins.shapes import mismatch
from tests.examples.standins.walk import ERROR, Line, Walk, of_access, stranger_refused, undescribed, walk
from tests.gateway.probes.behaviours import ASKS_FOR_A_PASSWORD
from tests.gateway.probes.behaviours import says as speaks_postgres
from tests.gateway.runtime.gateways import eventually, token

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGISTER = "/api/v1/auth/register"
PLANS = "/api/v1/payment/plans"
SERVICES: Mapping[str, Build | str] = {
    "AUTH_SERVICE_URL": auth.build,
    "CHAT_SERVICE_URL": chat.build,
    "AI_SERVICE_URL": ai.build,
    "MEDIA_SERVICE_URL": media.build,
    "PAYMENT_SERVICE_URL": payment.build,
}


def database_at(port: int) -> str:
    return f"postgresql+asyncpg://app:secret@127.0.0.1:{port}/companion"


def companion(
    services: Mapping[str, Build | str] | None = None,
    overrides: Mapping[str, str] | None = None,
    **environment: str,
) -> AbstractAsyncContextManager[Running]:
    given = {"JWT_SECRET_KEY": SECRET, **environment}
    return running(EXAMPLE, {**SERVICES, **(services or {})}, given, overrides)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def walked() -> AsyncIterator[Walk]:
    # The walk is longer than what somebody without a token may ask in a minute.
    async with companion(overrides={"limits.per_address": "1000"}) as example:
        await register(example, REGISTER, "leaver", "deleted", username="somebody", age=30)
        yield await walk(example, LINES, {"girl_id": "luna", "story_id": "luna-1"})


@pytest.mark.parametrize("line", LINES, ids=str)
async def test_what_the_list_names_is_there(walked: Walk, line: Line) -> None:
    assert walked.problem(line) is None


async def test_the_token_of_who_has_logged_out_is_good_no_more(walked: Walk) -> None:
    answer = await walked.example.ask("GET", "/api/v1/users/stats", who="leaver")
    assert answer.status == 401
    assert mismatch(ERROR | {"reason": "revoked_token"}, answer.json()) is None


@pytest.mark.parametrize("line", of_access(LINES, "user"), ids=str)
async def test_nobody_without_a_token_gets_there(walked: Walk, line: Line) -> None:
    assert await stranger_refused(walked, line) is None


async def test_videos_are_for_who_has_subscribed(walked: Walk) -> None:
    walked.example.tokens["free"] = token("free", secret=SECRET, tier="free", roles=[])
    luna = {"girl_id": "luna"}
    answer = await walked.example.ask("POST", "/api/v1/media/generate-video", who="free", body=luna)
    assert answer.status == 403
    assert mismatch(ERROR | {"error": "forbidden", "reason": "missing_role"}, answer.json()) is None


async def test_who_has_too_few_tokens_gets_no_picture(walked: Walk) -> None:
    """20 to begin with and 50 bought; the walk has spent 5 and 15."""
    asked = [
        await walked.example.ask("POST", "/api/v1/media/generate-photo", who="john", body={"girl_id": "mia"})
        for _ in range(11)
    ]
    assert [answer.status for answer in asked] == [202] * 10 + [402]
    assert mismatch(ERROR | {"message": "this costs 5 tokens, and you have 0"}, asked[-1].json()) is None


async def test_every_answer_says_how_long_it_took(walked: Walk) -> None:
    for path in ("/", PLANS, "/nowhere"):
        assert float((await walked.example.ask("GET", path)).one("X-Process-Time")) >= 0


async def says(example: Running, services: dict[str, str]) -> None:
    """Returns once `/health` says so of these."""

    async def so() -> bool:
        found = (await example.ask("GET", "/health")).json()
        expected = {"timestamp": str, "services": services, "environment": "development"}
        return mismatch(expected, found) is None

    await eventually(so)


async def test_health_says_that_its_database_and_its_redis_are_up(redis_url: str) -> None:
    async with (
        origin(speaks_postgres(ASKS_FOR_A_PASSWORD)) as postgres,
        companion(POSTGRES_URL=database_at(postgres.instance.port), REDIS_URL=redis_url) as example,
    ):
        await says(example, {"postgres": "up", "redis": "up", "auth-service": "up"})


async def test_health_says_that_its_database_is_down() -> None:
    async with refuses() as gone, companion(POSTGRES_URL=database_at(gone.port)) as example:
        await says(example, {"postgres": "down", "auth-service": "up"})


async def test_every_answer_has_an_id_of_its_own(walked: Walk) -> None:
    ids = {(await walked.example.ask("GET", path)).one("X-Request-ID") for path in ("/", PLANS, "/nowhere")}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v1/auth/register", {"username": "kid"}, 400),
        ("GET", "/api/v1/users/profile", None, 401),
        ("GET", "/api/v1/nothing", None, 404),
        ("PATCH", "/api/v1/users/stats", None, 405),
    ],
)
async def test_every_error_has_the_one_shape(
    walked: Walk, method: str, path: str, body: object, status: int
) -> None:
    answer = await walked.example.ask(method, path, body=body)
    assert answer.status == status
    assert mismatch(ERROR, answer.json()) is None


@pytest.mark.parametrize(("tier", "limit"), [("free", 60), ("premium", 120), ("elite", None)])
async def test_each_tier_has_its_limit(tier: str, limit: int | None) -> None:
    async with companion() as example:
        example.tokens["one"] = token("one", secret=SECRET, tier=tier)
        many = [
            await example.ask("GET", "/api/v1/users/profile", who="one") for _ in range((limit or 130) + 1)
        ]
    limited = [answer.status == 429 for answer in many]
    assert limited == [False] * (len(many) - 1) + [limit is not None]
    if limit is None:
        assert not many[-1].all("X-RateLimit-Limit")
    else:
        assert {answer.one("X-RateLimit-Limit") for answer in many} == {str(limit)}
        assert [many[n].one("X-RateLimit-Remaining") for n in (0, -2, -1)] == [str(limit - 1), "0", "0"]
        text = f"You have exceeded the rate limit of {limit} requests per minute"
        body = {"error": "Rate limit exceeded", "message": text, "retry_after": int}
        assert mismatch(ERROR | body, many[-1].json()) is None
        assert 0 < int(many[-1].one("X-RateLimit-Reset")) - unix_now() < 121


async def test_a_service_that_is_down_is_503() -> None:
    often = {"services.chat-service.health_check.interval_s": "0.05"}
    async with (
        refuses() as gone,
        companion({"CHAT_SERVICE_URL": f"http://127.0.0.1:{gone.port}"}, often) as example,
    ):
        example.tokens["elite"] = token("one", secret=SECRET, tier="elite")

        async def is_503() -> bool:
            answer = await example.ask("GET", "/api/v1/chat/rooms", who="elite")
            assert mismatch(ERROR, answer.json()) is None
            return answer.status == 503

        await eventually(is_503)
        assert (await example.ask("GET", PLANS)).status == 200


async def test_a_service_that_is_too_slow_is_504_and_a_warning_in_the_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    key = "services.chat-service.timeouts"
    brief = ON | {f"{key}.{name}": "0.2" for name in ("connect_s", "first_byte_s", "total_s")}
    async with (
        origin(never_answers) as silent,
        companion({"CHAT_SERVICE_URL": f"http://127.0.0.1:{silent.instance.port}"}, brief) as example,
    ):
        example.tokens["one"] = token("one", secret=SECRET)
        answer = await example.ask("GET", "/api/v1/chat/rooms", who="one")
    assert answer.status == 504
    assert mismatch(ERROR | {"error": "gateway_timeout"}, answer.json()) is None
    (line,) = [one for one in requests_in(capfd.readouterr().out) if one["status"] == 504]
    assert (line["level"], line["user_id"], line["path"]) == ("warning", "one", "/api/v1/chat/rooms")


async def test_the_api_page_tells_of_every_line(walked: Walk) -> None:
    assert await undescribed(walked, LINES) == []
    page = await walked.example.ask("GET", "/docs")
    assert (page.status, page.one("Content-Type")) == (200, "text/html; charset=utf-8")


async def test_what_there_is_to_buy_is_asked_for_once_in_a_while(walked: Walk) -> None:
    for path in (PLANS, "/api/v1/payment/token-packages"):
        assert "hit" in (await walked.example.ask("GET", path)).one("Cache-Status")


async def test_the_api_page_is_for_debugging(walked: Walk) -> None:
    assert (await walked.example.ask("GET", "/redoc")).one("Location") == "/docs"
    async with companion(DEBUG="false") as example:
        assert [(await example.ask("GET", path)).status for path in ("/docs", "/openapi.json")] == [404, 404]


async def test_the_readmes_lines_say_what_the_readme_says() -> None:
    async with companion() as example:
        assert not await wrong_lines(EXAMPLE, example.port)
