"""Routes with a cache, from a client's socket to an origin's: what is kept, what is used, and for whom."""

import asyncio
from uuid import uuid4

import pytest

from gateway.caches.redis import open_cache
from tests.balancer.origins import Connection, origin, until
from tests.gateway.runtime.cached_routes import FRESH, response, says, stage
from tests.gateway.runtime.gateways import (
    RawAnswer,
    ask,
    eventually,
    gateway,
    request,
    said,
    settings_of,
    token,
    wire,
)
from tests.servers import hasty, own_redis, patient

ETAG = 'ETag: "a"'
MIB = 1 << 20


def cache_status(answer: RawAnswer) -> str:
    return answer.one("Cache-Status")


async def test_what_is_fresh_is_answered_without_an_instance() -> None:
    async with origin(says(response("hello", FRESH, "X-Own: yes"))) as there, stage(there.instance) as here:
        first = await here.get()
        here.now += 20
        second = await here.get()
        assert (first.status, first.body) == (second.status, second.body) == (200, b"hello")
        assert second.one("X-Own") == "yes"
        assert (first.all("Age"), second.one("Age")) == ([], "20")
        assert cache_status(first) == "quaymaster; fwd=miss; stored"
        assert cache_status(second) == "quaymaster; hit; ttl=40"
        assert first.one("X-Request-Id") != second.one("X-Request-Id")
        assert there.requests == 1
        assert here.counted == [("/open/*", "miss"), ("/open/*", "hit")]


async def test_what_is_old_is_fetched_anew() -> None:
    answers = [response(body, FRESH, f'ETag: "{body}"') for body in ("one", "two")]
    async with origin(says(*answers)) as there, stage(there.instance) as here:
        await here.get()
        here.now += 61
        second = await here.get()
        assert (second.body, cache_status(second)) == (b"two", "quaymaster; fwd=stale; stored")
        assert (await here.get()).body == b"two"
        assert there.requests == 2


async def test_the_routes_time_is_for_answers_that_do_not_say_it_themselves() -> None:
    async with origin(says(response())) as there, stage(there.instance, kept={"ttl_s": 10}) as here:
        await here.get()
        here.now += 9
        assert cache_status(await here.get()) == "quaymaster; hit; ttl=1"
        here.now += 2
        assert cache_status(await here.get()) == "quaymaster; fwd=miss; stored"
        assert there.requests == 2


async def test_a_route_without_a_cache_has_none() -> None:
    async with origin(says(response("x", FRESH))) as there, stage(there.instance, kept=None) as here:
        for _ in range(2):
            assert (await here.get()).all("Cache-Status") == []
        assert there.requests == 2
        assert here.counted == []


@pytest.mark.parametrize(
    "lines",
    [
        ["Cache-Control: no-store"],
        ["Cache-Control: private, max-age=60"],
        [FRESH, "Set-Cookie: session=ada"],
        [FRESH, "Vary: *"],
        ["Expires: 0"],
        [],
    ],
)
async def test_what_is_not_for_keeping_is_not_kept(lines: list[str]) -> None:
    async with origin(says(response("x", *lines))) as there, stage(there.instance) as here:
        for n in range(1, 4):
            answer = await here.get()
            assert (answer.body, cache_status(answer)) == (b"x", "quaymaster; fwd=miss")
            assert there.requests == n


# Clients that have it already


async def test_who_has_it_gets_a_304_from_the_cache() -> None:
    modified = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"
    answer = response("hello", FRESH, ETAG, modified, "Content-Type: text/plain", "Vary: Accept")
    async with origin(says(answer)) as there, stage(there.instance) as here:
        await here.get()
        here.now += 5
        for condition in ('If-None-Match: "b", W/"a"', "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"):
            known = await here.get("/open/x", condition)
            assert (known.status, known.body, known.one("ETag"), known.one("Age")) == (304, b"", '"a"', "5")
            assert known.one("Vary") == "Accept"
            assert known.all("Content-Type") == known.all("Content-Length") == []
        assert (await here.get("/open/x", 'If-None-Match: "b"')).status == 200
        assert there.requests == 1


async def test_a_client_that_asks_conditionally_fills_the_cache_for_all() -> None:
    async with origin(says(response("hello", FRESH, ETAG))) as there, stage(there.instance) as here:
        assert (await here.get("/open/x", 'If-None-Match: "a"')).status == 304
        assert said(there.heads[0], "If-None-Match") == []
        assert (await here.get()).body == b"hello"
        assert there.requests == 1


