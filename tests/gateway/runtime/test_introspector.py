"""Asking the issuer: through the balancer, once for all who ask the same, and remembered for a while."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from balancer.runtime.call import Balancer
from balancer.runtime.upstream import PooledUpstream
from gateway.errors import Reason
from gateway.identity import Rejected, User
from gateway.introspection import UNAVAILABLE
from gateway.runtime import introspector as module
from gateway.runtime.introspector import MAX_NO_S, REVOKED_FOR_S, Introspector
from gateway.settings import IdentitySettings
from registry.model import Instance, ServiceName, ServiceSnapshot, Status, snapshot
from registry.runtime.tasks import Tasks
from tests.balancer.origins import (
    Behaviour,
    Connection,
    answers,
    counts_requests,
    ends_mid_body,
    never_answers,
    origin,
    refuses,
    stops_mid_body,
    until,
)
from tests.gateway.tokens import NOW

NO = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
BROKEN = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b" " * 70_000
MARK = "mark-of-this-gateway"


async def waits_for_the_word(connection: Connection) -> None:
    while True:
        await connection.request()
        await connection.origin.go.wait()
        await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def answers_in_pieces(connection: Connection) -> None:
    while True:
        await connection.request()
        await connection.say(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{"sub":\r\n')
        await connection.say(b'6\r\n "eve"\r\n1\r\n}\r\n0\r\n\r\n')


@asynccontextmanager
async def asking(*instances: Instance, **introspection: Any) -> AsyncIterator[Introspector]:
    def snapshots(service: ServiceName) -> ServiceSnapshot:
        return snapshot(service, Status.KNOWN, instances=instances, answered_at=0.0)

    died: list[BaseException] = []
    tasks = Tasks(lambda _, error: died.append(error))
    asked = {"timeout_s": 5, **introspection}
    settings = IdentitySettings.model_validate({"mode": "introspect", "introspection": asked})
    async with PooledUpstream() as upstream:
        balancer = Balancer(snapshots, upstream, policies={}, rng=random.Random(1))
        try:
            yield Introspector(settings, balancer, MARK, tasks)
        finally:
            await tasks.close()
    assert not died


def reason(found: User | Rejected) -> Reason | None:
    return found.reason if isinstance(found, Rejected) else None


async def test_the_service_is_asked_once_and_believed_for_a_while() -> None:
    async with origin(counts_requests) as auth, asking(auth.instance) as it:
        assert it.known("t", ["ada"], NOW) is None
        user = await it.judge("t", ["ada"], NOW)
        assert isinstance(user, User)
        assert user.id == "ada"
        assert it.known("t", ["ada"], NOW + 10) is user
        assert await it.judge("t", ["ada"], NOW + 10) is user
        assert auth.requests == 1
        await it.judge("t", ["ada"], NOW + 10.1)
        await it.judge("t", ["bob"], NOW)
        await it.judge("other", ["ada"], NOW)
        assert auth.requests == 4
        assert repr(it) == "<Introspector: 3 tokens remembered, 0 asked about>"
    head = auth.heads[0].decode()
    assert head.startswith("GET /token_check?token=t&uid=ada HTTP/1.1\r\n")
    assert f"X-Quaymaster-Hop: {MARK}" in head, "a loop would be noticed"


async def test_a_form() -> None:
    form = {"method": "POST", "path": "/introspect", "uid_parameter": ""}
    async with origin(answers_in_pieces) as auth, asking(auth.instance, **form) as it:
        found = await it.judge("t", [], NOW)
        assert getattr(found, "id", None) == "eve"
    assert auth.bodies == [b"token=t"]


async def test_those_who_ask_the_same_wait_for_one_answer() -> None:
    async with origin(waits_for_the_word) as auth, asking(auth.instance) as it:
        async with asyncio.TaskGroup() as group:
            callers = [group.create_task(it.judge("t", ["ada"], NOW)) for _ in range(10)]
            await until(lambda: auth.requests)
            callers[0].cancel()
            auth.go.set()
        assert len({id(caller.result()) for caller in callers[1:]}) == 1
        assert auth.requests == 1


async def test_a_no_is_remembered_for_less() -> None:
    async with origin(answers(NO)) as auth, asking(auth.instance) as it:
        for seconds in (0.0, MAX_NO_S - 0.1):
            assert reason(await it.judge("t", ["ada"], NOW + seconds)) is Reason.INVALID_TOKEN
        assert auth.requests == 1
        await it.judge("t", ["ada"], NOW + MAX_NO_S)
        assert auth.requests == 2
        assert it.known("t", ["ada"], NOW) is None


async def test_nothing_is_remembered_where_that_is_not_wanted() -> None:
    async with origin(counts_requests) as auth, asking(auth.instance, cache_s=0) as it:
        for _ in range(3):
            assert isinstance(await it.judge("t", ["ada"], NOW), User)
        assert auth.requests == 3


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NOS", 2)
    async with origin(counts_requests) as auth, asking(auth.instance, max_cached=2) as it:
        for n in range(4):
            await it.judge(f"t{n}", ["ada"], NOW)
        assert "2 tokens remembered" in repr(it)
    async with origin(answers(NO)) as auth, asking(auth.instance) as it:
        for n in range(4):
            await it.judge(f"t{n}", ["ada"], NOW)
        assert len(it._nos) == 2


@pytest.mark.parametrize(
    "behaviour",
    [answers(BROKEN), answers(LONG), ends_mid_body, stops_mid_body, never_answers],
    ids=["500", "long", "cut short", "stops", "never"],
)
async def test_a_service_that_does_not_say(behaviour: Behaviour) -> None:
    async with origin(behaviour) as auth, asking(auth.instance, timeout_s=0.2) as it:
        assert await it.judge("t", ["ada"], NOW) is UNAVAILABLE
        assert "0 asked about" in repr(it)
        asked = auth.requests
        assert await it.judge("t", ["ada"], NOW) is UNAVAILABLE
        assert auth.requests > asked, "that nobody could say is not remembered"


async def test_nobody_there() -> None:
    async with refuses() as nobody, asking(nobody) as it:
        assert await it.judge("t", ["ada"], NOW) is UNAVAILABLE
    async with asking() as it:
        assert await it.judge("t", ["ada"], NOW) is UNAVAILABLE


async def test_another_instance_is_asked_when_one_is_down() -> None:
    async with refuses("a") as down, origin(counts_requests, "b") as auth, asking(down, auth.instance) as it:
        for n in range(4):
            assert isinstance(await it.judge(f"t{n}", ["ada"], NOW), User)


async def test_questions_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_AT_ONCE", 1)
    async with origin(waits_for_the_word) as auth, asking(auth.instance) as it:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(it.judge("t", ["ada"], NOW))
            await until(lambda: auth.requests)
            assert await it.judge("other", ["ada"], NOW) is UNAVAILABLE
            auth.go.set()
        assert isinstance(first.result(), User)


async def test_who_says_nothing_to_ask_about_is_refused_without_asking() -> None:
    async with origin(counts_requests) as auth, asking(auth.instance) as it:
        assert reason(await it.judge("t", [], NOW)) is Reason.MISSING_PARAMETER
        assert reason(await it.judge("t", ["a", "b"], NOW)) is Reason.UID_MISMATCH
        assert reason(await it.judge("é", ["a"], NOW)) is Reason.INVALID_TOKEN
        assert auth.requests == 0


async def test_what_a_token_is_revoked_by() -> None:
    async with origin(counts_requests) as auth, asking(auth.instance) as it:
        user = await it.judge("t", ["ada"], NOW)
        assert isinstance(user, User)
        assert await it.to_revoke("t", NOW) == (user.token_id, NOW + REVOKED_FOR_S)
