"""One Lua script on one Redis: sent when it is not there yet, with every wait bounded.

redis-py's defaults wait five seconds ten times over for a server that hangs. Here a command has `TIMEOUT_S`
and is tried once. A server that did not answer in time, or is not to be reached, is asked nothing more for
callers: a task of the script's own asks it whether it is back. One that answers with an error costs nobody
any time, so a caller finds out now and then whether it is over. Both times can be set in the URL:
`redis://host/0?socket_timeout=0.5&socket_connect_timeout=1`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha1
from pathlib import Path

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from registry.runtime.batches import Unanswered
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()

TIMEOUT_S = 0.1
CONNECT_TIMEOUT_S = 0.2
# uvloop says RuntimeError of a connection that is just closing.
FAULTS = (RedisError, OSError, RuntimeError)
REFUSALS = 3
"""Errors that were answered, in a row, after which callers are refused without asking."""
TRY_AGAIN_S = 0.5
"""How often one of them is let through then."""
ASK_AGAIN_S = 0.25
"""Between two questions whether a Redis that does not answer is back: it is used again so soon after."""
AFTER_A_BUG_S = 1.0


class LuaScript:
    """Runs `text` on `redis`, one run after the other. `clock` is monotonic seconds.

    Whoever has made it awaits `close`, when nothing runs any more.
    """

    def __init__(self, redis: Redis, text: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._text = text
        self._clock = clock
        self._away = False
        self._ran = True
        """Since it was back last, or as far as anybody knows."""
        self._told = False
        """It was logged that Redis does not do what it should."""
        self._refusals = 0
        self._try_at = 0.0
        self._tasks = Tasks(self._died)
        # Names the script, as Redis wants it; protects nothing.
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()

    def expect_answer(self) -> None:
        """Raises `Unanswered` while Redis is away, and, except for one caller in `TRY_AGAIN_S`, while it
        answers with nothing but errors."""
        if self._away:
            raise Unanswered("Redis does not answer; it is used again when it does")
        if self._refusals < REFUSALS:
            return
        if (now := self._clock()) < self._try_at:
            raise Unanswered("Redis answers with errors; it is asked again in a moment")
        self._try_at = now + TRY_AGAIN_S

    async def run(self, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
        """What the script returns. Raises `Unanswered`."""
        rest = (b"%d" % len(keys), *keys, *arguments)
        try:
            try:
                said = await self._ask(b"EVALSHA", self.sha.encode(), *rest)
            except NoScriptError:
                said = await self._ask(b"EVAL", self._text.encode(), *rest)
        except ResponseError as error:
            self._refused(error)
            raise Unanswered(f"Redis: {error}") from error
        except FAULTS as error:
            self._lost(error)
            raise Unanswered(f"Redis: {error}") from error
        if self._told:
            log.info("redis_answers_again")
        self._told, self._ran, self._refusals = False, True, 0
        return said

    async def close(self) -> None:
        """Asks nothing more."""
        await self._tasks.close()

    async def _ask(self, *words: bytes) -> bytes:
        """Redis' answer to a command. As `Redis.execute_command` without retries, for 60 % of its cost."""
        pool = self._redis.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py leaves it open
        try:
            await connection.send_packed_command(packed(words))
            said = await connection.read_response()
        finally:
            await pool.release(connection)
        assert isinstance(said, bytes)
        return said

    def _refused(self, error: Exception) -> None:
        """It is there, and does not do what it is asked."""
        self._refusals += 1
        self._try_at = self._clock() + TRY_AGAIN_S
        if self._refusals >= REFUSALS:
            self._tell("redis_refuses", str(error))

    def _lost(self, error: Exception) -> None:
        """It is not there. Nobody waits for that a second time: a task finds out when it is back."""
        if self._away:
            return
        # One connection that broke, or one late answer, is over by now. But a Redis may answer a small
        # question and run nothing in time: then each caller that is let through waits in vain.
        after_s = 0.0 if self._ran else TRY_AGAIN_S
        self._away, self._ran = True, False
        self._tasks.start("ask redis", self._until_back(str(error) or type(error).__name__, after_s))

    async def _until_back(self, why: str, after_s: float) -> None:
        if after_s > 0:
            self._tell("redis_does_not_answer", why)
            await asyncio.sleep(after_s)
        while not await self._is_back():
            self._tell("redis_does_not_answer", why)
            await asyncio.sleep(ASK_AGAIN_S)
        self._away = False

    def _tell(self, event: str, why: str) -> None:
        """Once, until it is over."""
        if not self._told:
            self._told = True
            log.warning(event, detail=why)

    async def _is_back(self) -> bool:
        try:
            await self._ask(b"PING")
        except ResponseError:
            pass  # whoever may not ask this, or not now, has been answered
        except FAULTS:
            return False
        return True

    def _died(self, name: str, error: BaseException) -> None:
        """Of a bug. Redis would be away for good if nobody asked any more."""
        log.error("task_died", task=name, trace=trace_of(error))
        self._tasks.start(name, self._until_back("the task that asks has died", AFTER_A_BUG_S))


def packed(words: Sequence[bytes]) -> bytes:
    """A command as Redis reads it: how many words, then how long each is, and the word (RESP)."""
    lines = [b"*%d" % len(words)]
    for word in words:
        lines += (b"$%d" % len(word), word)
    lines.append(b"")
    return b"\r\n".join(lines)


def read_script(folder: Path, *parts: str) -> str:
    """The files `parts`.lua of `folder` as one script, without what is only for their readers."""
    lines = (line.strip() for part in parts for line in (folder / f"{part}.lua").read_text().splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("--"))


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[Redis]:
    """A client that connects when it is first used. Raises `ValueError` for a URL of another kind."""
    redis = Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    try:
        yield redis
    finally:
        await redis.aclose()
