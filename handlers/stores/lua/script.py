"""One Lua script on one Redis: sent when it is not there yet, with every wait bounded.

redis-py's defaults wait five seconds ten times over for a server that hangs. Here a command has `TIMEOUT_S`,
is tried once, and a server that fails to answer three times in a row is asked only now and then until
it does. Both times can be set in the URL: `redis://host/0?socket_timeout=0.5&socket_connect_timeout=1`.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha1
from pathlib import Path

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from registry.runtime.batches import Unanswered

log = structlog.get_logger()

TIMEOUT_S = 0.1
CONNECT_TIMEOUT_S = 0.2
FAILURES = 3
"""In a row, after which callers are refused without asking."""
TRY_AGAIN_S = 0.5
"""How often one of them is let through then."""


class LuaScript:
    """Runs `text` on `redis`, one run after the other. `clock` is monotonic seconds."""

    def __init__(self, redis: Redis, text: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._text = text
        self._clock = clock
        self._failures = 0
        self._try_at = 0.0
        # Names the script, as Redis wants it; protects nothing.
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()

    def expect_answer(self) -> None:
        """Raises `Unanswered` if Redis is away, except for one caller in `TRY_AGAIN_S`."""
        if self._failures < FAILURES:
            return
        if (now := self._clock()) < self._try_at:
            raise Unanswered("Redis does not answer; it is asked again in a moment")
        self._try_at = now + TRY_AGAIN_S

    async def run(self, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
        """What the script returns. Raises `Unanswered`."""
        rest = (b"%d" % len(keys), *keys, *arguments)
        try:
            try:
                said = await self._ask(b"EVALSHA", self.sha.encode(), *rest)
            except NoScriptError:
                said = await self._ask(b"EVAL", self._text.encode(), *rest)
        except (RedisError, OSError, RuntimeError) as error:
            # uvloop says RuntimeError of a connection that is just closing.
            self._failed(error)
            raise Unanswered(f"Redis: {error}") from error
        if self._failures >= FAILURES:
            log.info("redis_answers_again")
        self._failures = 0
        return said

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

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._try_at = self._clock() + TRY_AGAIN_S
        if self._failures == FAILURES:
            log.warning("redis_does_not_answer", detail=str(error) or type(error).__name__)


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
