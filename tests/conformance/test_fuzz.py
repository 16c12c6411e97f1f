"""Whatever is said, in whatever pieces: it comes out at the other end as it was, in both directions."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import pairwise
from urllib.parse import unquote

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.balancer.origins import Connection, origin
from tests.conformance.gateways import open_gateway
from tests.conformance.messages import Asked, Told, asked, told
from tests.conformance.oracle import Pairs, requests_in
from tests.conformance.recorder import Recorder, recorder
from tests.conformance.talk import talk

ADDED_TO_REQUESTS = re.compile(
    rb"host|x-forwarded-(?:for|host|proto)|x-request-(?:id|timeout-ms)|x-quaymaster-hop"
)
ADDED_TO_ANSWERS = re.compile(rb"date|x-request-id")
FRAMING = re.compile(rb"content-length|transfer-encoding|connection")


class Stage:
    """A loop that lives as long as the module, with gateways in front of a recorder and of a speaker."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.stack = AsyncExitStack()
        self.kept: Recorder
        self.to_recorder = self.to_speaker = 0
        self.said: Told
        """What the speaker answers."""

    async def open(self) -> None:
        enter = self.stack.enter_async_context
        self.kept = await enter(recorder())
        self.to_recorder = (await enter(open_gateway(self.kept.instance))).port
        speaker = await enter(origin(self._says))
        self.to_speaker = (await enter(open_gateway(speaker.instance))).port

    async def _says(self, connection: Connection) -> None:
        while True:
            await connection.request()
            said = self.said
            for piece in said.pieces():
                await connection.say(piece)
                await asyncio.sleep(0)
            if said.ends_with_connection:
                return


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = Stage(runner)
        runner.run(found.open())
        try:
            yield found
        finally:
            runner.run(found.stack.aclose())


def spelled(head: bytes, added: re.Pattern[bytes]) -> Pairs:
    """The headers in the head at the start of these bytes, as they are spelled, without what was added."""
    lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    pairs = [(name, value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines)]
    return tuple(
        pair
        for pair in pairs
        if not added.fullmatch(pair[0].lower()) and not FRAMING.fullmatch(pair[0].lower())
    )


@settings(max_examples=100)
@given(asked())
def test_a_request_reaches_the_instance_as_it_was(stage: Stage, request: Asked) -> None:
    async def carry() -> None:
        stage.kept.forget()
        async with talk(stage.to_recorder, [request.method]) as client:
            for piece in request.pieces():
                await client.say(piece)
                await asyncio.sleep(0)
            answer = await client.answer()
            assert answer.status in (200, 204), bytes(client.raw)
            assert client.heard().problem is None
            assert client.heard().rest == b""
            if request.method not in (b"HEAD", b"OPTIONS"):
                assert answer.body == request.body
        (seen,) = stage.kept.connections()
        assert seen.problem is None
        assert seen.messages == [(request.method, request.target, request.body)]
        (raw,) = (raw for raw in stage.kept.raw if raw)
        assert spelled(bytes(raw), ADDED_TO_REQUESTS) == request.headers
        assert requests_in(bytes(raw)).begun is False

    stage.runner.run(carry())


@given(st.lists(asked(), min_size=2, max_size=5), st.lists(st.integers(0, 1 << 20), max_size=6))
def test_requests_in_a_row_are_answered_in_their_order(
    stage: Stage, requests: list[Asked], cuts: list[int]
) -> None:
    """Said without waiting for answers, cut anywhere."""

    async def carry() -> None:
        stage.kept.forget()
        raw = b"".join(request.raw for request in requests)
        async with talk(stage.to_recorder, [request.method for request in requests]) as client:
            edges = [0, *sorted(cut % len(raw) for cut in cuts), len(raw)]
            saying = [client.say(raw[start:end]) for start, end in pairwise(edges)]
            for piece in saying:
                await piece
                await asyncio.sleep(0)
            await client.hear(lambda: len(client.answers) == len(requests))
            heard = client.heard()
            assert heard.problem is None
            assert heard.rest == b""
            for request, answer in zip(requests, heard.whole, strict=False):
                assert json.loads(answer.one(b"x-saw"))[1:] == [
                    request.method.decode(),
                    request.target.decode(),
                ]
        seen = stage.kept.requests()
        assert sorted(request.message for request in seen) == sorted(
            (request.method, request.target, request.body) for request in requests[: len(seen)]
        )
        assert len(heard.whole) == len(requests) or client.closed

    stage.runner.run(carry())


async def passes_on(stage: Stage, answer: Told, version: str) -> None:
    stage.said = answer
    async with talk(stage.to_speaker) as client:
        await client.say(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
        found = await client.answer()
        heard = client.heard()
        assert heard.problem is None
        assert heard.rest == b""
        assert (found.status, found.body) == (answer.status, answer.body)
        if version == "1.0":
            assert not found.all(b"transfer-encoding"), "unknown to HTTP/1.0"
            assert not found.interim, "unknown to HTTP/1.0"
            await client.to_the_end()
        final = bytes(client.raw)
        while final.startswith(b"HTTP/1.1 1"):
            final = final.partition(b"\r\n\r\n")[2]
        assert spelled(final, ADDED_TO_ANSWERS) == answer.headers


@settings(max_examples=100)
@given(told(), st.sampled_from(["1.1", "1.1", "1.0"]))
def test_an_answer_reaches_the_client_as_it_was(stage: Stage, answer: Told, version: str) -> None:
    stage.runner.run(passes_on(stage, answer, version))


@settings(max_examples=100)
@given(st.text("/.%2eEfF5cC0;\\#aA?", max_size=12))
def test_a_path_arrives_as_it_is_or_not_at_all(stage: Stage, path: str) -> None:
    async def carry() -> None:
        stage.kept.forget()
        async with talk(stage.to_recorder) as client:
            await client.say(f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            answer = await client.answer()
        if answer.status == 200:
            (seen,) = stage.kept.requests()
            assert seen.target == f"/{path}".encode()
            decoded = unquote(f"/{path}".partition("?")[0], encoding="latin-1")
            assert not {".", ".."} & set(decoded.split("/"))
            assert "//" not in decoded
            assert "\\" not in decoded
        else:
            assert answer.status == 400
            assert not stage.kept.begun()

    stage.runner.run(carry())
