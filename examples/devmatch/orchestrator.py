"""orchestrator: its work is inside; all that the gateway wants of it is to know how it is."""

from aiohttp import web

from examples.standins.service import Surroundings, new_app, serve


def build(given: Surroundings) -> web.Application:
    return new_app(given)


if __name__ == "__main__":
    serve("orchestrator", build, module="examples.devmatch.orchestrator")
