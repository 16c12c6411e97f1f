"""auth-service: who has liked whom. Characters like everybody back."""

from aiohttp import web

from examples.chat.service import answer
from examples.companion.characters import CHARACTERS, character
from examples.standins.service import Refusal, caller, read_body

ACTIONS = ("like", "pass")
MOST_PEOPLE = 10_000


class Matches:
    """What each user has said of whom."""

    def __init__(self) -> None:
        self._said: dict[str, dict[str, str]] = {}
        """user -> character -> like or pass"""

    def count(self, uid: str) -> int:
        return list(self._said.get(uid, {}).values()).count("like")

    def forget(self, uid: str) -> None:
        self._said.pop(uid, None)

    async def discover(self, request: web.Request) -> web.Response:
        """Those of whom nothing has been said yet."""
        said = self._said.get(caller(request), {})
        return answer({"profiles": [one.shown() for id, one in CHARACTERS.items() if id not in said]})

    async def swipe(self, request: web.Request) -> web.Response:
        body = await read_body(request, {"girl_id": str, "action": str})
        who = character(body["girl_id"])
        if body["action"] not in ACTIONS:
            raise Refusal(400, f"action: must be one of {', '.join(ACTIONS)}")
        uid = caller(request)
        if uid not in self._said and len(self._said) >= MOST_PEOPLE:
            raise Refusal(503, "this stand-in is full: start it anew")
        self._said.setdefault(uid, {})[who.id] = body["action"]
        return answer({"girl_id": who.id, "matched": body["action"] == "like"})

    async def show_all(self, request: web.Request) -> web.Response:
        said = self._said.get(caller(request), {})
        liked = [character(id).shown() for id, action in said.items() if action == "like"]
        return answer({"matches": liked})

    async def unmatch(self, request: web.Request) -> web.Response:
        said = self._said.get(caller(request), {})
        if said.pop(request.match_info["girl_id"], None) is None:
            raise Refusal(404, "you have no such match")
        return answer({"message": "Unmatched"})

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/matches/discover", self.discover),
            web.post("/matches/swipe", self.swipe),
            web.get("/matches/list", self.show_all),
            web.delete("/matches/{girl_id}", self.unmatch),
        ]
