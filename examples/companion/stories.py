"""media-service: what the characters show of their day, and who has seen it."""

from aiohttp import web

from examples.chat.service import answer
from examples.companion.characters import CHARACTERS, character
from examples.standins.service import Refusal, caller

STORIES = {f"{id}-1": {"story_id": f"{id}-1", "girl_id": id, "text": f"{one.name} likes {one.likes}."}
           for id, one in CHARACTERS.items()}  # fmt: skip
MOST_VIEWERS = 10_000


class Stories:
    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {id: set() for id in STORIES}

    async def show_all(self, request: web.Request) -> web.Response:
        return answer({"stories": self._shown(caller(request), *STORIES)})

    async def of_one(self, request: web.Request) -> web.Response:
        who = character(request.match_info["girl_id"]).id
        theirs = [id for id, story in STORIES.items() if story["girl_id"] == who]
        return answer({"stories": self._shown(caller(request), *theirs)})

    async def view(self, request: web.Request) -> web.Response:
        seen = self._seen.get(request.match_info["story_id"])
        if seen is None:
            raise Refusal(404, "there is no such story")
        if len(seen) < MOST_VIEWERS:
            seen.add(caller(request))
        return answer({"story_id": request.match_info["story_id"], "views": len(seen)})

    def _shown(self, uid: str, *ids: str) -> list[dict[str, object]]:
        return [{**STORIES[id], "viewed": uid in self._seen[id]} for id in ids]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/stories/", self.show_all),
            web.get("/stories/{girl_id}", self.of_one),
            web.post("/stories/{story_id}/view", self.view),
        ]
