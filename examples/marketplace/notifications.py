"""notification-service: what somebody should know."""

from aiohttp import web

from examples.standins.collection import Kind, collections
from examples.standins.service import Surroundings, serve

KINDS = (Kind("/api/notifications/", "notification", {"text": str}, {"read": bool}),)


def build(given: Surroundings) -> web.Application:
    return collections(given, KINDS, health_path="/api/health/")


if __name__ == "__main__":
    serve("notification-service", build, module="examples.marketplace.notifications")
