"""What an endpoint is: a path of the gateway's own, who may use it, and what answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import GatewayError, Reason, gateway_error
from gateway.openapi_operations import Operation
from gateway.runtime.client_body import ClientBody
from gateway.runtime.exchange import Exchange
from gateway.runtime.reply import Reply

Answer = Callable[[Exchange], Awaitable[Reply | GatewayError | None]]
"""`None` when the answer has gone out already."""
M = TypeVar("M", bound=BaseModel)

REMEMBERED = 1024
REMEMBERED_LENGTH = 256
"""Characters of a query. Longer ones are read every time: 256 KiB of them is kept at most."""

MAX_MESSAGE = 256 * 1024
"""Bytes of a handler process's message: a report of some thousand tickets."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    path: str
    methods: tuple[str, ...]
    access: Literal["public", "user", "internal"]
    answer: Answer
    limited: bool = False
    """Whether requests count against the rate limits."""
    quiet: bool = False
    """Asked all the time by machines: logged only when something is wrong."""

    prefix: bool = False
    """Whether `path` is only how the paths begin that are answered here."""

    head: bool = True
    """Whether HEAD is answered where GET is. Not where GET hands something out that nobody would see."""

    operations: tuple[Operation, ...] = ()
    """What `/openapi.json` says of it: one for each method, and for each path below a `prefix`."""

    @property
    def allowed(self) -> tuple[str, ...]:
        """What may be sent, and what `Allow` says."""
        return (*self.methods, "HEAD") if self.head and "GET" in self.methods else self.methods


async def read_message(exchange: Exchange, model: type[M]) -> M | GatewayError:
    """The request's JSON body as `model`, or one error that names every field that is wrong."""
    body = ClientBody(exchange.request, MAX_MESSAGE)
    if (refused := body.refusal()) is not None:
        return refused
    body.begin()
    content = await body.whole()
    if isinstance(content, GatewayError):
        return content
    try:
        # Who sends nothing at all is told which fields there are, not how JSON is written.
        return model.model_validate_json(content or b"{}")
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        if any(problem["type"] == "json_invalid" for problem in problems):
            return gateway_error(Reason.BAD_JSON)
        texts = [_told(problem, model) for problem in problems[:10]]
        return gateway_error(Reason.BAD_PARAMETER, message="; ".join(texts))


def _told(problem: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong with a message. Field names are the model's own, so nothing raw is repeated."""
    if problem["type"] == "extra_forbidden":
        return f"there is a field that is none of {', '.join(model.model_fields)}"
    return f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg'].removeprefix('Value error, ')}"


def query_value(exchange: Exchange, name: str) -> str | None:
    """The first value of a query parameter, `None` when it is missing."""
    query = exchange.target.query
    return _remembered(query, name) if len(query) <= REMEMBERED_LENGTH else _first_value(query, name)


def _first_value(query: str, name: str) -> str | None:
    found = parse_qsl(query.removeprefix("?"), keep_blank_values=True)
    return next((value for key, value in found if key == name), None)


_remembered = lru_cache(REMEMBERED)(_first_value)
