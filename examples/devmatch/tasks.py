"""task-service: what there is to do."""

from aiohttp import web

from examples.standins.collection import Collection
from examples.standins.service import Surroundings, new_app, serve

TASK = {"title": str, "skills": list}
MORE = {"description": str, "budget": float, "status": str}


def build(given: Surroundings) -> web.Application:
    app = new_app(given)
    app.add_routes(Collection("task", TASK, MORE, given.clock).routes("/tasks/"))
    return app


if __name__ == "__main__":
    serve("task-service", build, module="examples.devmatch.tasks")
