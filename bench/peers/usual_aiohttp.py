"""An aiohttp gateway as it is usually written: a catch-all handler that calls a `ClientSession`, on uvloop.

It picks an instance in turn, streams both bodies, and does nothing else: no token, no limit, no retry.
"""

import argparse
import itertools

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict

from bench.peers.base import Peer, Place
from bench.processes import Launch
from bench.programs import peers_python, peers_version

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}
CHUNK_BYTES = 65536


def launch(place: Place) -> Launch:
    instances = [str(port) for port in place.instances]
    return Launch((peers_python(), "-m", "bench.peers.usual_aiohttp", str(place.port), *instances))


def version() -> str:
    return peers_version("aiohttp")


PEER = Peer("aiohttp server + ClientSession", launch, version)


def passed(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP)


class Proxy:
    def __init__(self, instances: list[int]) -> None:
        self._turns = itertools.cycle(instances)
        self._session: ClientSession | None = None

    async def start(self, _app: web.Application) -> None:
        self._session = ClientSession(
            connector=TCPConnector(limit=0), auto_decompress=False, timeout=ClientTimeout(total=300)
        )

    async def stop(self, _app: web.Application) -> None:
        assert self._session is not None
        await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        url = f"http://127.0.0.1:{next(self._turns)}{request.raw_path}"
        headers = passed(CIMultiDict(request.headers))
        if request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        async with self._session.request(
            request.method,
            url,
            headers=headers,
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
        ) as answer:
            kept = passed(CIMultiDict(answer.headers))
            if answer.content_length is not None and answer.content_length <= CHUNK_BYTES:
                return web.Response(status=answer.status, headers=kept, body=await answer.read())
            response = web.StreamResponse(status=answer.status, headers=kept)
            response.content_length = answer.content_length
            await response.prepare(request)
            async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                await response.write(chunk)
            await response.write_eof()
            return response


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("instances", type=int, nargs="+")
    given = parser.parse_args()
    proxy = Proxy(given.instances)
    app = web.Application(client_max_size=0)
    app.on_startup.append(proxy.start)
    app.on_cleanup.append(proxy.stop)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    web.run_app(
        app,
        host="127.0.0.1",
        port=given.port,
        print=None,
        access_log=None,
        keepalive_timeout=300,
        backlog=4096,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
