"""task-service: what there is to do."""

from aiohttp import web

from examples.standins.collection import Kind, collections
from examples.standins.service import Surroundings, serve

TASKS = Kind(
    "/tasks/",
    "task",
    {"title": str, "skills": list},
    {"description": str, "budget": float, "status": str},
)


def build(given: Surroundings) -> web.Application:
    return collections(given, [TASKS])


if __name__ == "__main__":
    serve("task-service", build, module="examples.devmatch.tasks")
