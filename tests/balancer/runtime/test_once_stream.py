from collections.abc import AsyncIterator

from balancer.runtime.once_stream import OnceStream


async def chunks() -> AsyncIterator[bytes]:
    yield b"a"
    yield b"b"


async def test_it_says_whether_anything_was_taken() -> None:
    stream = OnceStream(chunks())
    assert not stream.begun
    assert [piece async for piece in stream] == [b"a", b"b"]
    assert stream.begun


async def test_a_stream_that_has_ended_stays_begun() -> None:
    stream = OnceStream(chunks())
    for _ in range(2):
        assert [piece async for piece in stream] in ([b"a", b"b"], [])
    assert stream.begun
