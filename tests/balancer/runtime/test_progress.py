"""Phases, and whose deadline passes, without any socket."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.model import OutboundRequest, Timeouts
from balancer.outcome import Phase, Side
from balancer.runtime.progress import SLICE, ClientBodyLength, Progress, Upload

TIMEOUTS = Timeouts(connect_s=0.05, first_byte_s=0.05, idle_s=0.05, total_s=30)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def upload(progress: Progress, body: bytes | AsyncIterator[bytes], *headers: tuple[bytes, bytes]) -> Upload:
    made = Upload.of(OutboundRequest("POST", "/", list(headers), body), progress)
    assert made is not None
    return made


async def stuck() -> None:
    await asyncio.Event().wait()


async def runs_late(
    progress: Progress, body: Upload | None = None, taking: int = 99, connects: bool = True
) -> None:
    """Connects, takes that many chunks of the body, and then hears nothing until a deadline passes."""
    with pytest.raises(TimeoutError):
        await _go(progress, body, taking, connects)


async def _go(progress: Progress, body: Upload | None, taking: int, connects: bool) -> None:
    async with progress.until_answer():
        if connects:
            progress.connected()
        for _ in range(taking if body is not None else 0):
            assert body is not None
            await anext(body)
        await stuck()


async def test_connecting_has_its_own_deadline_and_has_sent_nothing() -> None:
    progress = Progress(TIMEOUTS)
    await runs_late(progress, connects=False)
    assert (progress.phase, progress.late_side, progress.sent) == (Phase.CONNECT, Side.INSTANCE, False)


async def test_a_request_without_a_body_waits_as_soon_as_it_is_connected() -> None:
    progress = Progress(TIMEOUTS)
    assert Upload.of(OutboundRequest("GET", "/", []), progress) is None
    await runs_late(progress)
    assert (progress.phase, progress.late_side, progress.sent) == (Phase.WAIT, Side.INSTANCE, True)


async def test_a_body_is_sent_before_the_wait_begins() -> None:
    progress = Progress(Timeouts())
    body = upload(progress, chunks(b"a", b"b"))
    phases = [progress.phase]
    async with progress.until_answer():
        progress.connected()
        phases.append(progress.phase)
        assert [chunk async for chunk in body] == [b"a", b"b"]
        phases.append(progress.phase)
    phases.append(progress.phase)
    assert phases == [Phase.CONNECT, Phase.SEND, Phase.WAIT, Phase.BODY]


async def test_every_chunk_renews_the_deadline() -> None:
    progress = Progress(Timeouts(connect_s=5, first_byte_s=5, idle_s=0.1, total_s=30))

    async def steady() -> AsyncIterator[bytes]:
        for _ in range(10):
            await asyncio.sleep(0.03)
            yield b"x"

    body = upload(progress, steady())
    async with progress.until_answer():
        progress.connected()
        assert len([chunk async for chunk in body]) == 10


async def test_a_client_that_keeps_us_waiting_is_late_itself() -> None:
    progress = Progress(TIMEOUTS)

    async def stalls() -> AsyncIterator[bytes]:
        yield b"half"
        await stuck()

    body = upload(progress, stalls())
    await runs_late(progress, body)
    assert (progress.phase, progress.late_side) == (Phase.SEND, Side.CLIENT)


async def test_an_instance_that_takes_nothing_more_is_late() -> None:
    progress = Progress(TIMEOUTS)
    body = upload(progress, b"x" * (2 * SLICE))
    await runs_late(progress, body, taking=1)
    assert (progress.phase, progress.late_side) == (Phase.SEND, Side.INSTANCE)


async def test_what_is_left_of_the_whole_call_cuts_every_phase_and_blames_nobody() -> None:
    progress = Progress(Timeouts(total_s=0.05))
    await runs_late(progress)
    assert progress.late_side is Side.GATEWAY
    with pytest.raises(TimeoutError):
        async with progress.one_read():
            await stuck()
    assert progress.late_side is Side.GATEWAY


async def test_a_body_still_on_its_way_when_the_answer_is_there_changes_no_deadline() -> None:
    progress = Progress(TIMEOUTS)
    body = upload(progress, chunks(b"a", b"b"))
    async with progress.until_answer():
        progress.connected()
        await anext(body)
    assert [chunk async for chunk in body] == [b"b"]
    assert progress.phase is Phase.BODY


async def test_a_body_that_moves_just_when_the_deadline_has_passed_comes_too_late() -> None:
    progress = Progress(TIMEOUTS)

    async def moves_late() -> None:
        async with progress.until_answer():
            try:
                await stuck()
            finally:
                progress.moved()

    with pytest.raises(TimeoutError):
        await moves_late()
    assert progress.phase is Phase.CONNECT


async def test_what_the_clients_stream_raises_is_kept() -> None:
    progress = Progress(TIMEOUTS)

    async def breaks_off() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError("gone")

    body = upload(progress, breaks_off())
    await anext(body)
    with pytest.raises(ConnectionResetError):
        await anext(body)
    assert isinstance(progress.client_fault, ConnectionResetError)


@given(parts=st.lists(st.binary(max_size=20), max_size=6), declared=st.integers(0, 100))
def test_a_body_passes_only_at_its_declared_length(parts: list[bytes], declared: int) -> None:
    async def drive() -> None:
        progress = Progress(TIMEOUTS)
        body = upload(progress, chunks(*parts), (b"Content-Length", b"%d" % declared))
        if sum(map(len, parts)) == declared:
            assert [chunk async for chunk in body] == parts
            return
        with pytest.raises(ClientBodyLength):
            async for _ in body:
                pass
        assert isinstance(progress.client_fault, ClientBodyLength)

    asyncio.run(drive())


@pytest.mark.parametrize("size", [1, SLICE, SLICE + 1, 3 * SLICE])
async def test_a_body_in_memory_goes_out_in_slices_and_can_go_again(size: int) -> None:
    request = OutboundRequest("POST", "/", [], bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    assert isinstance(request.body, bytes)
    for _ in range(2):
        sent = [chunk async for chunk in upload(Progress(TIMEOUTS), request.body)]
        assert b"".join(sent) == request.body
        assert max(map(len, sent)) <= SLICE
