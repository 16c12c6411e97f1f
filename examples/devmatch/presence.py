"""presence-service: which developers are there at the moment."""

from aiohttp import web

from examples.chat.service import answer
from examples.standins.service import Refusal, Surroundings, caller, new_app, read_body, serve, timestamp

STATUSES = ("online", "busy", "offline")
MOST_PRESENT = 10_000


class Presence:
    """Who has said to be there; whoever goes offline is forgotten."""

    def __init__(self, given: Surroundings) -> None:
        self._clock = given.clock
        self._present: dict[str, dict[str, str]] = {}

    async def change(self, request: web.Request) -> web.Response:
        uid = request.match_info["user_id"]
        if uid != caller(request):
            raise Refusal(403, "only they themselves can say so")
        status = (await read_body(request, {"status": str}))["status"]
        if status not in STATUSES:
            raise Refusal(400, f"status: must be one of {', '.join(STATUSES)}")
        now = {"user_id": uid, "status": status, "since": timestamp(self._clock())}
        self._present.pop(uid, None)
        if status != "offline":
            if len(self._present) >= MOST_PRESENT:
                raise Refusal(503, "this stand-in is full: start it anew")
            self._present[uid] = now
        return answer(now)

    async def show_all(self, _: web.Request) -> web.Response:
        return answer({"developers": list(self._present.values())[-100:], "count": len(self._present)})


def build(given: Surroundings) -> web.Application:
    presence = Presence(given)
    app = new_app(given)
    app.router.add_get("/developers", presence.show_all)
    app.router.add_put("/developers/{user_id}", presence.change)
    return app


if __name__ == "__main__":
    serve("presence-service", build, module="examples.devmatch.presence")
