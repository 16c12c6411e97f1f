from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from examples.chat.database import Database
from examples.chat.frames import LONGEST_TEXT
from examples.chat.inbox import PAGE
from examples.chat.matching import matching_app
from examples.chat.peers import LARGEST_ANSWER
from tests.examples.chat.clients import KEY, SECRET, Client, Clock, running
from tests.examples.chat.people import open_town

LETTER = {"from": "ann", "to": "bob", "id": "m1", "text": "hi"}
OURS = {"X-Internal-Key": KEY}


@pytest.fixture
async def matching(tmp_path: Path) -> AsyncIterator[Client]:
    open_town(tmp_path / "chat.db").close()
    async with running(matching_app(Database(tmp_path / "chat.db"), SECRET, KEY, clock=Clock())) as client:
        yield client


async def keep(client: Client, body: object, headers: dict[str, str] = OURS) -> tuple[int, Any]:
    async with client.post("/messages", json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def missed(client: Client, query: dict[str, str], headers: dict[str, str] = OURS) -> tuple[int, Any]:
    async with client.get("/messages", params=query, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_what_is_kept_can_be_missed(matching: Client) -> None:
    assert await keep(matching, LETTER) == (200, {"status": "success", "seq": 1})
    assert await keep(matching, LETTER) == (200, {"status": "success", "seq": 1})
    assert await missed(matching, {"uid": "bob"}) == (
        200,
        {
            "status": "success",
            "messages": [{"seq": 1, "from": "ann", "id": "m1", "text": "hi"}],
            "last": 1,
            "more": False,
        },
    )
    assert (await missed(matching, {"uid": "bob", "after": "1"}))[1]["messages"] == []


async def test_strangers_write_nothing_and_read_nothing(matching: Client) -> None:
    assert (await keep(matching, LETTER | {"to": "tom"}))[0] == 409
    assert (await keep(matching, LETTER, {}))[0] == 403
    assert (await missed(matching, {"uid": "bob"}, {"X-Internal-Key": "wrong"}))[0] == 403


@pytest.mark.parametrize(
    ("field", "value"),
    [("from", None), ("to", ""), ("id", "x" * 65), ("text", "x" * (LONGEST_TEXT + 1)), ("text", 5)],
)
async def test_a_bad_field_is_named(matching: Client, field: str, value: object) -> None:
    status, body = await keep(matching, LETTER | {field: value})
    assert (status, list(body["errors"])) == (400, [field])


@pytest.mark.parametrize(
    "query", [{}, {"uid": "x" * 65}, {"uid": "bob", "after": "-1"}, {"uid": "bob", "after": "x"}]
)
async def test_a_bad_question_is_refused(matching: Client, query: dict[str, str]) -> None:
    assert (await missed(matching, query))[0] == 400


async def test_the_longest_page_is_an_answer_that_handlers_read(matching: Client) -> None:
    for number in range(PAGE + 1):
        status, _ = await keep(matching, LETTER | {"id": f"m{number}", "text": "\x01" * LONGEST_TEXT})
        assert status == 200
    async with matching.get("/messages", params={"uid": "bob"}, headers=OURS) as answer:
        body = await answer.read()
    assert LARGEST_ANSWER / 2 < len(body) < LARGEST_ANSWER
