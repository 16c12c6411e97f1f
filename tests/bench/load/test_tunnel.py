"""The WebSocket client and the instance that echoes, without a gateway between them."""

import asyncio
from functools import partial

import pytest

from bench.instance import at_once, serve_connection
from bench.load.tunnel import FRAME, MASK, PAYLOAD, opening, run


def test_the_frame_is_one_masked_text_message() -> None:
    assert FRAME[0] == 0x81
    assert FRAME[1] == 0x80 | len(PAYLOAD)
    assert FRAME[2:6] == MASK
    assert bytes(byte ^ MASK[at % 4] for at, byte in enumerate(FRAME[6:])) == PAYLOAD


async def test_messages_come_back() -> None:
    server = await asyncio.start_server(partial(serve_connection, at_once), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        taken = await run(port, opening(port, "/ws/echo", {"X-Name": "v"}), connections=3, seconds=0.1)
    assert taken["messages"] >= 3
    assert 0 < taken["p50_us"] <= taken["p99_us"]


async def test_an_answer_that_is_no_upgrade_is_named() -> None:
    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(refuses, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionError, match="404 Not Found"):
            await run(port, opening(port, "/", {}), connections=1, seconds=0.1)
