"""The endpoint list of the companion app's gateway, line by line, in an order in which each can be asked."""

from typing import Any

from tests.examples.standins.walk import Access, Line

V1 = "/api/v1"
JOHN = {"username": "john_doe", "email": "john@example.com", "password": "SecurePass123", "age": 25}
TOKENS = {"access_token": str, "refresh_token": str, "token_type": "bearer"}
USER = {"id": str, "username": "john_doe", "email": "john@example.com", "age": 25, "tier": str}
PROFILE = {"girl_id": str, "name": str}
MESSAGE = {"from": str, "content": str, "at": str, "read": bool}
TASK = {"task_id": str, "girl_id": "luna", "status": "completed", "url": str}
STORY = {"story_id": str, "girl_id": str, "text": str, "viewed": bool}
LUNA = {"girl_id": "luna"}


def user(method: str, path: str, shape: Any, body: Any = None, status: int = 200, **more: Any) -> Line:
    """A line for users, of whom John is one."""
    access: Access = "user"
    return Line(method, V1 + path, access, status, shape, body, **{"who": "john", **more})


def everybody(method: str, path: str, shape: Any, body: Any = None, status: int = 200, **more: Any) -> Line:
    access: Access = "public"
    return Line(method, V1 + path, access, status, shape, body, **more)


LINES = (
    # Authentication
    everybody("POST", "/auth/register", TOKENS, JOHN, 201, token="john", keep={"refresh": "refresh_token"}),
    everybody("POST", "/auth/login", TOKENS, {name: JOHN[name] for name in ("email", "password")}),
    user("GET", "/auth/me", USER),
    user("POST", "/auth/logout", {"message": "Logged out"}, who="leaver"),
    # Users
    user("GET", "/users/profile", USER),
    user("PUT", "/users/profile", USER | {"about": "Sails."}, {"about": "Sails."}),
    user("GET", "/users/stats", {"matches": 0, "tier": "free"}),
    user("DELETE", "/users/account", {"message": "Account deleted"}, who="deleted"),
    # Payment
    user("GET", "/payment/subscription", {"plan": "free"}),
    user("POST", "/payment/subscribe", {"plan": "premium"}, {"plan": "premium"}),
    user("GET", "/payment/tokens", {"tokens": 20}),
    user("POST", "/payment/purchase-tokens", {"tokens": 70}, {"package": "small"}),
    everybody("GET", "/payment/plans", {"plans": [{"plan": str}]}),
    everybody("GET", "/payment/token-packages", {"packages": [{"package": str, "tokens": int}]}),
    # Who has subscribed gets a token that says so
    everybody("POST", "/auth/refresh", TOKENS, {"refresh_token": "{refresh}"}, token="john"),
    # Chat
    user("POST", "/chat/{girl_id}/send", {"sent": MESSAGE, "reply": MESSAGE | {"from": "luna"}},
         {"content": "Hello"}, 201),
    user("GET", "/chat/rooms", {"rooms": [PROFILE | {"unread": 1}]}),
    user("GET", "/chat/{girl_id}/messages", {"messages": [MESSAGE]}),
    user("POST", "/chat/{girl_id}/mark-read", {"marked": 1}),
    # Matches
    user("GET", "/matches/discover", {"profiles": [PROFILE]}),
    user("POST", "/matches/swipe", LUNA | {"matched": True}, LUNA | {"action": "like"}),
    user("GET", "/matches/list", {"matches": [PROFILE | LUNA]}),
    user("DELETE", "/matches/{girl_id}", {"message": "Unmatched"}),
    # Media
    user("POST", "/media/generate-photo", TASK, LUNA, 202, keep={"task_id": "task_id"}),
    user("POST", "/media/generate-video", TASK, LUNA, 202),
    user("GET", "/media/photos/{girl_id}", {"photos": [TASK]}),
    user("GET", "/media/videos/{girl_id}", {"videos": [TASK]}),
    user("GET", "/media/task/{task_id}", TASK),
    # Stories
    user("GET", "/stories/", {"stories": [STORY]}),
    user("GET", "/stories/{girl_id}", {"stories": [STORY | LUNA]}),
    user("POST", "/stories/{story_id}/view", {"story_id": str, "views": 1}),
    user("POST", "/payment/cancel-subscription", {"plan": "free"}),
    # Monitoring
    Line("GET", "/health", "public", 200, {"status": "healthy", "version": "1.0.0"}),
    Line("GET", "/ping", "public", 200, {"message": str}),
    Line("GET", "/", "public", 200, {"service": str, "version": "1.0.0"}),
)  # fmt: skip
