"""Asks the service that issues tokens about each of them, through the balancer as any other call.

An answer is remembered for `cache_s`, a no for less: it may be about to become a yes. Whoever asks the same
at the same time waits for the same answer.
"""

import asyncio
from collections.abc import Sequence

import structlog

from balancer.model import CallPolicy, OutboundRequest, RetryClass, Timeouts, UpstreamBroke
from balancer.runtime.call import Answer, Balancer
from gateway.identity import Era, Rejected, User
from gateway.introspection import (
    MAX_ANSWER_BYTES,
    UNAVAILABLE,
    Asker,
    asker,
    question,
    revocation_id,
    understood,
)
from gateway.remembered_users import RememberedUsers
from gateway.request_head import HOP
from gateway.settings import IdentitySettings
from registry.model import ServiceName
from registry.runtime.tasks import Tasks

log = structlog.get_logger()

MOST_AT_ONCE = 512
"""Questions under way; further callers are told that it can't be checked."""
MAX_NO_S = 2.0
"""How long a no is remembered at most."""
MAX_NOS = 4096
REVOKED_FOR_S = 86_400.0
"""A revoked token stays refused for so long: when it expires is its issuer's secret."""


class Introspector:
    asks_issuer = True
    leeway_s = 0.0

    def __init__(self, settings: IdentitySettings, balancer: Balancer, mark: str, tasks: Tasks) -> None:
        self.settings = settings
        self._asked = settings.introspection
        self._balancer = balancer
        self._mark = mark.encode()
        self._tasks = tasks
        self._policy = CallPolicy(
            ServiceName(self._asked.service),
            RetryClass.SAFE,
            Timeouts(total_s=self._asked.timeout_s, first_byte_s=self._asked.timeout_s),
        )
        self._good = RememberedUsers(self._asked.max_cached)
        self._nos: dict[bytes, tuple[float, Rejected]] = {}
        self._under_way: dict[bytes, asyncio.Task[User | Rejected]] = {}
        self.era = Era()
        self.asks_uid = bool(self._asked.uid_parameter)

    def known(self, token: str, uids: Sequence[str], now: float) -> User | None:
        """The user whom the service has named lately."""
        who = self._who(token, uids)
        return None if isinstance(who, Rejected) else self._good.get(who.digest, now)

    async def judge(self, token: str, uids: Sequence[str], now: float) -> User | Rejected:
        """What the service says of the token and the one uid that the request names."""
        who = self._who(token, uids)
        if isinstance(who, Rejected):
            return who
        name = who.digest
        known = self._good.get(name, now) or self._known_no(name, now)
        if known is not None:
            return known
        asking = self._under_way.get(name)
        if asking is None:
            if len(self._under_way) >= MOST_AT_ONCE:
                return UNAVAILABLE
            asking = self._under_way[name] = self._tasks.start("introspect", self._learn(name, who, now))
        await asyncio.wait([asking])
        # One that was stopped, or has died of a bug, has no answer.
        return UNAVAILABLE if asking.cancelled() or asking.exception() is not None else asking.result()

    async def to_revoke(self, token: str, now: float) -> tuple[str, float] | Rejected:
        """What a token is revoked by, and until when."""
        return revocation_id(token), now + REVOKED_FOR_S

    def _who(self, token: str, uids: Sequence[str]) -> Asker | Rejected:
        return asker(token, uids, self._asked, self.settings.max_token_bytes)

    def _known_no(self, name: bytes, now: float) -> Rejected | None:
        until, no = self._nos.get(name, (0.0, None))
        return no if now < until else None

    async def _learn(self, name: bytes, who: Asker, now: float) -> User | Rejected:
        try:
            said = await self._ask(who, now)
        finally:
            del self._under_way[name]
        cache_s = self._asked.cache_s
        if isinstance(said, User):
            if cache_s > 0:
                self._good.keep(name, said, len(who.token))
        elif said is not UNAVAILABLE and cache_s > 0:
            self._nos.pop(name, None)
            self._nos[name] = now + min(cache_s, MAX_NO_S), said
            if len(self._nos) > MAX_NOS:
                del self._nos[next(iter(self._nos))]
        return said

    async def _ask(self, who: Asker, now: float) -> User | Rejected:
        asked = question(who, self._asked)
        headers = [*asked.headers, (HOP.encode(), self._mark)]
        request = OutboundRequest(asked.method, asked.target, headers, asked.body)
        try:
            async with (
                asyncio.timeout(self._asked.timeout_s),
                self._balancer.call(self._policy, request) as end,
            ):
                if not isinstance(end, Answer):
                    return UNAVAILABLE
                body = await _body(end)
                if body is None:
                    return UNAVAILABLE
                return understood(end.status, body, who, self._asked, self.settings, now)
        except (TimeoutError, UpstreamBroke):
            return UNAVAILABLE

    def __repr__(self) -> str:
        return f"<Introspector: {len(self._good)} tokens remembered, {len(self._under_way)} asked about>"


async def _body(answer: Answer) -> bytes | None:
    """All of it; `None` if that is too much."""
    body = answer.body.whole() or b""
    if not body:
        async for piece in answer.body:
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                return None
    return body if len(body) <= MAX_ANSWER_BYTES else None
