"""What the chat's tests share: people, a clock that is told the time, and running apps."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from examples.chat.passwords import ScryptSettings

SECRET = "a secret of the tests, long enough for HS256"
KEY = "an internal key of the tests"
CHEAP = ScryptSettings(n=16, r=1, p=1)
NOW = 1_800_000_000.0

Client = TestClient[web.Request, web.Application]


class Clock:
    """Unix seconds that pass only when a test says so."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def person(email: str = "user@example.com", **changes: Any) -> dict[str, Any]:
    """The sign-up request of the specification; a change to `None` leaves the field out."""
    body = {
        "email": email,
        "username": "username",
        "password": "password",
        "sex": "male",
        "age": 25,
        "preferred_age": "20-30",
        "preferred_sex": "female",
        **changes,
    }
    return {field: value for field, value in body.items() if value is not None}


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[Client]:
    async with TestClient(TestServer(app)) as client:
        yield client
