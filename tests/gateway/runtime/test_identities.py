"""Who is asking: remembered, revoked, by keys that change, and under new settings."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key
from multidict import CIMultiDict

from balancer.runtime.call import Balancer
from balancer.runtime.upstream import PooledUpstream
from gateway.denylists.memory import MemoryDenylist
from gateway.errors import Reason
from gateway.identity import Rejected, User
from gateway.request_head import RequestHead, read_head
from gateway.runtime.identities import Identities, opened_identities
from gateway.runtime.jwks_client import opened_jwks_client
from gateway.runtime.rules import build_verifier
from gateway.settings import Settings
from gateway.settings_identity import RevocationSettings
from gateway.tallies import Counters
from registry.model import Instance, ServiceName, ServiceSnapshot, Status, snapshot
from tests.balancer.origins import Connection, counts_requests, origin, until
from tests.gateway.runtime.gateways import settings_of
from tests.gateway.tokens import ED, NOW, P256, SECRET, jwk, pem, signed_by, token

ISSUED = {"algorithms": ["ES256"], "secret": None}


class Deaf(MemoryDenylist):
    """Hears of nothing."""

    healthy = False


class Rig:
    def __init__(self, identities: Identities, counted: Counters) -> None:
        self.identities = identities
        self.counted = counted

    async def ask(self, head: RequestHead, query: str = "", now: float = NOW) -> User | Rejected:
        """As dispatch asks."""
        known = self.identities.known(head, query, now)
        return known or await self.identities.judge(head, query, now)

    async def reason(self, head: RequestHead, query: str = "", now: float = NOW) -> Reason | None:
        found = await self.ask(head, query, now)
        return found.reason if isinstance(found, Rejected) else None

    def follow(self, settings: Settings) -> None:
        self.identities.follow(settings.identity, build_verifier(settings))


def head_of(text: str, *uids: str) -> RequestHead:
    headers = CIMultiDict([("token", text), *(("uid", uid) for uid in uids)])
    return read_head(headers, (), "127.0.0.1", ())


def settings(**identity: Any) -> Settings:
    return settings_of(identity={"secret": SECRET, **identity})


def balancer_of(upstream: PooledUpstream, *instances: Instance) -> Balancer:
    def snapshots(service: ServiceName) -> ServiceSnapshot:
        return snapshot(service, Status.KNOWN, instances=instances, answered_at=0.0)

    return Balancer(snapshots, upstream, policies={}, rng=random.Random(1))


@asynccontextmanager
async def rig(settings: Settings, *instances: Instance) -> AsyncIterator[Rig]:
    counted = Counters()

    async with PooledUpstream() as upstream:
        balancer = balancer_of(upstream, *instances)
        async with opened_identities(settings, build_verifier(settings), balancer, "mark", counted) as opened:
            yield Rig(opened, counted)


@asynccontextmanager
async def deaf(settings: Settings) -> AsyncIterator[Rig]:
    """With a denylist that does not hear its store."""
    async with opened_jwks_client() as client, PooledUpstream() as upstream:
        counted = Counters()
        denylist = Deaf(RevocationSettings())
        identities = Identities(denylist, client, balancer_of(upstream), "mark", counted)
        made = Rig(identities, counted)
        made.follow(settings)
        yield made
        await identities.close()


async def test_a_head_that_is_said_again_costs_nothing() -> None:
    async with rig(settings()) as it:
        head = head_of(token())
        user = await it.ask(head)
        assert isinstance(user, User)
        assert it.identities.known(head, "", NOW) is user
        assert it.identities.known(head_of(token()), "", NOW) is user, "on another connection: by its digest"
        assert it.counted == {("verified",): 1, ("remembered",): 2}


async def test_it_is_asked_again_when_it_has_expired() -> None:
    async with rig(settings()) as it:
        head = head_of(token())
        await it.ask(head)
        assert it.identities.known(head, "", NOW + 90) is not None
        assert await it.reason(head, now=NOW + 91) is Reason.EXPIRED_TOKEN
        assert it.counted["rejected",] == 1


async def test_a_uid_is_the_users_in_every_request() -> None:
    async with rig(settings()) as it:
        head = head_of(token())
        assert await it.reason(head, "?uid=u1") is None
        assert await it.reason(head, "?uid=u2") is Reason.UID_MISMATCH
        assert await it.reason(head, "?%75id=u2") is Reason.UID_MISMATCH
        assert await it.reason(head) is None
        assert await it.reason(head_of(token(), "u2")) is Reason.UID_MISMATCH


async def test_a_revoked_token_is_refused_wherever_it_is_remembered() -> None:
    async with rig(settings()) as it:
        head, other = head_of(token(jti="1")), head_of(token(jti="2"))
        user = await it.ask(head)
        assert isinstance(user, User)
        assert await it.identities.revoke(user, NOW)
        assert await it.reason(head) is Reason.REVOKED_TOKEN
        assert await it.reason(head_of(token(jti="1"))) is Reason.REVOKED_TOKEN
        assert await it.reason(head_of(token(jti="1", x="another token, same jti"))) is Reason.REVOKED_TOKEN
        assert await it.reason(other) is None
        assert it.counted["revoked",] == 3


async def test_what_an_operator_can_revoke() -> None:
    async with rig(settings()) as it:
        head = head_of(token())
        found = await it.identities.to_revoke(token(), NOW)
        assert not isinstance(found, Rejected)
        assert found[1] == NOW + 90, "as long as it would be taken, leeway and all"
        await it.identities.revoke_id(*found)
        assert await it.reason(head) is Reason.REVOKED_TOKEN
        assert isinstance(await it.identities.to_revoke("nonsense", NOW), Rejected)


async def test_a_store_that_is_down_refuses_everybody_only_where_that_is_wanted() -> None:
    async with deaf(settings()) as it:
        assert await it.reason(head_of(token())) is None
    async with deaf(settings(revocation={"store_down": "fail_closed"})) as it:
        head = head_of(token())
        for _ in range(2):
            assert await it.reason(head) is Reason.IDENTITY_UNAVAILABLE
        assert await it.reason(head_of("nonsense")) is Reason.INVALID_TOKEN
        it.follow(settings())
        assert await it.reason(head) is None


async def test_nobody_is_asked_for_where_nothing_can_tell() -> None:
    routes = [{"path": "/*", "service": "auth", "access": "public"}]
    async with rig(settings_of(identity={"secret": None}, routes=routes)) as it:
        assert it.identities.known(head_of(token()), "", NOW) is None
        with pytest.raises(RuntimeError):
            await it.identities.judge(head_of(token()), "", NOW)
        assert isinstance(await it.identities.to_revoke(token(), NOW), Rejected)
        it.follow(settings())
        assert await it.reason(head_of(token())) is None


# Key sets


class Issuer:
    """Publishes `keys`, or nothing while they are `None`."""

    def __init__(self) -> None:
        self.keys: list[Any] | None = [jwk(P256, "ES256", kid="a")]
        self.fetched = 0
        self.url = ""

    async def answer(self, connection: Connection) -> None:
        while True:
            await connection.request()
            self.fetched += 1
            if self.keys is None:
                await connection.say(b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n")
                continue
            body = json.dumps({"keys": self.keys}).encode()
            await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


@asynccontextmanager
async def issuer(keys: list[Any] | None = None) -> AsyncIterator[Issuer]:
    made = Issuer()
    made.keys = keys or made.keys
    async with origin(made.answer) as server:
        made.url = f"http://127.0.0.1:{server.instance.port}/keys"
        yield made


async def test_keys_that_the_issuer_publishes() -> None:
    async with issuer() as keys, rig(settings_of(identity={**ISSUED, "jwks_url": keys.url})) as it:
        assert await it.reason(head_of(signed_by(P256, "ES256", "a"))) is None, "who comes first waits"
        assert await it.reason(head_of(signed_by(P256, "ES256", "b"))) is Reason.INVALID_TOKEN
        assert await it.reason(head_of(signed_by(P256, "ES256", "../../dev/null"))) is Reason.INVALID_TOKEN
        assert await it.reason(head_of(token())) is Reason.INVALID_TOKEN
        assert keys.fetched == 1, "an unknown key asks again when 30 s have passed"


async def test_without_any_keys_nobody_is_told_that_their_token_is_bad() -> None:
    async with issuer() as keys:
        keys.keys = None
        async with rig(settings_of(identity={**ISSUED, "jwks_url": keys.url})) as it:
            head = head_of(signed_by(P256, "ES256", "a"))
            assert await it.reason(head) is Reason.IDENTITY_UNAVAILABLE
            assert await it.reason(head_of("nonsense")) is Reason.INVALID_TOKEN
            assert it.counted["unavailable",] == 1


async def test_keys_that_change_stop_nobody_whose_token_is_known() -> None:
    """While a new key is fetched, and the issuer takes its time, known tokens are known without waiting."""
    async with issuer() as keys, rig(settings_of(identity={**ISSUED, "jwks_url": keys.url})) as it:
        old, new = head_of(signed_by(P256, "ES256", "a")), head_of(signed_by(P256, "ES256", "b"))
        user = await it.ask(old)
        judge = it.identities._judge
        keeper = getattr(judge, "keeper")  # noqa: B009 - of the kind of judge that has one
        keeper._tried_at -= 31
        keys.keys = [jwk(P256, "ES256", kid="b"), jwk(P256, "ES256", kid="a")]
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(it.ask(new))
            await asyncio.sleep(0)
            assert not waiting.done()
            assert it.identities.known(old, "", NOW) is user
        assert isinstance(waiting.result(), User)
        assert it.identities.known(old, "", NOW) is user


async def test_tokens_of_a_key_that_was_removed_are_good_no_more() -> None:
    async with issuer() as keys:
        identity = {**ISSUED, "jwks_url": keys.url, "jwks_refresh_s": 0.05}
        async with rig(settings_of(identity=identity)) as it:
            head = head_of(signed_by(P256, "ES256", "a"))
            assert await it.reason(head) is None
            keys.keys = [jwk(ED, "EdDSA", kid="c")]  # none that is for ES256: the last good set stays
            fetched = keys.fetched
            await until(lambda: keys.fetched > fetched + 1)
            assert await it.reason(head) is None
            keys.keys = [jwk(generate_private_key(P256.curve), "ES256", kid="b")]
            fetched = keys.fetched
            await until(lambda: keys.fetched > fetched + 1)
            assert await it.reason(head) is Reason.INVALID_TOKEN


# New settings


async def test_new_settings_that_say_the_same_forget_nobody() -> None:
    async with rig(settings()) as it:
        head = head_of(token())
        user = await it.ask(head)
        it.follow(settings())
        assert it.identities.known(head, "", NOW) is user


async def test_a_new_secret_counts_at_once() -> None:
    async with rig(settings()) as it:
        head = head_of(token())
        await it.ask(head)
        it.follow(settings(secret="another secret, which is long enough"))
        assert await it.reason(head) is Reason.INVALID_TOKEN


async def test_a_key_file_that_holds_another_key_counts(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(pem(P256))
    by_file = settings_of(identity={**ISSUED, "algorithms": ["ES256"], "public_key_file": str(file)})
    async with rig(by_file) as it:
        head = head_of(signed_by(P256, "ES256"))
        user = await it.ask(head)
        it.follow(by_file)
        assert it.identities.known(head, "", NOW) is user
        file.write_text(pem(generate_private_key(P256.curve)))
        it.follow(by_file)
        assert await it.reason(head) is Reason.INVALID_TOKEN


async def test_a_key_set_stays_when_other_settings_change() -> None:
    async with issuer() as keys:
        identity = {**ISSUED, "jwks_url": keys.url}
        async with rig(settings_of(identity=identity)) as it:
            head = head_of(signed_by(P256, "ES256", "a"))
            assert await it.reason(head) is None
            keys.keys = None
            it.follow(settings_of(identity={**identity, "leeway_s": 5}))
            assert await it.reason(head) is None
            it.follow(settings_of(identity={**identity, "jwks_url": keys.url + "?other"}))
            assert await it.reason(head) is Reason.IDENTITY_UNAVAILABLE


async def test_the_issuer_can_be_asked_instead() -> None:
    async with origin(counts_requests) as auth:
        asked = settings_of(auth.instance, identity={"mode": "introspect", "secret": None})
        async with rig(settings(), auth.instance) as it:
            it.follow(asked)
            assert await it.reason(head_of("opaque", "ada")) is None
            assert await it.reason(head_of("opaque"), "?uid=ada") is None
            assert auth.requests == 1
            assert await it.reason(head_of("opaque")) is Reason.MISSING_PARAMETER
            it.follow(settings())
            assert await it.reason(head_of("opaque", "ada")) is Reason.INVALID_TOKEN


async def test_who_is_named_by_the_query_is_not_remembered_with_the_headers() -> None:
    async with origin(counts_requests) as auth:
        asked = settings_of(auth.instance, identity={"mode": "introspect", "secret": None})
        async with rig(asked, auth.instance) as it:
            head = head_of("opaque")
            assert await it.reason(head, "?uid=ada") is None
            assert await it.reason(head) is Reason.MISSING_PARAMETER
            found = await it.ask(head, "?uid=bob")
            assert getattr(found, "id", None) == "bob", "the service has said so"
