"""media-service: photos and videos that users ask for. Each costs tokens, which payment-service keeps."""

from typing import Any
from uuid import uuid4

from aiohttp import web

from examples.chat.service import answer
from examples.companion.characters import character
from examples.companion.stories import Stories
from examples.standins.peers import Peers
from examples.standins.service import Refusal, Surroundings, caller, new_app, read_body, serve, timestamp

COSTS = {"photo": 5, "video": 15}
"""Tokens."""
MOST_TASKS = 10_000


class Media:
    """What has been asked for: done at once, as nothing is really made."""

    def __init__(self, given: Surroundings, peers: Peers) -> None:
        self._clock = given.clock
        self._peers = peers
        self._tasks: dict[str, dict[str, Any]] = {}

    async def generate_photo(self, request: web.Request) -> web.Response:
        return await self._generate(request, "photo")

    async def generate_video(self, request: web.Request) -> web.Response:
        """For premium and elite: the gateway lets nobody else come here."""
        return await self._generate(request, "video")

    async def _generate(self, request: web.Request, kind: str) -> web.Response:
        body = await read_body(request, {"girl_id": str}, {"prompt": str})
        who, uid = character(body["girl_id"]), caller(request)
        if len(self._tasks) >= MOST_TASKS:
            raise Refusal(503, "this stand-in is full: start it anew")
        await self._peers.ask("POST", "payment-service", "/charges", {"user_id": uid, "tokens": COSTS[kind]})
        id = uuid4().hex
        self._tasks[id] = {
            **{"task_id": id, "kind": kind, "girl_id": who.id, "user_id": uid, "status": "completed"},
            "url": f"/media/{id}.{'jpg' if kind == 'photo' else 'mp4'}",
            "created_at": timestamp(self._clock()),
        }
        return answer(self._tasks[id], 202)

    async def photos(self, request: web.Request) -> web.Response:
        return answer({"photos": self._of(request, "photo")})

    async def videos(self, request: web.Request) -> web.Response:
        return answer({"videos": self._of(request, "video")})

    def _of(self, request: web.Request, kind: str) -> list[dict[str, Any]]:
        wanted = (kind, character(request.match_info["girl_id"]).id, caller(request))
        return [t for t in self._tasks.values() if (t["kind"], t["girl_id"], t["user_id"]) == wanted]

    async def task(self, request: web.Request) -> web.Response:
        found = self._tasks.get(request.match_info["task_id"])
        if found is None or found["user_id"] != caller(request):
            raise Refusal(404, "you have no such task")
        return answer(found)


def build(given: Surroundings) -> web.Application:
    peers = Peers(given)
    media, stories = Media(given, peers), Stories()
    app = new_app(given)
    app.cleanup_ctx.append(peers.lifetime)
    app.add_routes(
        [
            web.post("/media/generate-photo", media.generate_photo),
            web.post("/media/generate-video", media.generate_video),
            web.get("/media/photos/{girl_id}", media.photos),
            web.get("/media/videos/{girl_id}", media.videos),
            web.get("/media/task/{task_id}", media.task),
            *stories.routes(),
        ]
    )
    return app


if __name__ == "__main__":
    serve("media-service", build, module="examples.companion.media")
