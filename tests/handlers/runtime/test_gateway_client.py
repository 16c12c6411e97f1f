from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from handlers.heard import Introduced, Noted
from handlers.model import HandlerId, Hello, Jti, Move, Report, ReportRefusal, Uid
from handlers.runtime.gateway_client import MAX_ANSWER, GatewayClient, NoAnswer
from tests.handlers.runtime.gateways import SECRET, Gateway, gateway
from tests.servers import free_ports

WSH1 = HandlerId("WSH1")
HELLO = Hello(WSH1, 5, "http://h:1", "/ws", 10)


@pytest.fixture
async def good() -> AsyncIterator[Gateway]:
    async with gateway() as made:
        yield made


@pytest.fixture
def is_down() -> str:
    """The URL of a gateway whose port nobody listens on."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def report(seq: int = 1, epoch: int = 5) -> Report:
    return Report(WSH1, epoch, seq, 0)


async def test_the_calls_and_their_answers(good: Gateway) -> None:
    async with GatewayClient([good.url + "/"], internal_key="k") as client:
        assert await client.report(report()) is ReportRefusal.UNKNOWN_HANDLER
        introduced = await client.hello(HELLO)
        assert isinstance(introduced, Introduced)
        assert [len(key) for key in introduced.keys.values()] == [32]
        assert (introduced.issuer, introduced.report_s) == ("quaymaster", 1.0)
        noted = await client.report(report())
        assert isinstance(noted, Noted)
        assert not noted.draining
        assert noted.reconnect["jitter"] == "full"
        assert await client.admit(WSH1, 5, Jti("a")) is True
        assert await client.admit(WSH1, 4, Jti("a")) is False
        await client.hello(Hello(WSH1, 6, "http://h:1", "/ws", 10))
        assert await client.report(report(2)) is ReportRefusal.STALE_EPOCH
    assert good.keys == {"k"}
    assert SECRET not in repr(introduced)


async def test_without_a_key_none_is_sent(good: Gateway) -> None:
    async with GatewayClient([good.url]) as client:
        await client.hello(HELLO)
    assert good.keys == {None}
    assert "pool" not in good.calls[0][1]


async def test_clients_to_move_and_the_pool_are_named_only_when_there_are_any(good: Gateway) -> None:
    async with GatewayClient([good.url], pool="chat") as client:
        await client.hello(HELLO)
        await client.report(report())
        good.elsewhere = 1
        noted = await client.report(replace(report(2), move=(Move(Uid("ann"), "s1"), Move(Uid("bob"), "s2"))))
        await client.admit(WSH1, 5, Jti("a"))
    assert isinstance(noted, Noted)
    assert [(seat.session_id, seat.handler) for seat in noted.migrate] == [("s1", "WSH2")]
    assert [body["pool"] for _, body in good.calls] == ["chat"] * 4
    first, second = good.of("/handlers/report")
    assert "move" not in first
    assert second["move"] == [{"uid": "ann", "session_id": "s1"}, {"uid": "bob", "session_id": "s2"}]


async def test_a_gateway_that_is_down_hands_over_to_the_next(good: Gateway, is_down: str) -> None:
    async with GatewayClient([is_down, good.url]) as client:
        assert await client.hello(HELLO) == NoAnswer("unreachable", is_down)
        assert isinstance(await client.hello(HELLO), Introduced)
        assert isinstance(await client.report(report()), Noted)


async def test_a_late_ticket_is_asked_of_every_gateway_at_once(good: Gateway, is_down: str) -> None:
    async with GatewayClient([is_down, good.url]) as client:
        assert await client.admit(WSH1, 5, Jti("a")) is False  # the good one, which does not know it
    async with GatewayClient([is_down, is_down]) as client:
        assert await client.admit(WSH1, 5, Jti("a")) == NoAnswer("unreachable", is_down)


async def test_a_gateway_that_answers_slowly_is_given_up(good: Gateway) -> None:
    good.answers_slowly = True
    async with GatewayClient([good.url], timeout_s=0.05) as client:
        assert await client.report(report()) == NoAnswer("slow", good.url)


async def test_an_answer_may_come_in_pieces(good: Gateway) -> None:
    good.answers_in_pieces = True
    async with GatewayClient([good.url]) as client:
        assert isinstance(await client.hello(HELLO), Introduced)
        assert isinstance(await client.report(report()), Noted)
        assert await client.admit(WSH1, 5, Jti("a")) is True


async def test_a_gateway_that_breaks_off_is_unreachable(good: Gateway) -> None:
    good.breaks_off = True
    async with GatewayClient([good.url]) as client:
        assert await client.report(report()) == NoAnswer("unreachable", good.url)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"", "bad_answer"),
        (200, b"[]", "bad_answer"),
        (200, b'{"draining": false}' + b" " * MAX_ANSWER, "bad_answer"),
        (200, b"{}", "bad_answer"),
        (200, b'{"draining": "no", "ticket": {}, "admit": 1}', "bad_answer"),
        (200, b'{"draining": false, "reconnect": 7}', "bad_answer"),
        (404, b"{}", "bad_answer"),
        (302, b"{}", "bad_answer"),
        (500, b'{"reason": "stale_epoch"}', "bad_answer"),
        (403, b"{}", "denied"),
        (401, b"{}", "denied"),
        (503, b"{}", "unavailable"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_none(
    good: Gateway, status: int, body: bytes, reason: str
) -> None:
    good.says = (status, body)
    async with GatewayClient([good.url]) as client:
        no = NoAnswer(reason, good.url)
        assert await client.hello(HELLO) == no
        assert await client.report(report()) == no
        assert await client.admit(WSH1, 5, Jti("a")) == no


def test_a_client_without_gateways_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="gateways is empty"):
        GatewayClient([])
