"""The lists of the marketplace's gateway, line by line, in an order in which each can be asked.

It lists rules (`/api/gigs/*` goes to freelance-service), what needs no token, and some requests.
"""

from typing import Any

from tests.examples.standins.walk import Line

NEW = {"email": "new@example.com", "password": "correct horse"}
TOKENS = {"access_token": str, "refresh_token": str, "token_type": "bearer", "expires_in": int}
SERVICES = ("user", "notification", "freelance", "content", "marketplace")
HEALTH = {"status": "healthy", "response_time": ...}
ALL_HEALTHY = {f"{name}-service": HEALTH for name in SERVICES}


def rule(prefix: str, body: dict[str, Any]) -> Line:
    """Something is made below the prefix."""
    return Line("POST", f"{prefix}*", "user", 201, {"id": str, "owner_id": str, **body}, body, target=prefix)


def listed(prefix: str) -> Line:
    return Line("GET", prefix, "user", 200, {"count": int, "results": list})


LINES = (
    # What needs no token
    Line("POST", "/api/users/", "public", 201, TOKENS | {"user": {"id": str}}, NEW),
    Line("POST", "/api/auth/login/", "public", 200, TOKENS, NEW, keep={"refresh_token": "refresh_token"}),
    Line("POST", "/api/auth/refresh/", "public", 200, TOKENS, {"refresh_token": "{refresh_token}"}),
    Line("GET", "/api/health/", "public", 200,
         {"status": "healthy", "timestamp": str, "services": ALL_HEALTHY}),
    # The rules
    Line("POST", "/api/auth/*", "user", 200, {"message": str}, who="leaver", target="/api/auth/logout/"),
    Line("GET", "/api/profile/*", "user", 200, {"email": "ada@example.com"}, target="/api/profile/",
         keep={"ada": "id"}),
    Line("GET", "/api/users/*", "user", 200, {"id": str}, target="/api/users/{ada}/"),
    rule("/api/notifications/", {"text": "An order has come."}),
    rule("/api/gigs/", {"title": "A gateway", "price": 900.0}),
    rule("/api/orders/", {"gig": "1"}),
    rule("/api/reviews/", {"order": "1", "stars": 5}),
    rule("/api/proposals/", {"gig": "1", "price": 800.0}),
    rule("/api/posts/", {"text": "Hello."}),
    rule("/api/channels/", {"name": "news"}),
    rule("/api/comments/", {"post": "1", "text": "Hello too."}),
    rule("/api/products/", {"title": "A lamp", "price": 20.5}),
    rule("/api/categories/", {"name": "lamps"}),
    # The requests
    listed("/api/users/"),
    Line("POST", "/api/auth/login/", "public", 200, TOKENS, NEW),
    listed("/api/notifications/"),
    Line("POST", "/api/gigs/", "user", 201, {"id": str}, {"title": "A door", "price": 100}),
    listed("/api/posts/"),
)  # fmt: skip