async def test_where_nothing_can_be_kept_the_clients_condition_goes_upstream() -> None:
    def by_condition(head: bytes) -> bytes:
        known = said(head, "If-None-Match")
        return (
            response(b"", ETAG, status="304 Not Modified")
            if known
            else response("x", "Cache-Control: private", ETAG)
        )

    async with origin(says(by_condition)) as there, stage(there.instance) as here:
        assert (await here.get()).body == b"x"
        assert (await here.get("/open/x", 'If-None-Match: "a"')).status == 304
        assert said(there.heads[1], "If-None-Match") == ['"a"']


async def test_head_is_answered_from_what_get_has_kept() -> None:
    async with origin(says(response("hello", FRESH))) as there, stage(there.instance) as here:
        assert cache_status(await here.get(method="HEAD")) == "quaymaster; fwd=miss"
        await here.get()
        head = await here.get(method="HEAD")
        assert (head.status, head.one("Content-Length"), cache_status(head)) == (
            *(200, "5"),
            "quaymaster; hit; ttl=60",
        )
        assert [h.split(b" ")[0] for h in there.heads] == [b"HEAD", b"GET"]


# Asking whether it is still the same


async def test_what_is_still_the_same_is_not_sent_again() -> None:
    def still(head: bytes) -> bytes:
        assert said(head, "If-None-Match") == ['"a"']
        return response(b"", "Cache-Control: max-age=30", ETAG, "X-New: yes", status="304 Not Modified")

    first = response("hello", FRESH, ETAG, "Content-Type: text/plain")
    async with origin(says(first, still)) as there, stage(there.instance) as here:
        await here.get()
        here.now += 61
        again = await here.get("/open/x", 'If-None-Match: "other"')
        assert (again.status, again.body, again.one("X-New")) == (200, b"hello", "yes")
        assert again.one("Content-Type") == "text/plain"
        assert cache_status(again) == "quaymaster; fwd=stale; fwd-status=304; stored"
        here.now += 29
        assert cache_status(await here.get()) == "quaymaster; hit; ttl=1"
        assert there.requests == 2
        assert here.counted[1] == ("/open/*", "hit")


async def test_who_has_it_gets_a_304_also_then() -> None:
    still = response(b"", FRESH, ETAG, status="304 Not Modified")
    async with origin(says(response("hello", FRESH, ETAG), still)) as there, stage(there.instance) as here:
        await here.get()
        here.now += 61
        assert (await here.get("/open/x", 'If-None-Match: "a"')).status == 304
        assert (await here.get()).body == b"hello"
        assert there.requests == 2


async def test_a_304_about_another_answer_is_not_believed() -> None:
    other = response(b"", FRESH, 'ETag: "b"', status="304 Not Modified")
    answers = (response("old", FRESH, ETAG), other, response("new", FRESH, 'ETag: "b"'))
    async with origin(says(*answers)) as there, stage(there.instance) as here:
        await here.get()
        here.now += 61
        assert (await here.get()).body == b"new"
        assert said(there.heads[2], "If-None-Match") == []


async def test_what_must_be_asked_about_each_time_is() -> None:
    first = response("hello", "Cache-Control: no-cache", ETAG)
    still = response(b"", "Cache-Control: no-cache", ETAG, status="304 Not Modified")
    async with origin(says(first, still)) as there, stage(there.instance) as here:
        for n in range(1, 4):
            assert (await here.get()).body == b"hello"
            assert there.requests == n
        assert said(there.heads[2], "If-None-Match") == ['"a"']


# What clients ask for


async def test_a_client_may_want_it_new() -> None:
    answers = [response(body, FRESH) for body in ("one", "two", "three")]
    async with origin(says(*answers)) as there, stage(there.instance) as here:
        await here.get()
        here.now += 10
        assert (await here.get("/open/x", "Cache-Control: no-cache")).body == b"two"
        assert (await here.get()).body == b"two", "what it got is kept for the others"
        here.now += 10
        new = await here.get("/open/x", "Cache-Control: max-age=5")
        assert (new.body, cache_status(new)) == (b"three", "quaymaster; fwd=request; stored")
        assert there.requests == 3


