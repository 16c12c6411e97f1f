"""marketplace-service: products, and the categories that they are in."""

from aiohttp import web

from examples.standins.collection import Kind, collections
from examples.standins.service import Surroundings, serve

KINDS = (
    Kind("/api/products/", "product", {"title": str, "price": float}, {"category": str}),
    Kind("/api/categories/", "category", {"name": str}, {}, public=True),
)


def build(given: Surroundings) -> web.Application:
    return collections(given, KINDS, health_path="/api/health/")


if __name__ == "__main__":
    serve("marketplace-service", build, module="examples.marketplace.goods")
