"""content-service: what people write, where, and to what."""

from aiohttp import web

from examples.standins.collection import Kind, collections
from examples.standins.service import Surroundings, serve

KINDS = (
    Kind("/api/posts/", "post", {"text": str}, {"channel": str}),
    Kind("/api/channels/", "channel", {"name": str}, {"about": str}),
    Kind("/api/comments/", "comment", {"post": str, "text": str}, {}),
)


def build(given: Surroundings) -> web.Application:
    return collections(given, KINDS, health_path="/api/health/")


if __name__ == "__main__":
    serve("content-service", build, module="examples.marketplace.content")
