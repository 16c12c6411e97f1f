"""Who gets in, over real sockets: RELIABILITY 3.5 W1-W4, W7 and W8."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError

from handlers.closing import CloseCode
from handlers.model import DrainOrder, HandlerId, Jti, PoolSettings, Uid
from handlers.strangers import StrangerLedger
from handlers.ticket import TicketClaims, TicketSecrets, sign, verify
from registry.runtime.clock import unix_now
from tests.handlers.runtime.clients import Harbour, first, harbour
from tests.handlers.runtime.gateways import SECRET, Gateway, gateway, until


@pytest.fixture
async def good() -> AsyncIterator[Gateway]:
    async with gateway(PoolSettings(capacity=100, seats_per_user=100)) as made:
        yield made


@pytest.fixture
async def quay(good: Gateway) -> AsyncIterator[Harbour]:
    async with harbour(good) as made:
        yield made


def ticket(
    quay: Harbour, *, secret: str = SECRET, handler: str = "WSH1", epoch_later: int = 0, **changes: Any
) -> str:
    """A ticket that no gateway gave out: by default a good one."""
    now = quay.node._door._clock()
    epoch = quay.node.epoch + epoch_later
    claims = TicketClaims(
        issuer="quaymaster",
        handler=HandlerId(handler),
        epoch=epoch,
        uid=Uid("ann"),
        jti=Jti("j" * 32),
        issued_at=int(now),
        expires_at=int(now) + 60,
        guaranteed_until=now + 12,
        session_id="s",
    )
    key = TicketSecrets(secret).key_for(HandlerId(handler), epoch)
    return sign(claims._replace(**changes), key)


async def test_a_ticket_among_the_subprotocols(good: Gateway, quay: Harbour) -> None:
    async with await quay.connect(await good.ticket()) as socket:
        assert socket.protocol == "wst.v1"
        assert await first(socket) == "welcome"


async def test_a_ticket_in_the_first_frame(good: Gateway, quay: Harbour) -> None:
    async with await quay.connect(None) as socket:
        assert socket.protocol is None
        await socket.send_json({"type": "auth", "ticket": await good.ticket()})
        assert await first(socket) == "welcome"


async def test_a_ticket_in_the_query_is_not_logged(
    good: Gateway, quay: Harbour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shown = await good.ticket()
    async with quay.session.ws_connect(quay.url, params={"ticket": shown}) as socket:
        assert await first(socket) == "welcome"
    await until(lambda: "ticket=hidden" in caplog.text)
    assert shown not in caplog.text


async def test_a_ticket_without_the_protocols_name_is_refused_before_anything_logs_it(
    good: Gateway, quay: Harbour, caplog: pytest.LogCaptureFixture
) -> None:
    shown = await good.ticket()
    with pytest.raises(WSServerHandshakeError) as refused:
        await quay.session.ws_connect(quay.url, protocols=(f"wst.{shown}",))
    assert refused.value.status == 400
    assert shown not in caplog.text


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"type":"auth","ticket":"x"}', CloseCode.MALFORMED),
        ('{"type":"chat"}', CloseCode.MALFORMED),
        ("hello", CloseCode.MALFORMED),
    ],
)
async def test_a_first_frame_without_a_ticket(quay: Harbour, frame: str, code: CloseCode) -> None:
    async with await quay.connect(None) as socket:
        await socket.send_str(frame)
        assert await first(socket) == code


async def test_who_shows_no_ticket_in_time_is_sent_away(good: Gateway) -> None:
    async with harbour(good, ticket_within_s=0.05) as quay:
        assert await quay.verdict(None) == CloseCode.MALFORMED


async def test_twenty_uses_of_one_ticket_at_once_are_one_client(good: Gateway, quay: Harbour) -> None:
    """W1: the same, also with padding, which PyJWT takes for the same token."""
    shown = await good.ticket()
    verdicts = await asyncio.gather(*(quay.verdict(shown) for _ in range(20)))
    assert sorted(map(str, verdicts)) == ["4409"] * 19 + ["welcome"]
    async with await quay.connect(None) as socket:
        await socket.send_json({"type": "auth", "ticket": shown + "="})
        assert await first(socket) in (CloseCode.REPLAYED, CloseCode.MALFORMED)


async def test_twenty_late_uses_of_one_ticket_at_once_are_one_client(quay: Harbour) -> None:
    """The store is asked meanwhile, and nobody slips in."""
    late = ticket(quay, guaranteed_until=0.0)
    verdicts = await asyncio.gather(*(quay.verdict(late) for _ in range(20)))
    assert sorted(map(str, verdicts)) == ["4409"] * 19 + ["welcome"]


async def test_padding_first_makes_no_second_ticket(good: Gateway, quay: Harbour) -> None:
    shown = await good.ticket()
    verdicts = []
    for text in (shown + "=", shown):
        async with await quay.connect(None) as socket:
            await socket.send_json({"type": "auth", "ticket": text})
            verdicts.append(await first(socket))
    assert verdicts.count("welcome") == 1


async def test_each_bad_ticket_has_its_close_code(quay: Harbour) -> None:
    now = int(quay.node._door._clock())
    verdicts = {
        "good": await quay.verdict(ticket(quay)),
        "another handler's": await quay.verdict(ticket(quay, handler="WSH2")),
        "before the restart": await quay.verdict(ticket(quay, epoch_later=-1)),
        "expired": await quay.verdict(ticket(quay, issued_at=now - 90, expires_at=now - 30)),
        "another cluster's": await quay.verdict(ticket(quay, secret="x" * 32)),
        "no ticket": await quay.verdict("x"),
    }
    assert verdicts == {
        "good": "welcome",
        "another handler's": CloseCode.WRONG_HANDLER,
        "before the restart": CloseCode.WRONG_HANDLER,
        "expired": CloseCode.EXPIRED,
        "another cluster's": CloseCode.TRY_LATER,
        "no ticket": CloseCode.MALFORMED,
    }


async def test_the_handlers_own_gate_has_the_last_word(good: Gateway) -> None:
    async with harbour(good, capacity=1) as quay:
        async with await quay.connect(ticket(quay, jti="a" * 32)) as socket:
            assert await first(socket) == "welcome"
            assert await quay.verdict(ticket(quay, jti="b" * 32)) == CloseCode.FULL
        await until(lambda: not quay.node.sessions)
        assert await quay.verdict(ticket(quay, jti="b" * 32)) == "welcome"


async def test_a_late_ticket_finds_no_room_where_the_rest_is_promised(good: Gateway) -> None:
    async with harbour(good, capacity=1) as quay:
        await good.ticket("bob")
        assert await quay.verdict(ticket(quay, jti="a" * 32, guaranteed_until=0.0)) == CloseCode.FULL


async def test_with_no_gateway_the_gate_alone_decides_on_late_tickets(good: Gateway, quay: Harbour) -> None:
    good.breaks_off = True
    assert await quay.verdict(ticket(quay, guaranteed_until=0.0)) == "welcome"


async def test_without_a_key_nobody_gets_in(good: Gateway) -> None:
    good.breaks_off = True
    async with harbour(good, ready=False) as quay:
        assert not quay.node.ready
        assert await quay.verdict("x.y.z") == CloseCode.TRY_LATER


async def test_a_drained_handler_lets_in_who_was_promised_a_seat_and_sends_others_away(
    good: Gateway, quay: Harbour
) -> None:
    """And whom it sends away leaves no seat behind that others would wait for."""
    shown, unused = await good.ticket(), await good.ticket("bob")
    await good.allocator.drain(HandlerId("WSH1"), DrainOrder(30.0))
    await until(lambda: not quay.node.ready)
    async with await quay.connect(shown) as socket:
        assert await first(socket) == "welcome"
        gatekeeper = quay.node._link.gatekeeper
        assert gatekeeper is not None
        claims = verify(unused, gatekeeper, quay.node._door._clock())
        assert isinstance(claims, TicketClaims)
        late = ticket(quay, uid=claims.uid, jti=claims.jti, guaranteed_until=0.0)
        assert await quay.verdict(late) == CloseCode.DRAINING
        await until(lambda: any(claims.jti in body["closed"] for body in good.of("/handlers/report")))
        (state,) = await good.allocator.states()
        assert (state.connections, state.held) == (1, 0)
    await good.allocator.drain(HandlerId("WSH1"), None)
    await until(lambda: quay.node.ready)
    assert await quay.verdict(unused) == CloseCode.REPLAYED


async def test_when_a_drain_is_over_nobody_gets_in(good: Gateway, quay: Harbour) -> None:
    shown = await good.ticket()
    await good.allocator.drain(HandlerId("WSH1"), DrainOrder(0.0))
    await until(lambda: not quay.node.ready)
    assert await quay.verdict(shown) == CloseCode.DRAINING


async def hears_no_more(quay: Harbour, good: Gateway) -> None:
    """From here on it reports on news only, and so hears of nothing by itself."""
    quay.node._link._report_s = 1000.0
    reports = len(good.of("/handlers/report"))
    quay.node._link._news.set()
    await until(lambda: len(good.of("/handlers/report")) > reports)


async def test_a_handler_that_is_wanted_again_asks_before_it_sends_anybody_away(
    good: Gateway, quay: Harbour
) -> None:
    await good.allocator.drain(HandlerId("WSH1"), DrainOrder(30.0))
    await hears_no_more(quay, good)
    await until(lambda: not quay.node.ready)
    assert await quay.verdict(ticket(quay, guaranteed_until=0.0)) == CloseCode.DRAINING
    await good.allocator.drain(HandlerId("WSH1"), None)
    shown = ticket(quay, jti="k" * 32, guaranteed_until=0.0)
    verdicts = await asyncio.gather(*(quay.verdict(shown) for _ in range(5)))
    assert sorted(map(str, verdicts)) == ["4409"] * 4 + ["welcome"]
    assert quay.node.ready


async def test_a_handler_that_goes_by_its_own_will_asks_nobody(good: Gateway, quay: Harbour) -> None:
    await good.allocator.drain(HandlerId("WSH1"), DrainOrder(30.0))
    await hears_no_more(quay, good)
    await until(lambda: not quay.node.ready)
    quay.node._link.leaving = True
    assert await quay.verdict(ticket(quay)) == CloseCode.DRAINING
    assert not any(body["leaving"] for body in good.of("/handlers/report"))


@pytest.mark.parametrize("origin", [None, "https://evil.example", "https://chat.example.evil.example"])
async def test_only_the_own_pages_may_open_sockets(good: Gateway, origin: str | None) -> None:
    async with harbour(good, origins=["https://chat.example"]) as quay:
        with pytest.raises(WSServerHandshakeError) as refused:
            await quay.connect(await good.ticket(), origin=origin)
        assert refused.value.status == 403
        assert await quay.verdict(await good.ticket(), origin="https://chat.example") == "welcome"


@pytest.mark.parametrize("wrong_by_s", [-7200.0, -3.0, 3.0, 7200.0])
async def test_a_handlers_wrong_clock_keeps_nobody_out(good: Gateway, wrong_by_s: float) -> None:
    async with harbour(good, clock=lambda: unix_now() + wrong_by_s) as quay:
        assert await quay.verdict(await good.ticket()) == "welcome"
        assert not good.of("/handlers/admit")  # it knows that the seat is guaranteed


async def test_strangers_are_few_and_keep_nobody_out_who_shows_a_ticket(good: Gateway, quay: Harbour) -> None:
    quay.node._door._strangers = strangers = StrangerLedger(2)
    async with await quay.connect(None), await quay.connect(None) as second:
        with pytest.raises(WSServerHandshakeError) as refused:
            await quay.connect(None)
        assert refused.value.status == 503
        assert await quay.verdict(await good.ticket()) == "welcome"
        async with quay.session.ws_connect(quay.url, params={"ticket": await good.ticket()}) as socket:
            assert await first(socket) == "welcome"
        await second.close()
        await until(lambda: len(strangers) < 2)
        async with await quay.connect(None) as third:
            await third.send_json({"type": "auth", "ticket": await good.ticket()})
            assert await first(third) == "welcome"
            assert len(strangers) == 1  # who is in is no stranger
    await until(lambda: len(strangers) == 0)


async def test_strangers_from_one_address_leave_places_to_others(quay: Harbour) -> None:
    quay.node._door._strangers = strangers = StrangerLedger(2, most_per_address=1)
    async with await quay.connect(None):
        with pytest.raises(WSServerHandshakeError) as refused:
            await quay.connect(None)
        assert refused.value.status == 503
        assert strangers.come("192.0.2.1")


async def test_a_frame_that_is_too_big_ends_the_connection(good: Gateway) -> None:
    async with harbour(good, max_msg_size=100) as quay, await quay.connect(await good.ticket()) as socket:
        assert await first(socket) == "welcome"
        await socket.send_str("x" * 101)
        assert (await socket.receive(timeout=5)).data == 1009


async def test_a_plain_request_is_no_handshake(quay: Harbour) -> None:
    async with quay.session.get(quay.url) as answer:
        assert answer.status == 400
