"""ai-service: what a character answers. A stand-in for a language model: it always changes the subject."""

from aiohttp import web

from examples.chat.service import answer
from examples.companion.characters import character
from examples.standins.service import Surroundings, new_app, only_services, read_body, serve


def build(given: Surroundings) -> web.Application:
    async def reply(request: web.Request) -> web.Response:
        only_services(request, given.key)
        body = await read_body(request, {"to": str, "content": str})
        who = character(body["to"])
        return answer({"content": f"Let us talk about {who.likes}. You said: {body['content'][:80]}"})

    app = new_app(given)
    app.router.add_post("/replies", reply)
    return app


if __name__ == "__main__":
    serve("ai-service", build, module="examples.companion.ai")
