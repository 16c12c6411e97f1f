"""freelance-service: what is offered, ordered, proposed, and said of it afterwards."""

from aiohttp import web

from examples.standins.collection import Kind, collections
from examples.standins.service import Surroundings, serve

KINDS = (
    Kind("/api/gigs/", "gig", {"title": str, "price": float}, {"description": str}),
    Kind("/api/orders/", "order", {"gig": str}, {"status": str}),
    Kind("/api/reviews/", "review", {"order": str, "stars": int}, {"text": str}),
    Kind("/api/proposals/", "proposal", {"gig": str, "price": float}, {"text": str}),
)


def build(given: Surroundings) -> web.Application:
    return collections(given, KINDS, health_path="/api/health/")


if __name__ == "__main__":
    serve("freelance-service", build, module="examples.marketplace.freelance")
