"""Who is asking: the token's user, as far as it is not revoked. What dispatch asks about every caller.

A caller on a kept connection says the same headers again, so whom they name stands in their `RequestHead`; a
token that comes by another connection is known by its digest; only a new one is judged, by keys that are here
or by asking its issuer.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import structlog

from balancer.runtime.call import Balancer
from gateway.denylists import load_denylist
from gateway.denylists.base import Denylist
from gateway.errors import Reason
from gateway.identity import Era, Rejected, User, claimed_uids, uid_problem
from gateway.introspection import UNAVAILABLE
from gateway.request_head import RequestHead
from gateway.runtime.introspector import REVOKED_FOR_S, Introspector
from gateway.runtime.jwks_client import JwksClient, opened_jwks_client
from gateway.runtime.jwks_keeper import JwksKeeper
from gateway.settings import IdentitySettings, Settings
from gateway.tallies import Counters
from gateway.verifier import UnknownKey, Verifier
from registry.runtime.tasks import Tasks
from registry.runtime.trace import trace_of

log = structlog.get_logger()

REMEMBERED = ("remembered",)
REVOKED = Rejected(Reason.REVOKED_TOKEN, "revoked")


class Judge(Protocol):
    """Says whose a token is."""

    settings: IdentitySettings
    leeway_s: float
    asks_issuer: bool
    """Whether a new token is a question to somebody else."""
    asks_uid: bool
    """Whether it must be told who the user is."""

    @property
    def era(self) -> Era:
        """Over when users that were good may be so no more."""
        ...

    def known(self, token: str, uids: Sequence[str], now: float) -> User | None:
        """Without waiting, if it was judged before."""
        ...

    async def judge(self, token: str, uids: Sequence[str], now: float) -> User | Rejected: ...

    async def to_revoke(self, token: str, now: float) -> tuple[str, float] | Rejected:
        """What a token is revoked by, and until when (Unix seconds)."""
        ...


class KeyJudge:
    """Judges by keys: those of the settings, or those that `keeper` fetches."""

    asks_issuer = False
    asks_uid = False

    def __init__(self, settings: IdentitySettings, verifier: Verifier, keeper: JwksKeeper | None) -> None:
        self.settings = settings
        self.leeway_s = settings.leeway_s
        self.verifier = verifier
        self.keeper = keeper

    @property
    def era(self) -> Era:
        return self.verifier.era

    def fetches(self, url: str, algorithms: Sequence[str]) -> bool:
        """Whether its keys are from there, and for these."""
        return self.settings.jwks_url == url and self.settings.algorithms == algorithms

    def known(self, token: str, uids: Sequence[str], now: float) -> User | None:
        del uids
        return self.verifier.known(token, now)

    async def judge(self, token: str, uids: Sequence[str], now: float) -> User | Rejected:
        del uids
        verifier, keeper = self.verifier, self.keeper
        if keeper is not None and not verifier.keys.keys:
            await keeper.first()
        found = verifier.verify(token, now)
        if isinstance(found, UnknownKey) and keeper is not None:
            if verifier.keys.keys:
                await keeper.look_again()
                found = verifier.verify(token, now)
            if not verifier.keys.keys:
                return UNAVAILABLE
        return found

    async def to_revoke(self, token: str, now: float) -> tuple[str, float] | Rejected:
        user = await self.judge(token, (), now)
        return user if isinstance(user, Rejected) else (user.token_id, user.expires_at + self.leeway_s)


class Identities:
    """Follows new settings; whoever is known stays so where nothing about tokens has changed."""

    def __init__(
        self,
        denylist: Denylist,
        client: JwksClient,
        balancer: Balancer,
        mark: str,
        tokens: Counters,
    ) -> None:
        self._denylist = denylist
        self._client = client
        self._balancer = balancer
        self._mark = mark
        self._tokens = tokens
        self._tokens.setdefault(REMEMBERED, 0)
        self._leeway_s = 0.0
        self._judge: Judge | None = None
        self._closed = False
        self._tasks = Tasks(self._died)

    @property
    def asks_issuer(self) -> bool:
        """Whether a new token is a question to somebody else."""
        return self._judge is not None and self._judge.asks_issuer

    def known(self, head: RequestHead, query: str, now: float) -> User | None:
        """The user of a request whose token was judged before; `None` leaves it to `judge`."""
        user, era = head.user, head.era
        if user is None or era is None or era.over:
            judge = self._judge
            if judge is None or not isinstance(head.token, str):
                return None
            uids = claimed_uids(head.uids, query)
            user = judge.known(head.token, uids, now)
            if user is None:
                return None
            _note(head, user, uids, judge)
        elif now - user.expires_at > self._leeway_s:
            return None
        if (head.uids or query) and uid_problem(user, claimed_uids(head.uids, query)) is not None:
            return None
        if self._denylist.holds(user.token_id) or (self._closed and not self._denylist.healthy):
            return None
        self._tokens[REMEMBERED] += 1
        return user

    async def judge(self, head: RequestHead, query: str, now: float) -> User | Rejected:
        """Whose the token of a request is. It has one; `query` is the target's, raw."""
        judge, token = self._judge, head.token
        if judge is None or not isinstance(token, str):
            raise RuntimeError("a route needs users, and nothing can say who somebody is")
        uids = claimed_uids(head.uids, query)
        found = await judge.judge(token, uids, now)
        if isinstance(found, User):
            found = self._denied(found) or uid_problem(found, uids) or found
        if isinstance(found, User):
            _note(head, found, uids, judge)
            self._tokens.count("verified")
        else:
            self._tokens.count(_RESULTS.get(found.reason, "rejected"))
        return found

    def _denied(self, user: User) -> Rejected | None:
        if self._denylist.holds(user.token_id):
            return REVOKED
        return UNAVAILABLE if self._closed and not self._denylist.healthy else None

    async def revoke(self, user: User, now: float) -> bool:
        """From here on the user's token is good no more; whether other gateways know it already."""
        until = now + REVOKED_FOR_S if user.ends_at is None else user.ends_at + self._leeway_s
        return await self.revoke_id(user.token_id, until)

    async def revoke_id(self, token_id: str, until: float) -> bool:
        """As `revoke`, for what an operator names; `until` in Unix seconds."""
        told = await self._denylist.add(token_id, until)
        log.info("token_revoked", token_id=token_id, until=until, everywhere=told)
        return told

    async def to_revoke(self, token: str, now: float) -> tuple[str, float] | Rejected:
        """What a token is revoked by, and until when."""
        return UNAVAILABLE if self._judge is None else await self._judge.to_revoke(token, now)

    def follow(self, settings: IdentitySettings, verifier: Verifier | None) -> None:
        """Puts settings in force; `verifier` was built for them."""
        self._denylist.follow(settings.revocation)
        self._closed = settings.revocation.store_down == "fail_closed"
        before = self._judge
        if before is not None and before.settings == settings and _same_keys(before, verifier):
            return
        if before is not None:
            before.era.over = True
        self._judge = self._judge_for(settings, verifier, before)
        self._leeway_s = 0.0 if self._judge is None else self._judge.leeway_s
        if isinstance(before, KeyJudge) and before.keeper is not None:
            before.keeper.stop()

    def _judge_for(
        self, settings: IdentitySettings, verifier: Verifier | None, before: Judge | None
    ) -> Judge | None:
        if settings.mode == "introspect":
            return Introspector(settings, self._balancer, self._mark, self._tasks)
        if verifier is None:
            return None
        if settings.jwks_url is None:
            return KeyJudge(settings, verifier, None)
        url, algorithms = settings.jwks_url, settings.algorithms
        if isinstance(before, KeyJudge) and before.fetches(url, algorithms):
            verifier.follow(before.verifier.keys)
        keeper = JwksKeeper(
            self._client.fetch, url, algorithms, settings.jwks_refresh_s, verifier.follow, self._tasks
        )
        keeper.start(has_keys=bool(verifier.keys.keys))
        return KeyJudge(settings, verifier, keeper)

    async def close(self) -> None:
        await self._tasks.close()

    def _died(self, name: str, error: BaseException) -> None:
        log.error("task_died", task=name, trace=trace_of(error))

    def __repr__(self) -> str:
        return f"<Identities: {self._judge!r}, {self._denylist!r}>"


