"""Tokens that are made to be believed (RELIABILITY 3.2), sent to a real gateway, byte for byte.

Whatever is wrong with one, the answer is the same: the client learns that it is not good, and not why.
"""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any, NamedTuple

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.identity import Rejected
from gateway.settings import IdentitySettings
from gateway.token_keys import secret_key
from gateway.verifier import Verifier
from registry.runtime.clock import unix_now
from tests.balancer.origins import Origin, counts_requests, origin
from tests.gateway.runtime.gateways import RawAnswer, Wire, gateway, request, wire
from tests.gateway.tokens import ED, P256, RSA, SECRET, der, jwk, part, pem, public, signed

USER = "ada"
SHARED = {"secret": SECRET, "issuer": "auth", "audience": "chat", "max_token_bytes": 6000}
PUBLIC = {
    "algorithms": ["RS256"],
    "secret": None,
    "public_key": pem(RSA),
    "issuer": "auth",
    "audience": "chat",
}
ALWAYS = {"exp": unix_now() + 3600, "iss": "auth", "aud": "chat"}
"""The clock is the real one: what is to be refused is refused at any time."""
GOOD: Mapping[str, Any] = {"sub": USER, **ALWAYS}
HS: Mapping[str, Any] = {"alg": "HS256", "typ": "JWT"}
DEEP = ("[" * 1500 + "]" * 1500).encode()


class Show(NamedTuple):
    """A gateway, the instance behind it, and one connection of a client."""

    client: Wire
    auth: Origin

    async def ask(self, *lines: str) -> RawAnswer:
        await self.client.say(request("GET", "/mine/x", *lines))
        return await self.client.answer()


@asynccontextmanager
async def show(**identity: Any) -> AsyncIterator[Show]:
    async with (
        origin(counts_requests) as auth,
        gateway(auth.instance, identity=identity) as running,
        wire(running.port) as client,
    ):
        yield Show(client, auth)


@pytest.fixture
async def shared() -> AsyncIterator[Show]:
    async with show(**SHARED) as made:
        yield made


def by_secret(header: object = HS, claims: object = GOOD, key: bytes = SECRET.encode()) -> str:
    return signed(header, claims, key)


def unsigned(header: object, claims: object = GOOD, signature: str = "AA") -> str:
    return f"{part(header)}.{part(claims)}.{signature}"


def bearing(token: str) -> str:
    return f"Authorization: Bearer {token}"


def shape(answer: RawAnswer) -> tuple[Any, ...]:
    """What of a refusal is always the same."""
    body = {k: v for k, v in answer.json().items() if k not in ("timestamp", "request_id")}
    return answer.status, body, answer.all("WWW-Authenticate")


INVALID = (
    401,
    {"error": "unauthorized", "message": "The token is not valid.", "reason": "invalid_token"},
    ['Bearer error="invalid_token"'],
)
EXPIRED = (
    401,
    {"error": "unauthorized", "message": "The token has expired.", "reason": "expired_token"},
    ['Bearer error="invalid_token"'],
)
TWO: tuple[Any, ...] = (
    400,
    {"error": "bad_request", "message": "The request is not valid.", "reason": "bad_request"},
    [],
)

