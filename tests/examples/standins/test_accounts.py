from typing import Any

import pytest
from aiohttp import web

from examples.chat.service import answer
from examples.standins import accounts
from examples.standins.accounts import Accounts
from examples.standins.service import Surroundings, new_app
from tests.examples.standins.clients import Alone, alone

ADA = {"email": "Ada@Example.com", "password": "correct horse", "age": 30}


def build(given: Surroundings) -> web.Application:
    people = Accounts(given, {"age": int})

    async def me(request: web.Request) -> web.Response:
        return answer(people.me(request).shown())

    async def forget(request: web.Request) -> web.Response:
        people.forget(people.me(request))
        return answer({})

    app = new_app(given)
    app.cleanup_ctx.append(people.lifetime)
    for path, endpoint in (
        ("/register", people.register),
        ("/login", people.login),
        ("/refresh", people.refresh),
        ("/logout", people.logout),
        ("/forget", forget),
    ):
        app.router.add_post(path, endpoint)
    app.router.add_get("/me", me)
    return app


async def registered(service: Alone, **changes: Any) -> dict[str, Any]:
    status, body = await service.ask("POST", "/register", {**ADA, **changes})
    assert status == 201
    return dict(body)


async def test_who_registers_is_logged_in_and_can_log_in_again() -> None:
    async with alone(build) as service:
        user = (await registered(service))["user"]
        assert user == {"id": user["id"], "email": "ada@example.com", "tier": "free", "roles": [], "age": 30}
        status, body = await service.ask("POST", "/login", ADA)
        assert (status, body["user"]) == (200, user)
        assert await service.ask("GET", "/me", who=user["id"]) == (200, user)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"email": None}, "email: is missing"),
        ({"email": "nowhere"}, 'email: must look like "user@example.com"'),
        ({"password": "short"}, "password: must have at least 8 characters"),
        ({"age": "30"}, "age: must be a whole number"),
    ],
)
async def test_what_is_wrong_at_registration_is_said(changes: dict[str, Any], message: str) -> None:
    async with alone(build) as service:
        status, body = await service.ask("POST", "/register", {**ADA, **changes})
        assert (status, body["message"]) == (400, message)


async def test_nobody_registers_twice() -> None:
    async with alone(build) as service:
        await registered(service)
        assert (await service.ask("POST", "/register", {**ADA, "email": "ada@example.COM"}))[0] == 409


async def test_a_wrong_password_and_an_unknown_email_are_refused_alike() -> None:
    async with alone(build) as service:
        await registered(service)
        wrong = await service.ask("POST", "/login", {**ADA, "password": "wrong horse"})
        unknown = await service.ask("POST", "/login", {**ADA, "email": "bob@example.com"})
        assert wrong == unknown
        assert wrong[0] == 401


async def test_who_has_logged_out_gets_no_new_tokens() -> None:
    async with alone(build) as service:
        made = await registered(service)
        refreshed = await service.ask("POST", "/refresh", {"refresh_token": made["refresh_token"]})
        assert refreshed[0] == 200
        await service.ask("POST", "/logout", who=made["user"]["id"])
        after = await service.ask("POST", "/refresh", {"refresh_token": refreshed[1]["refresh_token"]})
        assert after[0] == 401


async def test_who_is_forgotten_can_register_anew() -> None:
    async with alone(build) as service:
        uid = (await registered(service))["user"]["id"]
        assert (await service.ask("POST", "/forget", who=uid))[0] == 200
        assert (await service.ask("GET", "/me", who=uid))[0] == 404
        await registered(service)


async def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "MOST_ACCOUNTS", 1)
    async with alone(build) as service:
        await registered(service)
        assert (await service.ask("POST", "/register", {**ADA, "email": "bob@example.com"}))[0] == 503
