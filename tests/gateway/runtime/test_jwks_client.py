"""Fetching a key set: what is followed, how much is read, and how every fault ends."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiohttp import ClientTimeout

from gateway.jwks import MAX_JWKS_BYTES
from gateway.runtime import jwks_client
from gateway.runtime.jwks_client import JwksClient, NotFetched, opened_jwks_client
from tests.balancer.origins import (
    Behaviour,
    accepts_and_closes,
    answers,
    ends_mid_body,
    never_answers,
    origin,
    refuses,
    sends_garbage,
    stops_mid_body,
)


def whole(status: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""])
    return head.encode() + body


@contextmanager
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(jwks_client, "TIMEOUT", ClientTimeout(total=0.3))
        yield


async def test_a_document() -> None:
    async with origin(answers(whole("200 OK", b'{"keys": []}'))) as issuer, opened_jwks_client() as client:
        url = f"http://127.0.0.1:{issuer.instance.port}/keys?v=1"
        assert await client.fetch(url) == await client.fetch(url) == b'{"keys": []}'
    head = issuer.heads[0].decode().lower()
    assert head.startswith("get /keys?v=1 ")
    assert "accept-encoding: identity" in head
    assert "cookie" not in issuer.heads[1].decode().lower()


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (answers(whole("302 Found", b"", "Location: http://127.0.0.1:1/")), "answers 302"),
        (answers(whole("404 Not Found", b"{}")), "answers 404"),
        (answers(whole("200 OK", b" " * (MAX_JWKS_BYTES + 1))), "longer than"),
        (ends_mid_body, "."),
        (accepts_and_closes, "."),
        (sends_garbage, "."),
    ],
    ids=["redirect", "404", "long", "cut short", "closes", "garbage"],
)
async def test_what_is_no_document(behaviour: Behaviour, why: str) -> None:
    async with origin(behaviour) as issuer, opened_jwks_client() as client:
        with pytest.raises(NotFetched, match=why):
            await client.fetch(f"http://127.0.0.1:{issuer.instance.port}/keys")


@pytest.mark.parametrize("behaviour", [never_answers, stops_mid_body], ids=["never", "stops"])
async def test_one_that_takes_too_long(behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    with hasty(monkeypatch):
        async with origin(behaviour) as issuer, opened_jwks_client() as client:
            with pytest.raises(NotFetched):
                await client.fetch(f"http://127.0.0.1:{issuer.instance.port}/keys")


async def test_nobody_there() -> None:
    async with refuses() as nobody, opened_jwks_client() as client:
        with pytest.raises(NotFetched):
            await client.fetch(f"http://127.0.0.1:{nobody.port}/keys")


async def test_a_fetch_can_be_stopped() -> None:
    async with origin(never_answers) as issuer, opened_jwks_client() as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await _fetch(client, issuer.instance.port)


async def _fetch(client: JwksClient, port: int) -> bytes:
    return await client.fetch(f"http://127.0.0.1:{port}/keys")
