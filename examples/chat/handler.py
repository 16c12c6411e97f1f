"""A WebSocket handler of the chat, on the SDK: clients with a ticket come in and write to their match.

    INTERNAL_KEY=… python -m examples.chat.handler --port 8001 --id WSH1 --gateway http://127.0.0.1:8000

Other handlers bring what their clients write by `POST /deliver {"to", "frame"}`.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial

from aiohttp import WSMsgType, web

from examples.chat.brief import Pace
from examples.chat.courier import Courier
from examples.chat.frames import (
    LARGEST_FRAME,
    LONGEST_ID,
    BadFrame,
    Frame,
    Kind,
    read_frame,
)
from examples.chat.mailbox import Mailbox
from examples.chat.peers import Peers
from examples.chat.profile import Invalid, read_text
from examples.chat.service import (
    answer,
    arguments,
    internal_key,
    is_internal,
    new_app,
    read_object,
    refuse,
    refuse_fields,
    run,
)
from handlers.runtime.node import HandlerNode
from registry.runtime.tasks import Tasks

FRAMES_PER_S = 10.0
BURST = 30
LEAVE_S = 3.0
"""When it stops, who could not be moved is sent away spread over so long at most."""


class ChatHandler:
    """The endpoints of one handler process."""

    def __init__(self, node: HandlerNode, courier: Courier, peers: Peers, key: str) -> None:
        self._node = node
        self._courier = courier
        self._peers = peers
        self._key = key

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """A client's WebSocket, from its ticket to its end."""
        async with self._node.session(request) as session:
            missed = partial(self._peers.missed, session.uid)
            mailbox = Mailbox(session.socket, request.transport, missed, session.seq or 0)
            tasks = Tasks(lambda _name, _error: mailbox.cut_off("its sender failed"))
            tasks.start(f"mail of {session.session_id}", mailbox.send_all())
            try:
                async with self._courier.at_home(session.uid, mailbox):
                    await self._listen(session.uid, session.socket, mailbox)
            finally:
                await tasks.close()
        return session.socket

    async def _listen(self, uid: str, socket: web.WebSocketResponse, mailbox: Mailbox) -> None:
        """One frame at a time, so a client's messages keep their order.

        Who writes too fast is read slowly, not refused: after a reconnect a client sends much at once that
        was never acknowledged.
        """
        pace = Pace(FRAMES_PER_S, BURST, time.monotonic())
        async for message in socket:
            if delay_s := pace.delay(time.monotonic()):
                await asyncio.sleep(delay_s)
            frame = read_frame(message.data) if message.type is WSMsgType.TEXT else BadFrame("must be a text")
            reply = await self._reply(uid, frame)
            if reply and not mailbox.put(reply):
                return

    async def _reply(self, uid: str, frame: Frame | BadFrame) -> dict[str, str] | None:
        """What the sender is told of its frame, once that is delivered or not."""
        if isinstance(frame, BadFrame):
            return frame.answer()
        result = await self._courier.deliver(uid, frame)
        return None if frame.id is None else result.answer(frame.id)

    async def deliver(self, request: web.Request) -> web.Response:
        """For the other handlers: 200 when the frame is on its way to the client, 404 when it is not here."""
        if not is_internal(request.remote, request.headers.get("X-Internal-Key", ""), self._key):
            return refuse(403, "for services only: send X-Internal-Key")
        if request.content_type != "application/json":
            # A foreign page can make a browser on this machine post here, but not with this type.
            return refuse(415, "the body must be application/json")
        body = await read_object(request)
        if isinstance(body, web.Response):
            return body
        to, frame = read_text(body, "to", LONGEST_ID), body.get("frame")
        if isinstance(to, Invalid):
            return refuse_fields(to)
        if not isinstance(frame, dict) or frame.get("type") not in list(Kind):
            return refuse_fields(Invalid({"frame": f"must be an object with a type of {', '.join(Kind)}"}))
        if not self._courier.deliver_here(to, frame):
            return refuse(404, "not here")
        return answer({"status": "success", "handler_id": self._node.id})

    async def health(self, _: web.Request) -> web.Response:
        """503 until a gateway has answered, and again when no new clients are wanted."""
        status, ready = ("ok", 200) if self._node.ready else ("not ready", 503)
        return answer({"status": status, "connections": len(self._node.sessions)}, ready)


def handler_app(
    node: HandlerNode, gateways: Sequence[str], key: str = "", *, peer_url: str | None = None
) -> web.Application:
    """The chat on a node, which it attaches."""
    peers = Peers(gateways, key, peer_url=peer_url)
    courier = Courier(node.id, peers)
    handler = ChatHandler(node, courier, peers, key)

    async def resources(_: web.Application) -> AsyncIterator[None]:
        async with peers:
            try:
                yield
            finally:
                await courier.close()

    app = new_app(handler.health)
    app.cleanup_ctx.append(resources)
    app.router.add_get("/ws", handler.chat)
    app.router.add_post("/deliver", handler.deliver)
    node.attach(app)
    return app


def parse() -> argparse.Namespace:
    parser = arguments("handler")
    parser.add_argument("--gateway", action="append", required=True, help="URL; give it once per gateway")
    parser.add_argument("--public-url", help="where clients reach it (default: http://HOST:PORT)")
    parser.add_argument("--peer-url", help="where handlers reach each other, like http://{handler_id}:8001")
    parser.add_argument("--capacity", type=int, default=1000, help="most clients (default: %(default)s)")
    parser.add_argument(
        "--drain",
        type=float,
        default=2 * LEAVE_S,
        metavar="SECONDS",
        help="for moving its clients to other handlers when it is stopped (default: %(default)s)",
    )
    return parser.parse_args()


def main() -> None:
    options, key = parse(), internal_key()
    try:
        node = HandlerNode(
            handler_id=options.id or f"WSH-{options.port}",
            gateways=options.gateway,
            public_url=options.public_url or f"http://{options.host}:{options.port}",
            capacity=options.capacity,
            internal_key=key or None,
            consul=options.consul,
            consul_token=os.environ.get("CONSUL_HTTP_TOKEN", ""),
            address_in_registry=options.address,
            port=options.port,
            max_msg_size=LARGEST_FRAME,
            drain_s=options.drain,
            leave_s=LEAVE_S,
        )
        app = handler_app(node, options.gateway, key, peer_url=options.peer_url)
    except ValueError as error:
        sys.exit(str(error))
    run(app, options)


if __name__ == "__main__":
    main()
