"""What the cache could not answer: one call for many, answers that break, and instances that give none."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.balancer.origins import (
    Behaviour,
    Connection,
    Origin,
    ends_mid_body,
    ends_mid_chunk,
    never_answers,
    origin,
    resets_after_request_read,
    until,
)
from tests.gateway.runtime.cached_routes import FRESH, Stage, response, says, stage
from tests.gateway.runtime.gateways import request, said, wire

CHUNKED = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
ETAG = 'ETag: "a"'
STALE_OK = {"stale_if_error_s": 100}
MINUTE_S = 61


def at_the_word(*answers: bytes | Callable[[bytes], bytes]) -> Behaviour:
    """Each answer waits for the test; the last one is said again and again."""

    async def behaviour(connection: Connection) -> None:
        while True:
            head = await connection.request()
            this = answers[min(connection.origin.requests, len(answers)) - 1]
            await connection.origin.go.wait()
            await connection.say(this(head) if callable(this) else this)

    return behaviour


async def many(here: Stage, there: Origin, *headers: str, count: int = 5) -> list[tuple[int, bytes]]:
    """Status and body of so many requests at once, when each has reached the origin, or waits."""
    already = there.requests
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(here.get("/open/x", *headers)) for _ in range(count)]
        await until(lambda: there.requests - already + here.waiting == count)
        there.go.set()
    there.go.clear()
    return [(task.result().status, task.result().body) for task in asked]


# One call for many


async def test_many_that_want_the_same_make_one_call() -> None:
    async with origin(at_the_word(response("x", FRESH))) as there, stage(there.instance) as here:
        assert await many(here, there) == [(200, b"x")] * 5
        assert there.requests == 1
        assert sorted(result for _, result in here.counted) == ["hit"] * 4 + ["miss"]


async def test_what_can_not_be_shared_is_fetched_by_each_and_the_next_time_nobody_waits() -> None:
    async with (
        origin(at_the_word(response("x", "Cache-Control: private"))) as there,
        stage(there.instance) as here,
    ):
        assert await many(here, there) == [(200, b"x")] * 5
        assert there.requests == 5
        assert await many(here, there) == [(200, b"x")] * 5
        assert there.requests == 10


async def test_one_that_leaves_does_not_take_the_others_with_it() -> None:
    async with (
        origin(at_the_word(response("x", FRESH))) as there,
        stage(there.instance) as here,
        asyncio.TaskGroup() as group,
    ):
        async with wire(here.port) as leader:
            await leader.say(request("GET", "/open/x"))
            await until(lambda: there.requests == 1)
            others = [group.create_task(here.get()) for _ in range(4)]
            await until(lambda: here.waiting == 4)
        # It has hung up. One of the others leads now.
        await until(lambda: there.requests == 2)
        await until(lambda: here.waiting == 3)
        there.go.set()
        assert [(await other).body for other in others] == [b"x"] * 4
        assert there.requests == 2


async def test_those_who_turn_out_to_want_something_else_ask_for_it() -> None:
    def by_language(head: bytes) -> bytes:
        return response(said(head, "Accept-Language")[0], FRESH, "Vary: Accept-Language")

    async with (
        origin(at_the_word(by_language)) as there,
        stage(there.instance) as here,
        asyncio.TaskGroup() as group,
    ):
        german = group.create_task(here.get("/open/x", "Accept-Language: de"))
        await until(lambda: there.requests == 1)
        english = group.create_task(here.get("/open/x", "Accept-Language: en"))
        await until(lambda: here.waiting == 1)
        there.go.set()
        assert (await german).body == b"de"
        assert (await english).body == b"en"


async def test_one_question_whether_it_is_still_the_same_is_enough() -> None:
    still = response(b"", FRESH, ETAG, status="304 Not Modified")
    async with origin(at_the_word(response("x", FRESH, ETAG), still)) as there, stage(there.instance) as here:
        await many(here, there, count=1)
        here.now += MINUTE_S
        assert await many(here, there) == [(200, b"x")] * 5
        assert there.requests == 2


async def test_who_may_be_known_does_not_keep_the_others_from_sharing() -> None:
    """A stranger who sends credentials gets an answer that is not shared; that parts nobody else."""
    async with origin(at_the_word(response("x", FRESH))) as there, stage(there.instance) as here:
        await many(here, there, "Authorization: Basic eve", count=3)
        assert there.requests == 3
        assert await many(here, there) == [(200, b"x")] * 5
        assert there.requests == 4


async def test_who_has_no_time_left_does_not_wait() -> None:
    async with (
        origin(at_the_word(response("x", FRESH))) as there,
        stage(there.instance) as here,
        asyncio.TaskGroup() as group,
    ):
        patient = group.create_task(here.get())
        await until(lambda: there.requests == 1)
        hasty = await here.get("/open/x", "X-Request-Timeout-Ms: 50")
        assert (hasty.status, hasty.json()["reason"]) == (504, "upstream_timeout")
        there.go.set()
        assert (await patient).status == 200


async def test_who_wants_it_new_waits_for_nobody() -> None:
    async with origin(at_the_word(response("x", FRESH))) as there, stage(there.instance) as here:
        await many(here, there, count=1)
        await many(here, there, "Cache-Control: no-cache", count=3)
        assert there.requests == 4


# Answers that come in pieces, too long, or not whole


async def test_what_comes_in_pieces_is_kept_when_all_of_it_is_there() -> None:
    async def in_pieces(connection: Connection) -> None:
        await connection.request()
        await connection.say(CHUNKED + b"3\r\none\r\n")
        await connection.origin.go.wait()
        await connection.say(b"3\r\ntwo\r\n0\r\n\r\n")

    async with origin(in_pieces) as there, stage(there.instance) as here, wire(here.port) as client:
        await client.say(request("GET", "/open/x"))
        await client.head()
        assert await client.reader.readexactly(8) == b"3\r\none\r\n", "it need not wait for the end"
        there.go.set()
        assert (await here.get()).body == b"onetwo"
        assert there.requests == 1


@pytest.mark.parametrize("cut", [ends_mid_body, ends_mid_chunk])
async def test_half_an_answer_is_not_kept(cut: Behaviour) -> None:
    async with origin(cut) as there, stage(there.instance, kept={"ttl_s": 60}) as here:
        for n in (1, 2):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await here.get()
            assert there.requests == n


async def test_what_may_be_half_an_answer_is_not_kept() -> None:
    async def ends_with_its_connection(connection: Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nall or not")

    async with origin(ends_with_its_connection) as there, stage(there.instance) as here:
        for n in (1, 2):
            assert (await here.get()).body == b"all or not"
            assert there.requests == n


@pytest.mark.parametrize("chunked", [True, False])
async def test_what_is_too_long_goes_through_and_is_not_kept(chunked: bool) -> None:
    body = b"x" * 100_000
    data = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else response(body, FRESH)
    async with origin(says(data)) as there, stage(there.instance, max_entry_bytes=50_000) as here:
        for n in (1, 2):
            assert (await here.get()).body == body
            assert there.requests == n


async def test_a_client_that_has_the_long_one_already_gets_a_304() -> None:
    body = response(b"x" * 100_000, FRESH, ETAG)
    async with origin(says(body)) as there, stage(there.instance, max_entry_bytes=50_000) as here:
        assert (await here.get("/open/x", 'If-None-Match: "a"')).status == 304
        assert (await here.get()).status == 200


async def test_what_a_client_has_already_is_collected_for_the_others() -> None:
    async def in_pieces(connection: Connection) -> None:
        await connection.request()
        await connection.say(CHUNKED.replace(b"\r\n\r\n", b'\r\nETag: "a"\r\n\r\n') + b"3\r\none\r\n")
        await connection.origin.go.wait()
        await connection.say(b"0\r\n\r\n")

    async with origin(in_pieces) as there, stage(there.instance) as here, wire(here.port) as client:
        await client.say(request("GET", "/open/x", 'If-None-Match: "a"'))
        assert (await client.answer()).status == 304
        there.go.set()
        assert (await here.get()).body == b"one"
        assert there.requests == 1


# No answer, or none that is good for anything


async def gone(connection: Connection) -> None:
    connection.reset()


@pytest.mark.parametrize("fault", [resets_after_request_read, never_answers, gone])
async def test_an_older_answer_stands_in_where_nobody_answers(fault: Behaviour) -> None:
    async def then_fails(connection: Connection) -> None:
        if connection.origin.connections == 1:
            await connection.request()
            await connection.say(response("x", FRESH, "Connection: close"))
        else:
            await fault(connection)

    async with (
        origin(then_fails) as there,
        stage(there.instance, kept=STALE_OK, retry="never", timeouts={"first_byte_s": 0.1}) as here,
    ):
        await here.get()
        here.now += MINUTE_S
        for _ in range(2):
            answer = await here.get()
            assert (answer.status, answer.body, answer.one("Age")) == (200, b"x", "61")
            assert answer.one("Cache-Status").startswith("quaymaster; fwd=stale; ttl=-1; detail=")
        here.now += 100
        assert (await here.get()).status >= 500, "but not for ever"
        assert [result for _, result in here.counted] == ["miss", "stale", "stale", "miss"]


@pytest.mark.parametrize("status", ["500 Oops", "502 Oops", "503 Oops", "504 Oops"])
async def test_it_stands_in_for_an_instances_own_error_too(status: str) -> None:
    async with (
        origin(says(response("x", FRESH), response("oops", status=status))) as there,
        stage(there.instance, kept=STALE_OK, retry="never") as here,
    ):
        await here.get()
        here.now += MINUTE_S
        answer = await here.get()
        assert answer.body == b"x"
        assert answer.one("Cache-Status") == f"quaymaster; fwd=stale; ttl=-1; fwd-status={status[:3]}"
        assert (await here.get(method="HEAD")).status == 200
        assert there.requests == 3
        assert (await here.get("/open/other")).status == int(status[:3]), "where there is one"


async def test_it_stands_in_while_there_is_no_instance_at_all() -> None:
    async with origin(says(response("x", FRESH))) as there, stage(there.instance, kept=STALE_OK) as here:
        await here.get()
        await there.stop()
        here.now += MINUTE_S
        assert (await here.get()).body == b"x"


@pytest.mark.parametrize("said_by_answer", ["must-revalidate", "no-cache", "stale-if-error=0"])
async def test_some_answers_never_stand_in(said_by_answer: str) -> None:
    first = response("x", f"{FRESH}, {said_by_answer}", ETAG)
    async with (
        origin(says(first, response("oops", status="503 Oops"))) as there,
        stage(there.instance, kept=STALE_OK, retry="never") as here,
    ):
        await here.get()
        here.now += MINUTE_S
        assert (await here.get()).status == 503


async def test_all_that_wait_get_the_older_answer_from_one_failure() -> None:
    answers = (response("x", FRESH), response("oops", status="503 Oops"))
    async with (
        origin(at_the_word(*answers)) as there,
        stage(there.instance, kept=STALE_OK, retry="never") as here,
    ):
        await many(here, there, count=1)
        here.now += MINUTE_S
        assert await many(here, there) == [(200, b"x")] * 5
        assert there.requests == 2


async def test_an_error_for_whom_there_is_nothing_older_is_each_ones_own() -> None:
    async with (
        origin(at_the_word(response("oops", status="503 Oops"))) as there,
        stage(there.instance, retry="never") as here,
    ):
        assert await many(here, there) == [(503, b"oops")] * 5


# Other instances than those that were meant


async def test_what_the_other_side_of_a_split_has_said_is_not_kept_for_this_one() -> None:
    """A share of the calls goes to instances with a tag; while there are none, the others answer."""
    split = {"tag": "v2", "weight": 99, "sticky": False}
    async with origin(says(response("x", FRESH))) as there:
        old = replace(there.instance, tags=("v1",))
        async with stage(old, subset=split) as here:
            results = [(await here.get()).one("Cache-Status") for _ in range(20)]
            assert "quaymaster; fwd=miss" in results
