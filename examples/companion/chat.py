"""chat-service: conversations between a user and a character, whose answers ai-service makes."""

from collections import deque
from typing import Any

from aiohttp import web

from examples.chat.service import answer
from examples.companion.characters import CHARACTERS, character
from examples.standins.peers import Peers
from examples.standins.service import Refusal, Surroundings, caller, new_app, read_body, serve, timestamp

MOST_ROOMS = 10_000
KEPT = 100
"""Messages of a conversation; older ones are forgotten."""

Room = deque[dict[str, Any]]


class Rooms:
    def __init__(self, given: Surroundings, peers: Peers) -> None:
        self._clock = given.clock
        self._peers = peers
        self._rooms: dict[tuple[str, str], Room] = {}
        """By user and character."""

    async def show_all(self, request: web.Request) -> web.Response:
        uid = caller(request)
        mine = [(girl, room) for (who, girl), room in self._rooms.items() if who == uid]
        rooms = [{**CHARACTERS[girl].shown(), "unread": self._unread(room)} for girl, room in mine]
        return answer({"rooms": rooms})

    async def messages(self, request: web.Request) -> web.Response:
        return answer({"messages": list(self._room(request))})

    async def send(self, request: web.Request) -> web.Response:
        """The message and its answer. Nothing is kept when nobody makes one."""
        who = character(request.match_info["girl_id"])
        text = (await read_body(request, {"content": str}))["content"]
        reply = await self._peers.ask("POST", "ai-service", "/replies", {"to": who.id, "content": text})
        key = (caller(request), who.id)
        if key not in self._rooms and len(self._rooms) >= MOST_ROOMS:
            raise Refusal(503, "this stand-in is full: start it anew")
        room = self._rooms.setdefault(key, deque(maxlen=KEPT))
        room.append(self._message("user", text, read=True))
        room.append(self._message(who.id, reply["content"], read=False))
        return answer({"sent": room[-2], "reply": room[-1]}, 201)

    async def mark_read(self, request: web.Request) -> web.Response:
        room = self._room(request)
        marked = self._unread(room)
        for message in room:
            message["read"] = True
        return answer({"marked": marked})

    def _room(self, request: web.Request) -> Room:
        girl = character(request.match_info["girl_id"]).id
        return self._rooms.get((caller(request), girl), deque())

    def _message(self, sender: str, text: str, *, read: bool) -> dict[str, Any]:
        return {"from": sender, "content": text, "at": timestamp(self._clock()), "read": read}

    def _unread(self, room: Room) -> int:
        return sum(not message["read"] for message in room)


def build(given: Surroundings) -> web.Application:
    peers = Peers(given)
    rooms = Rooms(given, peers)
    app = new_app(given)
    app.cleanup_ctx.append(peers.lifetime)
    app.add_routes(
        [
            web.get("/chat/rooms", rooms.show_all),
            web.get("/chat/{girl_id}/messages", rooms.messages),
            web.post("/chat/{girl_id}/send", rooms.send),
            web.post("/chat/{girl_id}/mark-read", rooms.mark_read),
        ]
    )
    return app


if __name__ == "__main__":
    serve("chat-service", build, module="examples.companion.chat")
