"""What the chat's services have in common: JSON in, JSON out, errors in one shape, and how they start.

An error answer is `{"status": "error", "message": "…"}`, with `"errors": {field: problem}` beside it
when fields are wrong. No answer ever holds a traceback.
"""

import argparse
import hmac
import os
import sqlite3
import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from examples.chat import tokens
from examples.chat.profile import Invalid
from examples.chat.threads import Busy
from registry.runtime.registration import register

log = structlog.get_logger()

LARGEST_BODY = 16 * 1024
LOG_LEVELS = ("debug", "info", "warning", "error")
Clock = Callable[[], float]


def answer(body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer that no cache may keep: it may hold tokens."""
    return web.Response(
        body=orjson.dumps(body),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def refuse(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return answer({"status": "error", "message": message}, status, headers)


def refuse_fields(invalid: Invalid) -> web.Response:
    problems = dict(invalid.problems)
    return answer({"status": "error", "message": invalid.message, "errors": problems}, 400)


async def read_object(request: web.Request) -> dict[str, Any] | web.Response:
    """The request's JSON object, or the answer that says why it is none."""
    body = await request.read()
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return refuse(400, f"the body is not valid JSON: {error.msg} at character {error.pos}")
    return value if isinstance(value, dict) else refuse(400, "the body must be a JSON object")


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns whatever goes wrong into an answer in the one shape."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return refuse(413, f"the body is larger than {LARGEST_BODY} bytes")
    except web.HTTPException as error:
        kept = {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}
        return refuse(error.status, error.reason.lower(), kept)
    except Busy:
        return refuse(503, "too many requests at the moment, try again", {"Retry-After": "1"})
    except sqlite3.Error as error:
        log.error("database_failed", path=request.path, reason=str(error))
        return refuse(503, "the database can't be used at the moment, try again", {"Retry-After": "1"})
    except Exception:
        log.exception("request_failed", path=request.path)
        return refuse(500, "something went wrong here")


async def health(_: web.Request) -> web.Response:
    return answer({"status": "ok"})


def is_internal(remote: str | None, given_key: str, key: str) -> bool:
    """Whether a caller is a service of ours: it knows the internal key.

    Without a key, callers on this machine are. With one, not even they are without it: a browser on
    this machine calls whatever address some page tells it to.
    """
    if key:
        return hmac.compare_digest(given_key.encode(errors="surrogateescape"), key.encode())
    return remote is not None and ip_address(remote).is_loopback


def new_app(health: Handler = health) -> web.Application:
    app = web.Application(middlewares=[errors_as_json], client_max_size=LARGEST_BODY)
    app.router.add_get("/health", health)
    return app


def arguments(service: str) -> argparse.ArgumentParser:
    """The arguments every service of the chat takes."""
    parser = argparse.ArgumentParser(prog=f"python -m examples.chat.{service}")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--address", default="", help="its address for peers (default: its node's)")
    parser.add_argument("--consul", default="127.0.0.1:8500", help="the registry (default: %(default)s)")
    parser.add_argument("--id", help="instance id in the registry (default: made from name and port)")
    return parser


def database_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database", type=Path, required=True, help="SQLite file, shared by all instances")


def jwt_secret() -> str:
    """`JWT_SECRET` of the environment. Ends the program with one line when it is missing or short."""
    try:
        return tokens.check_secret(os.environ.get("JWT_SECRET", ""))
    except ValueError as error:
        sys.exit(str(error))


def internal_key() -> str:
    """`INTERNAL_KEY` of the environment; without one only callers on this machine are internal."""
    return os.environ.get("INTERNAL_KEY", "")


def serve(app: web.Application, name: str, options: argparse.Namespace) -> None:
    """Runs the app as one registered instance of the service `name`, until SIGTERM or SIGINT."""
    try:
        register(
            app,
            name=name,
            port=options.port,
            id=options.id,
            address=options.address,
            consul=options.consul,
            token=os.environ.get("CONSUL_HTTP_TOKEN", ""),
        )
    except ValueError as error:
        sys.exit(str(error))
    run(app, options)


def configure_logging(level: str) -> None:
    """Makes this process log text for people, from `level` on."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(),
                # The default shows local variables too, and passwords stand in them.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )


def run(app: web.Application, options: argparse.Namespace) -> None:
    """Serves until SIGTERM or SIGINT. Ends the program with one line when it can't begin."""
    level = os.environ.get("LOG_LEVEL", "info")
    if level not in LOG_LEVELS:
        sys.exit(f"LOG_LEVEL is {level!r}: set it to one of {', '.join(LOG_LEVELS)}")
    configure_logging(level)
    try:
        web.run_app(app, host=options.host, port=options.port, print=None, access_log=None)
    except OSError as error:
        sys.exit(f"can't serve on {options.host}:{options.port}: {error.strerror or error}")
    except sqlite3.Error as error:
        sys.exit(f"--database {options.database}: {error}")
