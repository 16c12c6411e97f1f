"""Consul's HTTP API over the catalogue: an aiohttp application.

Errors are plain text as Consul's are. One table says which method each path takes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import orjson
from aiohttp import web

from registry.agent import answers
from registry.agent.answers import Node
from registry.agent.catalog import Catalog
from registry.agent.decode import BadBody
from registry.agent.definitions import (
    CRITICAL,
    MAX_OUTPUT,
    PASSING,
    WARNING,
    read_check,
    read_service,
    read_update,
)
from registry.agent.guard import refusal
from registry.agent.index import CHECKS, SERVICES, Topic, instances_topic, service_topic
from registry.agent.journal import JournalError
from registry.agent.live import LiveCatalog
from registry.agent.queries import BadQuery, Query, read_flag, read_query
from registry.agent.records import Refused
from registry.agent.waiting import TooManyWaiting, Waiting

Handler = Callable[[web.Request], Awaitable[web.Response]]

BODY_TIMEOUT_S = 10.0


class Api:
    """The endpoints. `app` is what a server runs."""

    def __init__(
        self, live: LiveCatalog, waiting: Waiting, node: Node, *, loopback: bool, body_max: int, rng: Random
    ) -> None:
        self._live = live
        self._waiting = waiting
        self._node = node
        self._loopback = loopback
        self._rng = rng
        self.address = ("", 0)
        """Where the server listens; known once it does."""
        self.app = web.Application(client_max_size=body_max)
        for method, path, handler in self._routes():
            self.app.router.add_route("*", f"/v1/{path}", self._endpoint(method, handler))
        self.app.router.add_route("*", "/{anything:.*}", self._endpoint(None, self._not_found))
        self.app.on_response_prepare.append(_without_server_name)

    def _routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("PUT", "agent/service/register", self._register),
            ("PUT", "agent/service/deregister/{id:.*}", self._deregister),
            ("PUT", "agent/service/maintenance/{id:.*}", self._maintenance),
            ("PUT", "agent/check/register", self._register_check),
            ("PUT", "agent/check/deregister/{id:.*}", self._deregister_check),
            ("PUT", "agent/check/pass/{id:.*}", self._feed(PASSING)),
            ("PUT", "agent/check/warn/{id:.*}", self._feed(WARNING)),
            ("PUT", "agent/check/fail/{id:.*}", self._feed(CRITICAL)),
            ("PUT", "agent/check/update/{id:.*}", self._update),
            ("GET", "agent/services", self._agent_services),
            ("GET", "agent/checks", self._agent_checks),
            ("GET", "agent/self", self._agent_self),
            ("GET", "health/service/{name:.*}", self._health_service),
            ("GET", "health/checks/{name:.*}", self._health_checks),
            ("GET", "health/state/{name:.*}", self._health_state),
            ("GET", "health/node/{name:.*}", self._health_node),
            ("GET", "catalog/services", self._catalog_services),
            ("GET", "catalog/service/{name:.*}", self._catalog_service),
            ("GET", "status/leader", self._leader),
        ]

    def _endpoint(self, method: str | None, handler: Handler) -> Handler:
        """One handler with what all have in common: who may ask, which method, how errors look."""

        async def endpoint(request: web.Request) -> web.Response:
            host, origin = request.headers.get("Host"), request.headers.get("Origin")
            if reason := refusal(host, origin, loopback=self._loopback):
                return _text(403, reason)
            if method is not None and request.method != method:
                allow = {"Allow": f"OPTIONS,{method}"}
                if request.method == "OPTIONS":
                    return web.Response(headers=allow)
                return _text(405, f"method {request.method} not allowed", allow)
            try:
                return await handler(request)
            except BadBody as error:
                return _text(400, str(error))
            except BadQuery as error:
                return _text(error.status, str(error))
            except TooManyWaiting:
                return _text(429, "too many blocking queries wait at this agent: share watches, or ask later")
            except JournalError as error:
                return _text(500, f"done, but it would not survive a restart: {error}")

        return endpoint

    # -- agent: what services say -------------------------------------------------------------

    async def _register(self, request: web.Request) -> web.Response:
        self._query(request)
        body = read_service(await _body(request))
        replace = request.query.get("replace-existing-checks") in ("", "true")
        return _answer(await self._live.register(body, replace_checks=replace), unknown_service=500)

    async def _deregister(self, request: web.Request) -> web.Response:
        if not (id := request.match_info["id"]):
            return _text(500, "ServiceID missing")
        await self._live.deregister(id)
        return web.Response()

    async def _maintenance(self, request: web.Request) -> web.Response:
        if not (id := request.match_info["id"]):
            return _text(400, "Missing service ID")
        if not (wanted := request.query.get("enable")):
            return _text(400, "Missing value for enable")
        if (enable := read_flag(wanted)) is None:
            return _text(400, f'Invalid value for enable: "{wanted[:64]}"')
        reason = request.query.get("reason", "")
        refused = await self._live.maintenance(id, enable=enable, reason=reason)
        return _answer(refused, unknown_service=404)

    async def _register_check(self, request: web.Request) -> web.Response:
        self._query(request)
        return _answer(await self._live.add_check(read_check(await _body(request))), unknown_service=500)

    async def _deregister_check(self, request: web.Request) -> web.Response:
        if not (id := request.match_info["id"]):
            return _text(500, "CheckID missing")
        await self._live.remove_check(id)
        return web.Response()

    def _feed(self, status: str) -> Handler:
        async def feed(request: web.Request) -> web.Response:
            note = request.query.get("note", "")
            return _answer(self._live.feed(request.match_info["id"], status, _cut(note)))

        return feed

    async def _update(self, request: web.Request) -> web.Response:
        status, output = read_update(await _body(request))
        return _answer(self._live.feed(request.match_info["id"], status, _cut(output)))

    async def _agent_services(self, request: web.Request) -> web.Response:
        return _json(answers.agent_services(self._catalog), self._query(request))

    async def _agent_checks(self, request: web.Request) -> web.Response:
        return _json(answers.agent_checks(self._catalog, self._node), self._query(request))

    async def _agent_self(self, request: web.Request) -> web.Response:
        return _json(answers.agent_self(self._catalog, self._node, self.address[1]), self._query(request))

    async def _leader(self, request: web.Request) -> web.Response:
        host, port = self.address
        return _json(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", self._query(request))

    # -- health and catalog: what watchers ask ------------------------------------------------

    async def _health_service(self, request: web.Request) -> web.Response:
        if not (name := request.match_info["name"]):
            return _text(400, "Missing service name")
        query = self._query(request)
        return await self._blocking(
            service_topic(name),
            query,
            lambda: answers.health_service(
                self._catalog, self._node, name, query.tags, passing=query.passing
            ),
        )

    async def _health_checks(self, request: web.Request) -> web.Response:
        if not (name := request.match_info["name"]):
            return _text(400, "Missing service name")
        return await self._blocking(
            service_topic(name),
            self._query(request),
            lambda: answers.health_checks(self._catalog, self._node, name),
        )

    async def _health_state(self, request: web.Request) -> web.Response:
        if not (name := request.match_info["name"]):
            return _text(400, "Missing check state")
        return await self._blocking(
            CHECKS, self._query(request), lambda: answers.health_state(self._catalog, self._node, name)
        )

    async def _health_node(self, request: web.Request) -> web.Response:
        if not (name := request.match_info["name"]):
            return _text(400, "Missing node name")
        return await self._blocking(
            CHECKS, self._query(request), lambda: answers.health_node(self._catalog, self._node, name)
        )

    async def _catalog_services(self, request: web.Request) -> web.Response:
        return await self._blocking(
            SERVICES, self._query(request), lambda: answers.catalog_services(self._catalog)
        )

    async def _catalog_service(self, request: web.Request) -> web.Response:
        if not (name := request.match_info["name"]):
            return _text(400, "Missing service name")
        query = self._query(request)
        return await self._blocking(
            instances_topic(name),
            query,
            lambda: answers.catalog_service(self._catalog, self._node, name, query.tags),
        )

    async def _blocking(self, topic: Topic, query: Query, read: Callable[[], Any]) -> web.Response:
        if query.index:
            await self._waiting.until_above(topic, query.index, query.patience_s(self._rng.random()))
        return _json(
            read(),
            query,
            {
                "X-Consul-Index": str(self._catalog.index_of(topic)),
                "X-Consul-KnownLeader": "true",
                "X-Consul-LastContact": "0",
                "X-Consul-Effective-Consistency": query.consistency,
            },
        )

    async def _not_found(self, request: web.Request) -> web.Response:
        return _text(404, f"{request.path[:128]}: the embedded agent has only a part of Consul's API")

    @property
    def _catalog(self) -> Catalog:
        return self._live.catalog

    def _query(self, request: web.Request) -> Query:
        return read_query(request.query.items(), self._node.datacenter)


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise BadQuery("the body did not arrive in time", 408) from None
    except web.HTTPRequestEntityTooLarge as error:
        raise BadQuery(f"Request body too large: {error.text}", 413) from None


def _answer(refused: Refused | None, *, unknown_service: int = 500) -> web.Response:
    if refused is None:
        return web.Response()
    match refused.reason:
        case "unknown_service" if unknown_service == 404:
            return _text(404, f'No service registered with ID "{refused.detail}"')
        case "unknown_service":
            return _text(500, f'ServiceID "{refused.detail}" does not exist')
        case "not_a_ttl_check":
            return _text(500, f'CheckID "{refused.detail}" does not have associated TTL')
        case _:
            return _text(503, refused.detail)


def _cut(output: str) -> str:
    """At most 4096 characters, and it says so, as Consul does."""
    if len(output) <= MAX_OUTPUT:
        return output
    return f"{output[:MAX_OUTPUT]} ... (captured {MAX_OUTPUT} of {len(output)} bytes)"


def _text(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=message, headers=headers)


def _json(value: Any, query: Query, headers: dict[str, str] | None = None) -> web.Response:
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2 if query.pretty else None)
    return web.Response(body=body, headers={"Content-Type": "application/json", **(headers or {})})


async def _without_server_name(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)
