import asyncio

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
            async with asyncio.timeout(20):
                while not logs:  # noqa: ASYNC110 a log has no event to wait for
                    await asyncio.sleep(0.01)
            with pytest.raises(Unanswered):
                script.expect_answer()
            server.resume()
            await _used_again(script)
            assert await script.run([b"a"], [b"b"]) == b"ab"
            await script.close()
    assert [entry["event"] for entry in logs] == ["redis_does_not_answer", "redis_answers_again"]


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


async def test_a_redis_that_only_answers_pings_holds_up_a_caller_now_and_then() -> None:
    pings: list[float] = []
    clock = asyncio.get_running_loop().time

    async def answers_only_pings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(4096):
            pings.extend([clock()] * said.count(b"PING"))
            writer.write(b"+OK\r\n" * said.count(b"CLIENT") + b"+PONG\r\n" * said.count(b"PING"))
        writer.close()

    server = await asyncio.start_server(answers_only_pings, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, open_redis(url) as redis:
        script = LuaScript(redis, ECHO)
        lost = []
        with capture_logs() as logs:
            for _ in range(3):
                await _used_again(script)
                with pytest.raises(Unanswered):
                    await script.run([b"a"], [b"b"])
                lost.append(clock())
            await _used_again(script)
        await script.close()
    assert [entry["event"] for entry in logs] == ["redis_does_not_answer"]
    # At once the first time; then nobody else is sent there so soon.
    assert len(pings) == 3
    assert all(asked - at > TRY_AGAIN_S / 2 for at, asked in zip(lost[1:], pings[1:], strict=True))


async def test_who_asks_whether_redis_is_back_dies_of_a_bug_and_asks_again() -> None:
    answers = iter([b":1\r\n"])

    async def answers_a_number_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(4096):
            writer.write(b"+OK\r\n" * said.count(b"CLIENT"))
            if b"PING" in said:
                writer.write(next(answers, b"+PONG\r\n"))
        writer.close()

    server = await asyncio.start_server(answers_a_number_first, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, open_redis(url) as redis:
        script = LuaScript(redis, ECHO)
        with capture_logs() as logs:
            with pytest.raises(Unanswered):
                await script.run([b"a"], [b"b"])
            await _used_again(script)
        assert "task_died" in [entry["event"] for entry in logs]
        await script.close()


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
