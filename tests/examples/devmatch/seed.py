"""The endpoint list of the DevMatch gateway, line by line, in an order in which each can be asked."""

from tests.examples.standins.walk import Line

TOKENS = {"access_token": str, "refresh_token": str, "token_type": "bearer", "expires_in": 24 * 3600}
DEVELOPER = {"user_id": str, "name": str, "skills": [str]}
TASK = {"id": str, "title": str, "skills": [str], "owner_id": str, "created_at": str}
HEALTH = {"status": "healthy", "response_time": ...}
SCORED = {"candidates": [{"skills": [str], "score": float}]}
CANDIDATES = [{"name": "ada", "skills": ["python", "redis"]}, {"name": "bob", "skills": ["cobol"]}]
AUTH, USERS, TASKS, MATCHING = "/api/v1/auth", "/api/v1/users", "/api/v1/tasks", "/api/v1/matching"
NEW = {"email": "new@example.com", "password": "correct horse"}

LINES = (
    Line("POST", f"{AUTH}/register", "public", 201, TOKENS, NEW),
    Line("POST", f"{AUTH}/login", "public", 200, TOKENS, NEW, keep={"refresh_token": "refresh_token"}),
    Line("POST", f"{AUTH}/refresh", "public", 200, TOKENS, {"refresh_token": "{refresh_token}"}),
    Line("POST", f"{AUTH}/logout", "user", 200, {"message": "Logged out"}, who="leaver"),
    Line(
        "POST", f"{USERS}/developers", "user", 201, DEVELOPER, {"name": "Ada", "skills": ["python", "redis"]},
        keep={"user_id": "user_id"},
    ),
    Line("PUT", f"{USERS}/developers/{{user_id}}", "user", 200, DEVELOPER | {"rate": 90.5}, {"rate": 90.5}),
    Line(
        "PUT", f"{USERS}/developers/{{user_id}}/presence", "user", 200,
        {"user_id": str, "status": "online", "since": str}, {"status": "online"},
    ),
    Line("GET", f"{USERS}/developers", "user", 200, {"developers": [{"user_id": str, "status": "online"}]}),
    Line("GET", f"{USERS}/me", "user", 200, {"email": "ada@example.com", "developer": DEVELOPER}),
    Line(
        "POST", f"{TASKS}/", "user", 201, TASK, {"title": "A gateway", "skills": ["python"]},
        keep={"task_id": "id"},
    ),
    Line("GET", f"{TASKS}/{{task_id}}", "user", 200, TASK),
    Line("PUT", f"{TASKS}/{{task_id}}", "user", 200, TASK | {"status": "open"}, {"status": "open"}),
    Line("GET", f"{TASKS}/", "user", 200, {"count": 1, "results": [TASK]}),
    Line(
        "POST", f"{MATCHING}/score", "user", 200, SCORED, {"skills": ["python"], "candidates": CANDIDATES}
    ),
    Line(
        "POST", f"{MATCHING}/filter", "user", 200, {"candidates": [{"name": "ada", "score": 1.0}]},
        {"skills": ["python"], "candidates": CANDIDATES},
    ),
    Line(
        "GET", f"{MATCHING}/recommendations/{{task_id}}", "user", 200,
        {"task_id": str, "recommendations": [{"name": "Ada", "score": 1.0}]},
    ),
    Line("DELETE", f"{TASKS}/{{task_id}}", "user", 204),
    Line("GET", "/health", "public", 200,
         {"status": "healthy", "timestamp": str, "services": {"user-service": HEALTH}}),
    Line("GET", "/health/detailed", "internal", 200, {"services": {"user-service": dict}}),
    Line("GET", "/health/ready", "public", 200),
    Line("GET", "/health/live", "public", 200),
)  # fmt: skip
