import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from examples.chat import users
from examples.chat.database import Database, connect
from examples.chat.matching import matching_app
from examples.chat.profile import Profile
from examples.chat.tokens import Kind, issue
from examples.chat.users import User
from tests.examples.chat.clients import NOW, SECRET, Client, Clock, running

Json = dict[str, Any]
WOMAN = Profile("female", 25, (20, 40), "male")
MAN = Profile("male", 30, (20, 40), "female")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A file in which everybody has signed up."""
    path = tmp_path / "chat.db"
    connection = connect(path)
    for number in range(20):
        uid = f"{'wm'[number % 2]}{number // 2}"
        profile = (WOMAN, MAN)[number % 2]
        users.add(connection, User(uid, f"{uid}@example.com", f"name of {uid}", "hash", 7, profile), NOW)
    connection.close()
    return path


@pytest.fixture
async def matching(database: Path) -> AsyncIterator[Client]:
    async with running(matching_app(Database(database), SECRET, clock=Clock())) as client:
        yield client


def headers(uid: str) -> dict[str, str]:
    return {"token": issue(SECRET, uid, Kind.ACCESS, "j", NOW), "uid": uid}


async def ask(client: Client, uid: str, **more: object) -> tuple[int, Json]:
    async with client.post("/matching", headers=headers(uid), json={"uid": uid, **more}) as answer:
        return answer.status, await answer.json()


async def test_the_fields_of_the_specification(matching: Client) -> None:
    status, body = await ask(matching, "w0")
    assert status == 200
    assert (body["status"], body["uid"]) == ("waiting", None)
    assert body["message"]
    status, body = await ask(matching, "m0")
    assert status == 200
    assert (body["status"], body["message"], body["uid"]) == ("success", "user found", "w0")
    assert body["partner"] == {"username": "name of w0", "avatar_code": 7, "sex": "female", "age": 25}
    assert (await ask(matching, "w0"))[1]["uid"] == "m0"


async def test_again_asks_for_somebody_new(matching: Client) -> None:
    await ask(matching, "w0")
    await ask(matching, "m0")
    assert (await ask(matching, "m0", again=True))[1]["status"] == "waiting"
    assert (await ask(matching, "w1"))[1]["uid"] == "m0"


async def test_the_token_may_come_as_a_bearer(matching: Client) -> None:
    authorization = {"Authorization": f"Bearer {headers('w0')['token']}"}
    async with matching.post("/matching", headers=authorization, json={"uid": "w0"}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("changes", "body", "status", "message"),
    [
        ({"token": ""}, {"uid": "w0"}, 401, "token: is missing"),
        ({"token": "x"}, {"uid": "w0"}, 401, "token: is not valid"),
        (
            {"token": issue(SECRET, "w0", Kind.ACCESS, "j", NOW - 1800)},
            {"uid": "w0"},
            401,
            "token: has expired",
        ),
        (
            {"token": issue(SECRET, "w0", Kind.REFRESH, "j", NOW)},
            {"uid": "w0"},
            401,
            "token: is not valid",
        ),
        (headers("m0"), {"uid": "w0"}, 403, "uid: the token belongs to another user"),
        ({"uid": "m0"}, {"uid": "w0"}, 403, "uid: the token belongs to another user"),
        ({"token": "", "X-User-Id": "w0"}, {"uid": "w0"}, 401, "token: is missing"),
        ({}, {}, 400, "uid: is missing"),
        ({}, {"uid": 7}, 400, "uid: must be a text"),
        ({}, {"uid": "w0", "again": "yes"}, 400, "again: must be true or false"),
        ({}, ["w0"], 400, "the body must be a JSON object"),
        (
            {"token": issue(SECRET, "ghost", Kind.ACCESS, "j", NOW), "uid": "ghost"},
            {"uid": "ghost"},
            401,
            "token: its user no longer exists",
        ),
    ],
)
async def test_bad_input_has_a_clear_answer(
    matching: Client, changes: dict[str, str], body: object, status: int, message: str
) -> None:
    async with matching.post("/matching", headers=headers("w0") | changes, json=body) as answer:
        assert (answer.status, (await answer.json())["message"]) == (status, message)


async def test_services_may_ask_who_may_talk_to_whom(matching: Client) -> None:
    async def partner(uid: str) -> object:
        async with matching.get("/partner", params={"uid": uid}) as answer:
            assert answer.status == 200
            return (await answer.json())["uid"]

    assert await partner("w0") is None
    await ask(matching, "w0")
    await ask(matching, "m0")
    assert (await partner("w0"), await partner("m0"), await partner("ghost")) == ("m0", "w0", None)


async def test_the_partner_question_names_its_missing_field(matching: Client) -> None:
    async with matching.get("/partner") as answer:
        assert (answer.status, (await answer.json())["message"]) == (400, "uid: is missing")


async def test_two_instances_agree_whoever_asks_where(database: Path) -> None:
    apps = [matching_app(Database(database), SECRET, clock=Clock()) for _ in range(2)]
    async with running(apps[0]) as one, running(apps[1]) as other:
        everybody = [f"{sex}{number}" for number in range(10) for sex in "wm"]
        for _ in range(2):  # the second asking tells those who waited
            answers = await asyncio.gather(
                *(ask((one, other)[number % 3 % 2], uid) for number, uid in enumerate(everybody))
            )
    partners = {uid: body["uid"] for uid, (_, body) in zip(everybody, answers, strict=True)}
    assert all(partners[partner] == uid for uid, partner in partners.items())
    assert set(partners.values()) == set(everybody)