async def test_a_client_may_want_nothing_kept() -> None:
    async with origin(says(response("x", FRESH))) as there, stage(there.instance) as here:
        assert cache_status(await here.get("/open/x", "Cache-Control: no-store")) == "quaymaster; fwd=miss"
        await here.get()
        assert there.requests == 2


async def test_a_client_may_want_only_what_is_here() -> None:
    async with origin(says(response("x", FRESH))) as there, stage(there.instance) as here:
        refused = await here.get("/open/x", "Cache-Control: only-if-cached")
        assert (refused.status, refused.json()["reason"]) == (504, "not_cached")
        await here.get()
        assert (await here.get("/open/x", "Cache-Control: only-if-cached")).body == b"x"
        ranged = await here.get("/open/x", "Cache-Control: only-if-cached", "Range: bytes=0-1")
        assert ranged.status == 504
        assert there.requests == 1


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Range: bytes=0-1"], b""),
        ([], b"a body that no key knows"),
        (['If-Match: "a"'], b""),
        (["Expect: 100-continue", "Content-Length: 0"], b""),
    ],
)
async def test_these_go_past_the_cache(headers: list[str], body: bytes) -> None:
    part = response("he", FRESH, "Content-Range: bytes 0-1/5", status="206 Partial Content")
    async with origin(says(response("hello", FRESH), part)) as there, stage(there.instance) as here:
        await here.get()
        past = await here.get("/open/x", *headers, body=body)
        assert (past.body, cache_status(past)) == (b"he", "quaymaster; fwd=bypass")
        assert (await here.get()).body == b"hello"
        assert there.requests == 2
        assert here.counted[1] == ("/open/*", "bypass")


# Whose it is


async def test_users_have_answers_of_their_own() -> None:
    def by_user(head: bytes) -> bytes:
        return response(f"of {said(head, 'X-User-Id')[0]}", FRESH)

    async with origin(says(by_user)) as there, stage(there.instance, access="user") as here:
        ada, bob = (f"token: {token(name)}" for name in ("ada", "bob"))
        for _ in range(2):
            assert (await here.get("/open/x", ada)).body == b"of ada"
            assert (await here.get("/open/x", bob)).body == b"of bob"
        assert there.requests == 2
        other = f"token: {token('ada', roles=['admin'])}"
        await here.get("/open/x", other)
        assert there.requests == 3, "who may more gets another answer"
        assert (await here.get()).status == 401, "and nobody gets one without a token"


@pytest.mark.parametrize(
    ("control", "shared"), [("max-age=60", False), ("max-age=60, public", True), ("s-maxage=60", True)]
)
async def test_users_share_what_says_that_it_is_for_all(control: str, shared: bool) -> None:
    async with (
        origin(says(response("x", f"Cache-Control: {control}"))) as there,
        stage(there.instance, access="user", kept={"per_user": False}) as here,
    ):
        for name in ("ada", "bob"):
            assert (await here.get("/open/x", f"token: {token(name)}")).status == 200
        assert there.requests == (1 if shared else 2)


async def test_users_whose_tokens_are_kept_from_instances_are_told_apart_as_well() -> None:
    def by_user(head: bytes) -> bytes:
        return response(f"of {said(head, 'X-User-Id')}", FRESH)

    removed = ["Authorization", "token"]
    async with (
        origin(says(by_user)) as there,
        stage(there.instance, access="user", remove_headers=removed, kept={"per_user": False}) as here,
    ):
        for name in ("ada", "bob"):
            answer = await here.get("/open/x", f"token: {token(name)}")
            assert answer.body == f"of ['{name}']".encode()


async def test_where_the_gateway_knows_no_user_credentials_make_an_answer_nobody_elses() -> None:
    def by_token(head: bytes) -> bytes:
        return response(f"of {said(head, 'Authorization')}", FRESH)

    async with origin(says(by_token)) as there, stage(there.instance) as here:
        for name in ("ada", "bob"):
            answer = await here.get("/open/x", f"Authorization: Basic {name}")
            assert answer.body == f"of ['Basic {name}']".encode()
        assert there.requests == 2


