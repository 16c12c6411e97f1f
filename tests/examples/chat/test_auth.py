import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from examples.chat.auth import auth_app
from examples.chat.database import Database
from examples.chat.tokens import Kind, issue
from tests.examples.chat.clients import CHEAP, NOW, SECRET, Client, Clock, person, running

Json = dict[str, Any]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def auth(tmp_path: Path, clock: Clock) -> AsyncIterator[Client]:
    async with running(auth_app(Database(tmp_path / "chat.db"), SECRET, cost=CHEAP, clock=clock)) as client:
        yield client


async def post(client: Client, path: str, body: object) -> tuple[int, Json]:
    async with client.post(path, json=body) as answer:
        return answer.status, await answer.json()


async def check(client: Client, **query: str) -> tuple[int, Json]:
    async with client.get("/token_check", params=query) as answer:
        return answer.status, await answer.json()


async def signed_up(client: Client) -> Json:
    """The answer of logging in, for a user who has just signed up."""
    assert (await post(client, "/register", person()))[0] == 200
    status, body = await post(client, "/login", {"email": "user@example.com", "password": "password"})
    assert status == 200
    return body


async def test_the_fields_of_the_specification(auth: Client) -> None:
    status, body = await post(auth, "/register", person())
    assert status == 200
    assert set(body) == {"status", "message", "avatar_code"}
    assert (body["status"], body["message"]) == ("success", "User registered successfully")
    assert 0 <= body["avatar_code"] < 100

    status, login = await post(auth, "/login", {"email": "user@example.com", "password": "password"})
    assert status == 200
    assert login["status"] == "success"
    assert login["avatar_code"] == body["avatar_code"]

    token, uid = login["access_token"], login["uid"]
    status, body = await post(auth, "/token_login", {"token": token})
    assert (status, body["status"], body["message"]) == (200, "success", "Access token is up to date")
    assert await check(auth, token=token, uid=uid) == (
        200,
        {"status": "success", "message": "Token is up to date, user submitted"},
    )


async def test_the_token_may_be_checked_by_headers_too(auth: Client) -> None:
    login = await signed_up(auth)
    headers = {"token": login["access_token"], "uid": login["uid"]}
    async with auth.get("/token_check", headers=headers) as answer:
        assert answer.status == 200


async def test_a_wrong_field_is_named(auth: Client) -> None:
    status, body = await post(auth, "/register", person(age="25", sex=None))
    assert status == 400
    assert body == {
        "status": "error",
        "message": "sex: is missing; age: must be a whole number from 18 to 120",
        "errors": {"sex": "is missing", "age": "must be a whole number from 18 to 120"},
    }


async def test_an_email_can_be_used_once(auth: Client) -> None:
    await signed_up(auth)
    status, body = await post(auth, "/register", person("USER@example.com"))
    assert (status, body["message"]) == (409, "email: somebody has signed up with it already")


async def test_a_wrong_password_and_an_unknown_email_are_told_alike(auth: Client) -> None:
    await signed_up(auth)
    wrong = await post(auth, "/login", {"email": "user@example.com", "password": "Password"})
    unknown = await post(auth, "/login", {"email": "nobody@example.com", "password": "password"})
    assert wrong == unknown == (401, {"status": "error", "message": "wrong email or password"})


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/login", {}, "email: is missing; password: is missing"),
        ("/login", {"email": ["a"], "password": {}}, "email: must be a text; password: must be a text"),
        ("/login", {"email": "a@b.cd", "password": "x" * 129}, "password: must have 1 to 128 characters"),
        ("/token_login", {}, "token: is missing"),
        ("/token_login", {"token": 7}, "token: must be a text"),
        ("/refresh", {"token": "x"}, "refresh_token: is missing"),
    ],
)
async def test_bad_input_has_a_clear_answer(auth: Client, path: str, body: Json, message: str) -> None:
    status, answer = await post(auth, path, body)
    assert (status, answer["message"]) == (400, message)


async def test_tokens_end(auth: Client, clock: Clock) -> None:
    login = await signed_up(auth)
    clock.now += Kind.ACCESS.lifetime_s
    status, body = await post(auth, "/token_login", {"token": login["access_token"]})
    assert (status, body["message"]) == (401, "token: has expired")
    status, body = await check(auth, token=login["access_token"], uid=login["uid"])
    assert (status, body["message"]) == (401, "token: has expired")


async def test_a_refresh_token_buys_a_new_access_token_and_nothing_else(auth: Client, clock: Clock) -> None:
    login = await signed_up(auth)
    clock.now += Kind.ACCESS.lifetime_s
    status, body = await post(auth, "/refresh", {"refresh_token": login["refresh_token"]})
    assert status == 200
    assert (await check(auth, token=body["access_token"], uid=login["uid"]))[0] == 200
    assert (await post(auth, "/token_login", {"token": login["refresh_token"]}))[0] == 401
    assert (await post(auth, "/refresh", {"refresh_token": login["access_token"]}))[0] == 401
    clock.now += Kind.REFRESH.lifetime_s
    assert (await post(auth, "/refresh", {"refresh_token": login["refresh_token"]}))[0] == 401


async def test_a_token_of_another_user_is_refused(auth: Client) -> None:
    login = await signed_up(auth)
    status, body = await check(auth, token=login["access_token"], uid="somebody-else")
    assert (status, body["message"]) == (403, "uid: the token belongs to another user")


@pytest.mark.parametrize("token", ["x", "a.b.c", issue(SECRET, "ghost", Kind.ACCESS, "j", NOW)])
async def test_a_token_of_nobody_is_refused(auth: Client, token: str) -> None:
    assert (await post(auth, "/token_login", {"token": token}))[0] == 401
    assert (await check(auth, token=token, uid="ghost"))[0] == 401


async def test_token_check_says_what_is_missing(auth: Client) -> None:
    assert (await check(auth))[1]["message"] == "token: is missing"
    login = await signed_up(auth)
    status, body = await check(auth, token=login["access_token"])
    assert (status, body["message"]) == (400, "uid: is missing")


async def test_two_instances_share_one_database(tmp_path: Path) -> None:
    apps = [auth_app(Database(tmp_path / "chat.db"), SECRET, cost=CHEAP) for _ in range(2)]
    async with running(apps[0]) as one, running(apps[1]) as other:
        await post(one, "/register", person())
        status, login = await post(other, "/login", {"email": "user@example.com", "password": "password"})
        assert status == 200
        assert (await check(one, token=login["access_token"], uid=login["uid"]))[0] == 200


async def test_one_email_sent_to_both_instances_at_once_signs_up_once(tmp_path: Path) -> None:
    apps = [auth_app(Database(tmp_path / "chat.db"), SECRET, cost=CHEAP) for _ in range(2)]
    async with running(apps[0]) as one, running(apps[1]) as other:
        answers = await asyncio.gather(
            *(post(c, "/register", person()) for c in (one, other) for _ in range(8))
        )
    assert sorted(status for status, _ in answers) == [200] + [409] * 15


async def test_no_password_is_kept_or_sent_back(auth: Client, tmp_path: Path) -> None:
    await post(auth, "/register", person(password="correct horse battery"))
    written = [path.read_bytes() for path in tmp_path.iterdir()]  # noqa: ASYNC240 - nothing else runs
    assert any(b"user@example.com" in file for file in written)
    assert not any(b"correct horse" in file for file in written)
    status, body = await post(auth, "/register", person(password="short", age=1))
    assert (status, "short" in str(body)) == (400, False)
