import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Connection
from structlog.testing import capture_logs

from handlers.stores.lua.script import REFUSALS, TRY_AGAIN_S, LuaScript, open_redis, packed
from registry.runtime.batches import Unanswered
from tests.servers import RedisServer, forget_all, hasty, own_redis, patient

ECHO = "return KEYS[1] .. ARGV[1]"


async def test_a_script_that_is_not_there_yet_is_brought_along(redis_url: str) -> None:
    async with open_redis(patient(redis_url)) as redis:
        script = LuaScript(redis, ECHO)
        assert await script.run([b"a"], [b"b"]) == b"ab"
        await redis.script_flush()
        assert await script.run([b"a"], [b"c"]) == b"ac"
        assert await redis.script_exists(script.sha) == [True]
        forget_all(redis_url)


@given(st.lists(st.binary()))
def test_commands_look_as_redis_py_writes_them(words: list[bytes]) -> None:
    assert packed([b"EVAL", *words]) == b"".join(Connection().pack_command(b"EVAL", *words))


async def test_an_error_of_the_script_is_no_answer(redis_url: str) -> None:
    async with open_redis(patient(redis_url)) as redis:
        with pytest.raises(Unanswered, match="the reason"):
            await LuaScript(redis, "return redis.error_reply('the reason')").run([], [])


async def test_a_url_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme"):
        async with open_redis("http://localhost"):
            pass


async def test_a_redis_that_hangs_costs_one_caller_its_time_and_is_used_when_it_is_back() -> None:
    now = 0.0
    with own_redis() as server, capture_logs() as logs:
        async with open_redis(hasty(server.url)) as redis:
            script = LuaScript(redis, ECHO, clock=lambda: now)
            script.expect_answer()
            server.pause()
            with pytest.raises(Unanswered):
                await script.run([b"a"], [b"lost"])
            for _ in range(10):
                now += 10 * TRY_AGAIN_S
                with pytest.raises(Unanswered, match="when it does"):
                    script.expect_answer()
            await _logged(logs, "redis_does_not_answer")
            with pytest.raises(Unanswered):
                script.expect_answer()
            server.resume()
            await _logged(logs, "redis_answers_again")
            script.expect_answer()
            await script.close()
    assert [entry["event"] for entry in logs] == ["redis_does_not_answer", "redis_answers_again"]


async def _logged(logs: list[MutableMapping[str, Any]], event: str) -> None:
    async with asyncio.timeout(20):
        while event not in [entry["event"] for entry in logs]:  # noqa: ASYNC110 a log has no event to wait for
            await asyncio.sleep(0.01)


async def test_a_connection_that_broke_is_no_outage() -> None:
    with own_redis() as server, capture_logs() as logs:
        async with open_redis(patient(server.url)) as redis:
            script = LuaScript(redis, ECHO)
            await script.run([b"a"], [b"b"])
            server.stop()
            server.start()
            with pytest.raises(Unanswered):
                await script.run([b"a"], [b"b"])
            await _used_again(script)
            assert await script.run([b"a"], [b"b"]) == b"ab"
            await script.close()
    assert logs == []


async def _used_again(script: LuaScript) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                return script.expect_answer()
            except Unanswered:
                await asyncio.sleep(0.01)


async def test_who_asks_whether_redis_is_back_is_gone_after_the_end() -> None:
    with own_redis() as server:
        async with open_redis(hasty(server.url)) as redis:
            script = LuaScript(redis, ECHO)
            server.stop()
            with pytest.raises(Unanswered):
                await script.run([b"a"], [b"b"])
            assert [task.get_name() for task in asyncio.all_tasks()].count("ask redis") == 1
            with pytest.raises(Unanswered):
                await script.run([b"a"], [b"b"])
            assert [task.get_name() for task in asyncio.all_tasks()].count("ask redis") == 1
            await script.close()
            assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_redis_that_answers_with_errors_is_asked_only_now_and_then(redis_url: str) -> None:
    now = 0.0
    async with open_redis(patient(redis_url)) as redis:
        script = LuaScript(redis, "return ARGV[1] or redis.error_reply('the reason')", clock=lambda: now)
        with capture_logs() as logs:
            for _ in range(REFUSALS):
                script.expect_answer()
                with pytest.raises(Unanswered):
                    await script.run([], [])
        assert [entry["event"] for entry in logs] == ["redis_refuses"]
        with pytest.raises(Unanswered):
            script.expect_answer()
        now += TRY_AGAIN_S
        script.expect_answer()
        with pytest.raises(Unanswered):
            script.expect_answer()  # one is on its way already
        assert await script.run([], [b"good"]) == b"good"
        script.expect_answer()
        await script.close()


async def _answer(server: RedisServer, script: LuaScript) -> bytes:
    """As soon as it is awake again."""
    server.resume()
    for _ in range(100):
        try:
            return await script.run([b"a"], [b"late"])
        except Unanswered:
            await asyncio.sleep(0.05)
    raise AssertionError("it never answered again")


async def test_a_hung_redis_fails_in_time_and_gives_nobody_the_answer_of_another() -> None:
    with own_redis() as server:
        async with open_redis(hasty(server.url)) as redis:
            script = LuaScript(redis, ECHO)
            assert await script.run([b"a"], [b"early"]) == b"aearly"
            server.pause()
            async with asyncio.timeout(5):
                with pytest.raises(Unanswered):
                    await script.run([b"a"], [b"lost"])
            assert await _answer(server, script) == b"alate"
            await script.close()


async def test_a_run_that_is_cancelled_leaves_its_answer_to_nobody() -> None:
    with own_redis() as server:
        async with open_redis(patient(server.url)) as redis:
            script = LuaScript(redis, ECHO)
            await script.run([b"a"], [b"0"])
            server.pause()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await script.run([b"a"], [b"1"])
            server.resume()
            assert await script.run([b"a"], [b"2"]) == b"a2"


async def test_a_restarted_redis_is_used_again() -> None:
    with own_redis() as server:
        async with open_redis(patient(server.url)) as redis:
            script = LuaScript(redis, ECHO)
            assert await script.run([b"a"], [b"b"]) == b"ab"
            server.stop()
            with pytest.raises(Unanswered):
                await script.run([b"a"], [b"b"])
            server.start()
            assert await script.run([b"a"], [b"c"]) == b"ac"
            await script.close()