@pytest.mark.parametrize("name", ["X-Request-Id", "X-Request-Timeout-Ms"])
async def test_what_varies_by_what_the_gateway_says_anew_each_time_is_for_one_request(name: str) -> None:
    def by_name(head: bytes) -> bytes:
        return response(f"{said(head, name)}", FRESH, f"Vary: {name}")

    async with origin(says(by_name)) as there, stage(there.instance) as here:
        first, second = [
            await here.get("/open/x", f"{name}: {value}") for value in (900_000_000, 500_000_000)
        ]
        assert there.requests == 2, (first.body, second.body)


async def test_answers_that_vary_are_apart() -> None:
    def by_language(head: bytes) -> bytes:
        return response(f"in {said(head, 'Accept-Language')}", FRESH, "Vary: accept-language, X-Any")

    async with origin(says(by_language)) as there, stage(there.instance) as here:
        for _ in range(2):
            for language in ("de", "en"):
                answer = await here.get("/open/x", f"Accept-Language: {language}")
                assert answer.body == f"in ['{language}']".encode()
        assert there.requests == 2


async def test_answers_that_vary_by_different_headers_do_not_push_each_other_out() -> None:
    def forgetful(head: bytes) -> bytes:
        language = "".join(said(head, "Accept-Language"))
        return response(language, FRESH, "Vary: Accept-Language" if language == "de" else "Vary: X-Any")

    async with origin(says(forgetful)) as there, stage(there.instance) as here:
        for _ in range(4):
            for language in ("de", "en"):
                answer = await here.get("/open/x", f"Accept-Language: {language}")
                assert answer.body == language.encode()
        assert there.requests == 3, "the first is not found by what the second varies by"


async def test_the_route_can_say_what_they_vary_by() -> None:
    def by_room(head: bytes) -> bytes:
        return response(f"of {said(head, 'X-Room')}", FRESH)

    async with origin(says(by_room)) as there, stage(there.instance, kept={"vary": ["X-Room"]}) as here:
        for _ in range(2):
            for room in ("blue", "red"):
                assert (await here.get("/open/x", f"X-Room: {room}")).body == f"of ['{room}']".encode()
        assert there.requests == 2


