"""An instance in a process of its own, to be killed: `python -m tests.gateway.runtime.instance PORT LOG`.

It answers everything with 200, a few milliseconds after it has written the request's id into LOG.
"""

import asyncio
import sys
from pathlib import Path

WORK_S = 0.005


async def serve(port: int, log: Path) -> None:
    with log.open("ab", buffering=0) as executed:

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
                    headers = dict(line.split(": ", 1) for line in head[1:] if line)
                    await reader.readexactly(int(headers.get("content-length", "0")))
                    executed.write(headers["x-request-id"].encode() + b"\n")
                    await asyncio.sleep(WORK_S)
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", port)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
