"""A FastAPI gateway as it is usually written: a catch-all route that calls an `httpx.AsyncClient`.

It picks an instance in turn and does nothing else: no token, no limit, no retry. It runs on uvicorn
in the peers' own venv, so the imports of what only that one has stand in the functions that need them.
"""

import argparse
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bench.peers.base import Peer, Place
from bench.processes import Launch
from bench.programs import peers_python, peers_version

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def launch(place: Place) -> Launch:
    instances = [str(port) for port in place.instances]
    return Launch((peers_python(), "-m", "bench.peers.usual_fastapi", str(place.port), *instances))


def version() -> str:
    return f"{peers_version('fastapi')}, httpx {peers_version('httpx')}, uvicorn {peers_version('uvicorn')}"


PEER = Peer("FastAPI + httpx", launch, version)


def new_app(instances: list[int]) -> Any:
    import fastapi  # type: ignore[import-not-found]  # in the peers' venv only
    import httpx  # type: ignore[import-not-found]  # in the peers' venv only

    turns = itertools.cycle(instances)
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
    client = httpx.AsyncClient(limits=limits, timeout=300)

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        yield
        await client.aclose()

    async def forward(request: Any) -> Any:
        url = f"http://127.0.0.1:{next(turns)}{request.url.path}"
        headers = [pair for pair in request.headers.items() if pair[0] not in HOP_BY_HOP]
        answer = await client.request(request.method, url, headers=headers, content=await request.body())
        kept = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
        return fastapi.Response(answer.content, answer.status_code, kept)

    # Told here and not in the signature, since `fastapi.Request` is no name of this module.
    forward.__annotations__ = {"request": fastapi.Request, "return": fastapi.Response}
    app = fastapi.FastAPI(lifespan=lifespan, openapi_url=None)
    app.add_api_route("/{path:path}", forward, methods=METHODS)
    return app


def main() -> None:
    import uvicorn  # type: ignore[import-not-found]  # in the peers' venv only

    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("instances", type=int, nargs="+")
    given = parser.parse_args()
    uvicorn.run(
        new_app(given.instances),
        host="127.0.0.1",
        port=given.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
        timeout_keep_alive=300,
        backlog=4096,
    )


if __name__ == "__main__":
    main()
