"""What services say of their APIs, fetched from real instances that may not be well."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from balancer.runtime.call import Balancer
from balancer.runtime.upstream import PooledUpstream
from gateway.runtime.upstream_docs import MAX_BYTES, UpstreamDocs
from gateway.settings import Settings
from registry.model import ServiceName, ServiceSnapshot, Status, snapshot
from tests.balancer.origins import (
    Behaviour,
    Connection,
    Origin,
    answers,
    ends_mid_body,
    origin,
    resets_after_request_read,
    sends_garbage,
    until,
)
from tests.gateway.runtime.gateways import said, settings_of


def described_by(document: dict[str, Any]) -> bytes:
    text = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)


def document(*paths: str) -> dict[str, Any]:
    return {"openapi": "3.1.0", "paths": {path: {"get": {"responses": {}}} for path in paths}}


def following(path: str | None = "/openapi.json", **docs: Any) -> Settings:
    return settings_of(services={"auth": {"instances": ["http://127.0.0.1:9"], "openapi": path}}, docs=docs)


@asynccontextmanager
async def docs_of(there: Origin) -> AsyncIterator[UpstreamDocs]:
    def snapshots(service: ServiceName) -> ServiceSnapshot:
        return snapshot(service, Status.KNOWN, instances=(there.instance,), answered_at=0.0)

    async with PooledUpstream() as upstream:
        balancer = Balancer(snapshots, upstream, policies={}, rng=Random(1))
        async with UpstreamDocs(balancer, "this-gateway", rng=Random(1)) as docs:
            yield docs


async def test_what_a_service_says_is_known_soon_and_it_is_told_who_asks() -> None:
    async with origin(answers(described_by(document("/a")))) as there, docs_of(there) as docs:
        docs.follow(following())
        await until(lambda: docs.apis)
        assert set(docs.apis["auth"].paths) == {"/a"}
        (head,) = there.heads
        assert head.startswith(b"GET /openapi.json HTTP/1.1\r\n")
        assert (said(head, "Accept-Encoding"), said(head, "User-Agent")) == (["identity"], ["quaymaster"])


async def test_news_are_fetched_and_the_same_again_is_none() -> None:
    news = [described_by(document("/a"))] * 3 + [described_by(document("/b"))]

    async def changes_its_mind(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.say(news.pop(0) if len(news) > 1 else news[0])

    async with origin(changes_its_mind) as there, docs_of(there) as docs:
        docs.follow(following(refresh_s=0.02))
        await until(lambda: docs.apis and "/b" in docs.apis["auth"].paths)
        assert docs.version == 2


@pytest.mark.parametrize(
    "fault",
    [
        answers(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        answers(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n# not api"),
        answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_BYTES + 1) + b"x" * (MAX_BYTES + 1)),
        ends_mid_body,
        resets_after_request_read,
        sends_garbage,
    ],
    ids=["not there", "not JSON", "too long", "ends mid body", "resets", "garbage"],
)
async def test_what_can_not_be_used_is_said_once_and_nothing_else_happens(fault: Behaviour) -> None:
    with capture_logs() as logged:
        async with origin(fault) as there, docs_of(there) as docs:
            docs.follow(following(refresh_s=0.01))
            await until(lambda: there.requests >= 3)
            assert (dict(docs.apis), docs.version) == ({}, 0)
    told = [entry for entry in logged if entry["event"] == "api_description_ignored"]
    assert [entry["service"] for entry in told] == ["auth"]


async def test_the_last_good_one_is_kept_while_there_is_none() -> None:
    async with origin(answers(described_by(document("/a")))) as there, docs_of(there) as docs:
        docs.follow(following(refresh_s=0.01))
        await until(lambda: docs.apis)
        asked = there.requests
        await until(lambda: there.requests > asked)
        with capture_logs() as logged:
            await there.stop()
            await until(lambda: logged)
        assert set(docs.apis["auth"].paths) == {"/a"}


async def test_who_is_asked_follows_the_settings() -> None:
    async with origin(answers(described_by(document("/a")))) as there, docs_of(there) as docs:
        docs.follow(following())
        await until(lambda: docs.apis)
        docs.follow(following())
        assert docs.apis, "nothing has changed"
        docs.follow(following("/v2/openapi.json"))
        assert not docs.apis
        await until(lambda: docs.apis)
        docs.follow(following(enabled=False))
        assert not docs.apis
        docs.follow(following(None))
        assert there.requests == 2
        assert repr(docs) == "<UpstreamDocs: 0 of 0 services described>"
