"""What every endpoint may rely on: its message read whole or refused, its query read once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import BaseModel, ConfigDict

from gateway.errors import GatewayError
from gateway.runtime.client_request import ClientRequest
from gateway.runtime.endpoints.endpoint import (
    MAX_MESSAGE,
    REMEMBERED_LENGTH,
    Endpoint,
    query_value,
    read_message,
)
from gateway.runtime.exchange import Exchange
from gateway.runtime.reply import Reply, error_reply, json_reply, send
from tests.gateway.runtime.gateways import ask, exchange_for, post_json, request, serving, wire


class Inner(BaseModel):
    size: int


class Message(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    inner: Inner = Inner(size=0)


@asynccontextmanager
async def reading() -> AsyncIterator[int]:
    """A server that answers a message with its own name."""

    async def handler(raw: ClientRequest) -> None:
        exchange = exchange_for(raw)
        message = await read_message(exchange, Message)
        if isinstance(message, GatewayError):
            send(exchange, error_reply(message, exchange.request_id))
        else:
            send(exchange, json_reply({"name": message.name}))

    async with serving(handler) as port:
        yield port


async def test_a_good_message_is_read() -> None:
    async with reading() as port:
        assert (await post_json(port, "/", {"name": "ada"})).json() == {"name": "ada"}


async def test_a_chunked_message_is_read_too() -> None:
    async with reading() as port, wire(port) as client:
        await client.say(
            request("POST", "/", "Transfer-Encoding: chunked"), "e\r\n", '{"name":"ada"}', "\r\n0\r\n\r\n"
        )
        assert (await client.answer()).json() == {"name": "ada"}


async def test_problems_are_named_by_their_path_without_the_value() -> None:
    async with reading() as port:
        answer = await post_json(port, "/", {"name": 17, "inner": {"size": "huge"}})
        assert answer.status == 400
        assert answer.json()["message"] == (
            "name: Input should be a valid string; "
            "inner.size: Input should be a valid integer, unable to parse string as an integer"
        )


@pytest.mark.parametrize("body", [b"{", b"name=ada", b'{"name": "\xff"}'])
async def test_what_is_no_json_is_one_problem(body: bytes) -> None:
    async with reading() as port:
        answer = await post_json(port, "/", body)
        assert (answer.status, answer.json()["reason"]) == (400, "bad_json"), answer


async def test_who_sends_nothing_is_told_what_is_missing() -> None:
    async with reading() as port:
        answer = await ask(port, "POST", "/")
        assert (answer.status, answer.json()["reason"]) == (400, "bad_parameter"), answer
        assert "name: Field required" in answer.json()["message"]


async def test_a_message_of_announced_length_is_refused_before_it_is_asked_for() -> None:
    async with reading() as port, wire(port) as client:
        await client.say(request("POST", "/", "Expect: 100-continue", f"Content-Length: {MAX_MESSAGE + 1}"))
        assert (await client.answer()).status == 413


async def test_a_client_that_waits_is_told_to_go_on() -> None:
    async with reading() as port, wire(port) as client:
        await client.say(request("POST", "/", "Expect: 100-continue", "Content-Length: 14"))
        assert (await client.answer()).status == 100
        await client.say('{"name":"ada"}')
        assert (await client.answer()).json() == {"name": "ada"}


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("/?uid=ada", "ada"),
        ("/?uid=ada&uid=bob", "ada"),
        ("/?%75id=%61da", "ada"),
        ("/?uid=a+b", "a b"),
        ("/?uid=", ""),
        ("/?u=1", None),
        (f"/?pad={'x' * REMEMBERED_LENGTH}&uid=ada", "ada"),
        ("/", None),
    ],
)
async def test_a_query_value_is_the_first_of_its_name_decoded(target: str, value: str | None) -> None:
    async def handler(raw: ClientRequest) -> None:
        exchange = exchange_for(raw)
        send(exchange, json_reply({"value": query_value(exchange, "uid")}))

    async with serving(handler) as port:
        assert (await ask(port, "GET", target)).json() == {"value": value}


async def nothing(exchange: Exchange) -> Reply | GatewayError:
    return json_reply({})


@pytest.mark.parametrize(
    ("methods", "head", "allowed"),
    [
        (("GET",), True, ("GET", "HEAD")),
        (("GET",), False, ("GET",)),
        (("POST",), True, ("POST",)),
        (("GET", "POST"), True, ("GET", "POST", "HEAD")),
    ],
)
def test_head_is_allowed_where_get_is_and_hands_nothing_out(
    methods: tuple[str, ...], head: bool, allowed: tuple[str, ...]
) -> None:
    assert Endpoint("/x", methods, "public", nothing, head=head).allowed == allowed