def _note(head: RequestHead, user: User, uids: Sequence[str], judge: Judge) -> None:
    """For the next request with these headers, unless its user is another's by its query."""
    if not judge.asks_uid or len(uids) == len(head.uids):
        head.user, head.era = user, judge.era


_RESULTS = {Reason.REVOKED_TOKEN: "revoked", Reason.IDENTITY_UNAVAILABLE: "unavailable"}


def _same_keys(before: Judge, verifier: Verifier | None) -> bool:
    """With the same settings: whether a key file holds something else now."""
    if not isinstance(before, KeyJudge) or before.keeper is not None or verifier is None:
        return True
    return before.verifier.keys.fingerprints == verifier.keys.fingerprints


@asynccontextmanager
async def opened_identities(
    settings: Settings, verifier: Verifier | None, balancer: Balancer, mark: str, tokens: Counters
) -> AsyncIterator[Identities]:
    """Follows these settings already. `mark` names this gateway in `HOP`."""
    open_denylist = load_denylist(settings.store.denylist)
    revocation = settings.identity.revocation
    async with (
        opened_jwks_client() as client,
        open_denylist(settings.store.url.get_secret_value(), revocation) as denylist,
    ):
        identities = Identities(denylist, client, balancer, mark, tokens)
        try:
            identities.follow(settings.identity, verifier)
            yield identities
        finally:
            await identities.close()
