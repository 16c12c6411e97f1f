"""A handler process of the fleet: answers every `{"say": n}` with `{"seq": n}`, and keeps nothing.

Clients number what they say and the answer has the same number, so whoever answers after a move or a death
needs to know nothing of who answered before.

    python -m bench.fleet.handler --id WSH1 --port 8001 --capacity 1000 --consul HOST:PORT --gateway URL …
"""

import argparse
import logging

import structlog
import uvloop
from aiohttp import web

from handlers.runtime.node import HandlerNode

SHOWN = "/shown"


class Echo:
    """Counts what nobody may take its word for: how many clients it ever had at once."""

    def __init__(self, node: HandlerNode) -> None:
        self._node = node
        self._most = 0

    async def talk(self, request: web.Request) -> web.StreamResponse:
        async with self._node.session(request) as session:
            self._most = max(self._most, len(self._node.sessions))
            async for message in session.socket:
                await session.socket.send_json({"seq": message.json()["say"], "from": self._node.id})
        return session.socket

    async def shown(self, _request: web.Request) -> web.Response:
        """How many clients are here, and how many there have been at once."""
        return web.json_response({"now": len(self._node.sessions), "most": self._most})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet.handler")
    parser.add_argument("--id", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--capacity", type=int, required=True)
    parser.add_argument("--consul", required=True)
    parser.add_argument("--gateway", action="append", required=True)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    app = web.Application()
    node = HandlerNode(
        handler_id=given.id,
        gateways=given.gateway,
        public_url=f"http://127.0.0.1:{given.port}",
        capacity=given.capacity,
        consul=given.consul,
    )
    echo = Echo(node)
    app.router.add_get("/ws", echo.talk)
    app.router.add_get(SHOWN, echo.shown)
    node.attach(app)
    web.run_app(
        app,
        host="127.0.0.1",
        port=given.port,
        backlog=1024,
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
