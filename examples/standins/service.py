"""What the stand-ins have in common: JSON in, JSON out, errors in one shape, and how they start.

An error answer is `{"error": "not_found", "message": "…", "timestamp": "…Z"}`, as the gateway's own are.
A stand-in believes the gateway: whoever calls is whom `X-User-Id` names.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from examples.chat import service as chat
from examples.chat.passwords import ScryptSettings
from examples.chat.service import Clock, answer, is_internal, read_object
from examples.chat.threads import Busy
from examples.chat.tokens import check_secret
from examples.standins.bodies import Kinds, problems_of, taken
from registry.runtime.clock import unix_now

log = structlog.get_logger()

USER_HEADER = "X-User-Id"
KEY_HEADER = "X-Internal-Key"
OF_PASSWORDS = ScryptSettings()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a stand-in is given by whoever starts it."""

    secret: str = ""
    """What it signs tokens with, if it makes any."""
    gateway: str = ""
    """Where the gateway is, for those that call other services."""
    key: str = ""
    """What services show each other; without one, callers on this machine are believed."""
    clock: Clock = unix_now
    passwords: ScryptSettings = OF_PASSWORDS


Build = Callable[[Surroundings], web.Application]


class Refusal(web.HTTPException):
    """An expected "no": raised by endpoints, answered in the one shape."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        # Read by aiohttp's own constructor.
        self.status_code = status
        super().__init__(reason=HTTPStatus(status).phrase, headers=headers)
        self.message = message


def error_body(status: int, message: str, now: float) -> dict[str, str]:
    """The one shape of errors."""
    return {
        "error": HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_"),
        "message": message,
        "timestamp": timestamp(now),
    }


def timestamp(now: float) -> str:
    """Unix seconds as `2026-02-08T18:30:00.000Z`."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_app(given: Surroundings, health_path: str = "/health") -> web.Application:
    """An application that says how it is, and whose errors all have the one shape."""

    @web.middleware
    async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
        def no(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
            return answer(error_body(status, message, given.clock()), status, headers)

        try:
            return await handler(request)
        except Refusal as refusal:
            return no(refusal.status, refusal.message)
        except web.HTTPException as error:
            allow = error.headers.get("Allow")
            return no(error.status, f"{error.reason}.", {"Allow": allow} if allow else None)
        except Busy:
            return no(503, "too many requests at the moment, try again", {"Retry-After": "1"})
        except Exception:
            log.exception("request_failed", path=request.path)
            return no(500, "something went wrong here")

    app = web.Application(middlewares=[errors_as_json], client_max_size=chat.LARGEST_BODY)
    app.router.add_get(health_path, chat.health)
    return app


async def read_body(
    request: web.Request, wanted: Kinds | None = None, optional: Kinds | None = None
) -> dict[str, Any]:
    """The fields of the request's JSON object. Raises `Refusal` (400) naming every field that is wrong."""
    wanted, optional = wanted or {}, optional or {}
    body = await read_object(request) if request.can_read_body or wanted else {}
    if isinstance(body, web.Response):
        raise Refusal(400, "the body must be a JSON object")
    if problems := problems_of(body, wanted, optional):
        raise Refusal(400, "; ".join(f"{field}: {problem}" for field, problem in problems.items()))
    return taken(body, wanted, optional)


def caller(request: web.Request) -> str:
    """The user that the gateway has verified. Raises `Refusal` (401) when there is none."""
    uid = request.headers.get(USER_HEADER)
    if not uid:
        raise Refusal(401, f"who calls? The gateway says so in {USER_HEADER}")
    return uid


def bearer(request: web.Request) -> str:
    """The token that came with the request; empty if none did."""
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def only_services(request: web.Request, key: str) -> None:
    """Raises `Refusal` (403) for whoever is no service of ours."""
    if not is_internal(request.remote, request.headers.get(KEY_HEADER, ""), key):
        raise Refusal(403, "this endpoint is for services")


def serve(name: str, build: Build, *, module: str, secret: str = "") -> None:
    """Runs a stand-in as one registered instance of the service `name`, until SIGTERM or SIGINT.

    `secret` is the environment variable with what it signs tokens with. Ends the program with one line
    when it is missing or short.
    """
    parser = chat.arguments(name)
    parser.prog = f"python -m {module}"
    parser.add_argument(
        "--gateway", default="http://127.0.0.1:8000", help="for peers' addresses (default: %(default)s)"
    )
    options = parser.parse_args()
    try:
        signing = check_secret(os.environ.get(secret, "")) if secret else ""
    except ValueError as error:
        sys.exit(str(error).replace("JWT_SECRET", secret))
    given = Surroundings(secret=signing, gateway=options.gateway, key=os.environ.get("INTERNAL_KEY", ""))
    try:
        app = build(given)
    except ValueError as error:
        sys.exit(str(error))
    chat.serve(app, name, options)