async def test_versions_of_an_api_are_apart() -> None:
    async def named(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.say(response(str(connection.origin.instance.port), FRESH))

    async with origin(named) as one, origin(named) as two:
        services = {
            name: {"instances": [f"http://127.0.0.1:{there.instance.port}"]}
            for name, there in (("auth", one), ("second", two))
        }
        versions = {"default": "1", "to": {"1": {"service": "auth"}, "2": {"service": "second"}}}
        route = {"path": "/open/*", "service": "auth", "access": "public", "versions": versions, "cache": {}}
        async with gateway(routes=[route], services=services) as running:
            for _ in range(2):
                for version, there in (("1", one), ("2", two)):
                    answer = await ask(running.port, "GET", "/open/x", f"X-API-Version: {version}")
                    assert answer.body == str(there.instance.port).encode()
        assert (one.requests, two.requests) == (1, 1)


async def test_paths_queries_and_hosts_are_apart() -> None:
    def by_line(head: bytes) -> bytes:
        return response(head.split(b" ")[1] + said(head, "Host")[0].encode(), FRESH)

    async with origin(says(by_line)) as there, stage(there.instance) as here:
        asked = [
            ("/open/x", "a"),
            ("/open/x?", "a"),
            ("/open/x?b", "a"),
            ("/open/%78", "a"),
            ("/open/x", "b"),
        ]
        for _ in range(2):
            for target, host in asked:
                async with wire(here.port) as client:
                    await client.say(request("GET", target, host=host))
                    assert (await client.answer()).body == f"{target}{host}".encode()
        assert there.requests == len(asked)


# Methods that change something


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_change_drops_what_was_kept_before_it_is_answered(method: str) -> None:
    answers = [response(body, FRESH) for body in ("old", "changed", "new")]
    async with origin(says(*answers)) as there, stage(there.instance) as here:
        await here.get("/open/x?a=1")
        assert (await here.get("/open/x?a=1", method=method, body=b"x")).body == b"changed"
        assert (await here.get("/open/x?a=1")).body == b"new"
        assert there.requests == 3


async def test_a_change_by_another_route_counts_too() -> None:
    answers = [response(body, FRESH) for body in ("old", "changed", "new")]
    changing = {
        "path": "/open/*",
        "methods": ["DELETE"],
        "service": "auth",
        "access": "public",
        "strip_prefix": "/open",
    }
    async with (
        origin(says(*answers)) as there,
        stage(there.instance, methods=["GET"], more=(changing,)) as here,
    ):
        await here.get()
        await here.get(method="DELETE")
        assert (await here.get()).body == b"new"


async def test_what_was_refused_changes_nothing() -> None:
    refused = response("no", status="403 Forbidden")
    async with origin(says(response("old", FRESH), refused)) as there, stage(there.instance) as here:
        await here.get()
        assert (await here.get(method="DELETE")).status == 403
        assert (await here.get()).body == b"old"
        await here.get(method="OPTIONS")
        assert (await here.get()).body == b"old"


async def test_what_was_asked_for_before_a_change_is_not_kept_after_it() -> None:
    async def slow_reader(connection: Connection) -> None:
        while True:
            head = await connection.request()
            if head.startswith(b"GET") and connection.origin.requests == 1:
                await connection.origin.go.wait()
                await connection.say(response("before", FRESH))
            else:
                await connection.say(response("after", FRESH))

    async with origin(slow_reader) as there, stage(there.instance) as here, asyncio.TaskGroup() as group:
        early = group.create_task(here.get())
        await until(lambda: there.requests == 1)
        await here.get(method="POST", body=b"x")
        assert (await here.get()).body == b"after", "it does not wait for one that may be outdated"
        there.go.set()
        assert (await early).body == b"before"
        assert (await here.get()).body == b"after"


# A shared cache, and a whole gateway


async def test_gateways_share_what_one_has_fetched(redis_url: str) -> None:
    route = {"path": "/open/*", "service": "auth", "access": "public", "cache": {}}
    shared = {"backend": "redis", "url": patient(redis_url)}
    async with origin(says(response("x", FRESH, ETAG))) as there:
        gateways = [gateway(there.instance, routes=[route], cache=shared) for _ in range(2)]
        async with gateways[0] as one, gateways[1] as other:
            target = f"/open/{uuid4()}"
            answers = [await ask(running.port, "GET", target) for running in (one, other, one)]
            assert [cache_status(answer).split(";")[1] for answer in answers] == [" fwd=miss", " hit", " hit"]
            assert there.requests == 1
            await ask(other.port, "DELETE", target)
            assert " fwd=miss" in cache_status(await ask(one.port, "GET", target))
            metrics = (await ask(one.port, "GET", "/metrics")).body.decode()
            assert 'quaymaster_cache_total{result="hit",route="/open/*"} 1.0' in metrics
            assert 'quaymaster_cache_total{result="miss",route="/open/*"} 2.0' in metrics


async def test_a_redis_that_is_away_is_gone_past() -> None:
    with own_redis() as redis:
        async with (
            origin(says(response("x", FRESH))) as there,
            open_cache(hasty(redis.url), MIB) as cache,
            stage(there.instance, cache=cache) as here,
        ):
            assert [cache_status(await here.get()).split(";")[1] for _ in range(2)] == [" fwd=miss", " hit"]
            redis.pause()
            for _ in range(5):
                answer = await here.get()
                assert (answer.status, cache_status(answer)) == (200, "quaymaster; fwd=bypass")
            assert (await here.get(method="POST", body=b"x")).status == 200
            assert (await here.get("/open/x", "Cache-Control: only-if-cached")).status == 504
            redis.resume()

            async def hits_again() -> bool:
                return " hit" in cache_status(await here.get())

            await eventually(hits_again)


async def test_a_route_may_get_a_cache_while_the_gateway_runs() -> None:
    plain = {"path": "/open/*", "service": "auth", "access": "public"}
    async with (
        origin(says(response("x", FRESH))) as there,
        gateway(there.instance, routes=[plain]) as running,
    ):
        assert (await ask(running.port, "GET", "/open/x")).all("Cache-Status") == []
        await running.follow(settings_of(there.instance, routes=[plain | {"cache": {}}]))
        for told in ("fwd=miss; stored", "hit; ttl=", "hit; ttl="):
            answer = await ask(running.port, "GET", "/open/x")
            assert cache_status(answer).startswith(f"quaymaster; {told}")
        await running.follow(settings_of(there.instance, routes=[plain]))
        assert (await ask(running.port, "GET", "/open/x")).all("Cache-Status") == []
        assert there.requests == 3