THIRD = part(b"x" * 32)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256."""
OWN_KEY = b"a key that the attacker has made, 32"

HEADERS: dict[str, str] = {
    "alg none": unsigned({"alg": "none", "typ": "JWT"}),
    "alg None": unsigned({"alg": "None"}),
    "alg nOnE": unsigned({"alg": "nOnE"}),
    "alg none, signed": by_secret({"alg": "none"}),
    "alg none, no signature": f"{part({'alg': 'none'})}.{part(GOOD)}.",
    "no alg": by_secret({"typ": "JWT"}),
    "alg null": by_secret({"alg": None}),
    "alg a list": by_secret({"alg": ["HS256"]}),
    "alg empty": by_secret({"alg": ""}),
    "alg lower case": by_secret({"alg": "hs256"}),
    "alg twice": by_secret(b'{"alg":"none","alg":"HS256"}'),
    "alg twice, one escaped": by_secret(b'{"alg":"HS256","\\u0061lg":"none"}'),
    "another alg of the family": by_secret({"alg": "HS512"}),
    "an alg with a public key": by_secret({"alg": "RS256"}),
    "kid traversal": signed({**HS, "kid": "../../dev/null"}, GOOD, b""),
    "kid traversal, absolute": signed({**HS, "kid": "/proc/sys/kernel/randomize_va_space"}, GOOD, b"2\n"),
    "kid sql": signed({**HS, "kid": "x' UNION SELECT 'k' -- "}, GOOD, b"k"),
    "kid a command": signed({**HS, "kid": "key.pem|id"}, GOOD, b"k"),
    "kid with a null byte": signed({**HS, "kid": "a\x00b"}, GOOD, b""),
    "kid a url": signed({**HS, "kid": "http://127.0.0.1:1/key"}, GOOD, OWN_KEY),
    "kid a number": by_secret({**HS, "kid": 7}),
    "kid an object": by_secret({**HS, "kid": {"kty": "oct"}}),
    "jwk, symmetric": signed({**HS, "jwk": {"kty": "oct", "k": part(OWN_KEY)}}, GOOD, OWN_KEY),
    "jwk, public": jwt.encode(dict(GOOD), RSA, "RS256", headers={"jwk": jwk(RSA, "RS256")}),
    "jku": jwt.encode(dict(GOOD), RSA, "RS256", headers={"jku": "http://127.0.0.1:1/jwks"}),
    "x5u": jwt.encode(dict(GOOD), RSA, "RS256", headers={"x5u": "http://127.0.0.1:1/cert"}),
    "x5c": jwt.encode(dict(GOOD), RSA, "RS256", headers={"x5c": [base64.b64encode(der(RSA)).decode()]}),
    "crit unknown": by_secret({**HS, "crit": ["exp-strict"], "exp-strict": True}),
    "crit empty": by_secret({**HS, "crit": []}),
    "b64 false": by_secret({**HS, "b64": False, "crit": ["b64"]}),
    "b64 false, not critical": by_secret({**HS, "b64": False}),
    "header a list": by_secret([]),
    "header nested deep": by_secret(b'{"alg":"HS256","x":' + DEEP + b"}"),
    "header in utf-16": by_secret(json.dumps(HS).encode("utf-16")),
    "header no json": by_secret(b"{alg:HS256}"),
    "another key": signed(HS, GOOD, OWN_KEY),
    "no signature": unsigned(HS, signature=""),
    "a zero signature": unsigned(HS, signature=part(b"\x00" * 32)),
    "a cut signature": by_secret()[:-8],
    "claims of another token": ".".join(
        [by_secret().split(".")[0], part({**GOOD, "sub": "root"}), by_secret().split(".")[2]]
    ),
}

CLAIMS: dict[str, str] = {
    "exp missing": by_secret(claims={k: v for k, v in GOOD.items() if k != "exp"}),
    "a refresh token": by_secret(claims={**GOOD, "type": "refresh"}),
    "exp null": by_secret(claims={**GOOD, "exp": None}),
    "exp text": by_secret(claims={**GOOD, "exp": str(GOOD["exp"])}),
    "exp a list": by_secret(claims={**GOOD, "exp": [GOOD["exp"]]}),
    "exp an object": by_secret(claims={**GOOD, "exp": {}}),
    "exp true": by_secret(claims={**GOOD, "exp": True}),
    "exp huge": by_secret(claims={**GOOD, "exp": 10**400}),
    "exp 1e999": by_secret(
        claims=json.dumps({**GOOD, "exp": 0}).replace('"exp": 0', '"exp": 1e999').encode()
    ),
    "exp NaN": by_secret(claims={**GOOD, "exp": float("nan")}),
    "exp infinite": by_secret(claims={**GOOD, "exp": float("inf")}),
    "exp negative": by_secret(claims={**GOOD, "exp": -1}),
    "exp twice": by_secret(claims=json.dumps(dict(GOOD)).replace('"exp"', '"exp": 1, "exp"').encode()),
    "exp in capitals too": by_secret(claims={**GOOD, "Exp": 1}),
    "nbf in the future": by_secret(claims={**GOOD, "nbf": unix_now() + 3600}),
    "nbf text": by_secret(claims={**GOOD, "nbf": "0"}),
    "iat in the future": by_secret(claims={**GOOD, "iat": unix_now() + 3600}),
    "iss missing": by_secret(claims={"sub": USER, "exp": GOOD["exp"], "aud": "chat"}),
    "iss another": by_secret(claims={**GOOD, "iss": "auth2"}),
    "iss a list": by_secret(claims={**GOOD, "iss": ["auth"]}),
    "aud missing": by_secret(claims={"sub": USER, "exp": GOOD["exp"], "iss": "auth"}),
    "aud another": by_secret(claims={**GOOD, "aud": "chatter"}),
    "aud a list of others": by_secret(claims={**GOOD, "aud": ["a", "b"]}),
    "aud a list with a number": by_secret(claims={**GOOD, "aud": ["chat", 7]}),
    "aud an object": by_secret(claims={**GOOD, "aud": {"chat": True}}),
    "sub missing": by_secret(claims=ALWAYS),
    "sub a number": by_secret(claims={**GOOD, "sub": 7}),
    "sub a list": by_secret(claims={**GOOD, "sub": [USER]}),
    "sub twice": by_secret(claims=json.dumps(dict(GOOD)).replace('"sub"', '"sub": "x", "sub"').encode()),
    "sub in capitals too": by_secret(claims={**GOOD, "Sub": "root"}),
    "sub with a long s too": by_secret(claims={**GOOD, "\u017fub": "root"}),
    "sub with wide letters too": by_secret(claims={**GOOD, "\uff53ub": "root"}),
    "sub in cyrillic only": by_secret(claims={**ALWAYS, "\u0455ub": USER}),
    "user in cyrillic": by_secret(claims={**GOOD, "sub": "\u0430da"}),
    "user with wide letters": by_secret(claims={**GOOD, "sub": "\uff41da"}),
    "user with an unseen character": by_secret(claims={**GOOD, "sub": "ada\u200b"}),
    "user that turns the text": by_secret(claims={**GOOD, "sub": "\u202eada"}),
    "user half a character": by_secret(claims={**GOOD, "sub": "\ud800"}),
    "user with a line end": by_secret(claims={**GOOD, "sub": "ada\r\nX-User-Roles: root"}),
    "user with a null byte": by_secret(claims={**GOOD, "sub": "ada\x00"}),
    "user with a space behind": by_secret(claims={**GOOD, "sub": "ada "}),
    "jti an object": by_secret(claims={**GOOD, "jti": {}}),
    "nested deep": by_secret(claims=b'{"sub":"ada","x":' + DEEP + b"}"),
    "claims a list": by_secret(claims=[GOOD]),
    "claims no json": by_secret(claims=b"sub=ada"),
    "claims empty": f"{part(HS)}..{THIRD}",
    "a token in a token": by_secret({**HS, "cty": "JWT"}, by_secret().encode()),
}

SPELLINGS: dict[str, str] = {
    "huge": by_secret(claims={**GOOD, "x": "y" * 5000}),
    "padded": by_secret() + "=",
    "padded twice": by_secret() + "==",
    "padded inside": by_secret().replace(".", "=.", 1),
    "a dot behind": by_secret() + ".",
    "a dot before": "." + by_secret(),
    "a space inside": by_secret().replace(".", ". ", 1),
    "a tab inside": by_secret().replace(".", ".\t", 1),
    "plus and slash": by_secret().replace("-", "+").replace("_", "/") + "+",
    "five parts (jwe)": ".".join([part({"alg": "dir", "enc": "A256GCM"}), "", THIRD, THIRD, THIRD]),
    "json, flattened": json.dumps(
        dict(zip(("protected", "payload", "signature"), by_secret().split("."), strict=True))
    ),
    "json, general": json.dumps({"payload": part(GOOD), "signatures": []}),
    "two parts": by_secret().rpartition(".")[0],
    "one part": part(GOOD),
    "empty": "",
    "two tokens": f"{by_secret()}, {by_secret()}",
    "bearer twice": f"Bearer {by_secret()}",
}


async def test_a_good_one_is_good(shared: Show) -> None:
    """Or nothing here would show anything."""
    for claims in (GOOD, {**GOOD, "aud": ["chat", "x"]}, {**GOOD, "name": "\u0430da", "nbf": 0, "iat": 1}):
        assert (await shared.ask(bearing(by_secret(claims=claims)))).status == 200
    assert (await shared.ask(f"authorization: bEaReR  {by_secret()}")).status == 200
    assert (await shared.ask(f"Token: {by_secret()}")).status == 200


@pytest.mark.parametrize("family", [HEADERS, CLAIMS, SPELLINGS], ids=["headers", "claims", "spellings"])
async def test_what_is_made_to_be_believed_is_refused_alike(family: dict[str, str], shared: Show) -> None:
    """All on one connection, and a good one behind them: none of them spoils anything."""
    for name, token in family.items():
        for line in (bearing(token), f"token: {token}"):
            assert shape(await shared.ask(line)) == INVALID, name
    assert shared.auth.requests == 0
    assert (await shared.ask(bearing(by_secret()))).status == 200


async def test_one_that_is_larger_than_a_header_may_be(shared: Show) -> None:
    refused = await shared.ask(bearing(by_secret(claims={**GOOD, "x": "y" * 9000})))
    assert (refused.status, refused.json()["reason"]) == (431, "headers_too_large")


async def test_an_old_one_has_expired(shared: Show) -> None:
    assert shape(await shared.ask(bearing(by_secret(claims={**GOOD, "exp": unix_now() - 60})))) == EXPIRED
    forged = signed(HS, {**GOOD, "exp": unix_now() - 60}, OWN_KEY)
    assert shape(await shared.ask(bearing(forged))) == INVALID, "of a forged one not even that is said"


@pytest.mark.parametrize(
    "lines",
    [
        [bearing(by_secret()), bearing(by_secret())],
        [bearing(by_secret()), "Authorization: Basic YTpi"],
        [f"token: {by_secret()}", f"token: {by_secret()}"],
        [bearing(by_secret()), f"token: {by_secret(claims={**GOOD, 'sub': 'root'})}"],
        [f"token: {by_secret()}", bearing("x")],
    ],
    ids=["two of one kind", "two schemes", "two token headers", "two users", "one of them bad"],
)
async def test_two_that_could_be_meant(lines: list[str], shared: Show) -> None:
    assert shape(await shared.ask(*lines)) == TWO
    assert shared.auth.requests == 0


async def test_the_same_one_twice_in_two_ways_is_one(shared: Show) -> None:
    assert (await shared.ask(bearing(by_secret()), f"token: {by_secret()}")).status == 200


async def test_the_public_key_is_no_secret() -> None:
    """The oldest trick: HS256, with what everybody may read as the key."""
    key = public(RSA)
    texts = [pem(RSA).encode(), pem(RSA).strip().encode(), der(RSA), pem(RSA).replace("\n", "").encode()]
    texts += [sha256(der(RSA)).digest(), str(key.public_numbers().n).encode()]
    async with show(**PUBLIC) as it:
        assert (await it.ask(bearing(jwt.encode(dict(GOOD), RSA, "RS256")))).status == 200
        for text in texts:
            for header in (HS, {"alg": "HS384"}, {"alg": "RS256"}):
                assert shape(await it.ask(bearing(signed(header, GOOD, text)))) == INVALID
        for other, algorithm in ((P256, "ES256"), (ED, "EdDSA"), (RSA, "RS512"), (RSA, "PS256")):
            assert shape(await it.ask(bearing(jwt.encode(dict(GOOD), other, algorithm)))) == INVALID
        assert it.auth.requests == 1


async def test_a_signature_that_can_be_turned_is_no_other_token() -> None:
    """Of ES256 (r, s) and (r, n - s) are both good: a revoked token must not come back by the other."""
    identity = {"algorithms": ["ES256"], "secret": None, "public_key": pem(P256)}
    async with show(**identity) as it:
        good = jwt.encode({"sub": USER, "exp": GOOD["exp"]}, P256, "ES256")
        text, _, signature = good.rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        turned_s = (ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
        turned = f"{text}.{part(raw[:32] + turned_s)}"
        assert (await it.ask(bearing(good))).status == (await it.ask(bearing(turned))).status == 200
        revoke = json.dumps({"token": good}).encode()
        await it.client.say(request("POST", "/admin/tokens/revoke", body=revoke))
        assert (await it.client.answer()).status == 200
        for token in (good, turned):
            assert (await it.ask(bearing(token))).json()["reason"] == "revoked_token"


@settings(max_examples=60)
@given(data=st.data())
def test_a_changed_byte_is_another_token(data: st.DataObject) -> None:
    """Judged without a socket: sixty gateways would take too long."""
    good = by_secret()
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.characters(min_codepoint=0x20, max_codepoint=0x7E).filter(lambda c: c != good[at]))
    verifier = Verifier(IdentitySettings.model_validate(SHARED), secret_key(["HS256"], SECRET))
    assert isinstance(verifier.verify(good[:at] + other + good[at + 1 :], unix_now()), Rejected)
