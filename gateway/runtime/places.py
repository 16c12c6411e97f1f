"""Where a request line leads: to an answer that is known already, to an endpoint, or to a route.

Nothing here depends on who asks, so what was found is remembered. The gateway's own endpoints come before
every route.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Literal, NamedTuple

from gateway.allowed_hosts import AllowedHosts
from gateway.errors import GatewayError, Reason, gateway_error
from gateway.identity import Required, required
from gateway.limits import LimitPlan, plan_of
from gateway.lookalikes import Lookalikes
from gateway.queries import QueryChanges
from gateway.routes import Match, MethodNotAllowed, NoRoute, RouteTable
from gateway.runtime.choices import Choice, choice_of
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.exchange import NO_ROUTE, NOWHERE
from gateway.runtime.prepared import Prepared, prepare
from gateway.runtime.reply import Reply, redirect_reply, respond_reply
from gateway.settings import RouteSettings, Settings
from gateway.target import CARRIED, BadTarget, Target, read_target

REMEMBERED = 2048
REMEMBERED_LENGTH = 512
"""Characters of target and `Host`. Longer ones are looked up every time: 1 MiB of them is kept at most."""

Access = Literal["public", "user", "internal"]


@dataclass(frozen=True, slots=True)
class Place:
    target: Target
    name: str = NO_ROUTE
    """The path of the route or endpoint, as in the settings."""
    end: Reply | GatewayError | None = None
    """The answer, whoever asks."""
    access: Access = "public"
    limits: LimitPlan | None = None
    """What requests count against; `None` if against nothing."""
    endpoint: Endpoint | None = None
    route: RouteSettings | None = None
    prepared: Prepared | None = None
    """Of the route, by the method; `None` where no service is called."""
    choice: Choice | None = None
    """Says what is prepared, where that is not the same for all requests."""
    reply: Reply | None = None
    """The answer for everybody who may: of a route that answers itself."""
    upstream_target: str = ""
    require: Required | None = None
    """What users must have besides a good token."""
    revokes: bool = False
    """The caller's token is good no more after an answer below 400."""


class _Way(NamedTuple):
    """What is the same for all requests of a route by a method."""

    place: Place
    """But for its target."""
    query: QueryChanges | None


class Places:
    """All places of a gateway. Never changes; new settings make a new one."""

    def __init__(self, settings: Settings, endpoints: Iterable[Endpoint]) -> None:
        self._settings = settings
        self._routes = RouteTable(settings.routes)
        self._lookalikes = Lookalikes(settings.routes)
        self._ways: dict[tuple[str, str], _Way] = {}
        self._rng = Random()
        endpoints = list(endpoints)
        self._endpoints = {endpoint.path: endpoint for endpoint in endpoints if not endpoint.prefix}
        prefixes = (endpoint for endpoint in endpoints if endpoint.prefix)
        self._prefixes = sorted(prefixes, key=lambda endpoint: len(endpoint.path), reverse=True)
        allowed = settings.listen.allowed_hosts
        self._hosts = AllowedHosts(allowed) if allowed else None
        self._limits = plan_of(settings.limits, None)
        self._route_limits = {id(route): plan_of(settings.limits, route) for route in settings.routes}
        self._remembered = lru_cache(REMEMBERED)(self._look_up)

    def find(
        self, method: str, raw: str, version: tuple[int, int], hosts: Sequence[str]
    ) -> Place | BadTarget:
        """The place of a request line and its `Host` headers, as `read_target` takes them."""
        if len(hosts) == 1 and len(raw) + len(hosts[0]) <= REMEMBERED_LENGTH:
            return self._remembered(method, raw, version, hosts[0])
        return self._look_up(method, raw, version, *hosts)

    def _look_up(self, method: str, raw: str, version: tuple[int, int], *hosts: str) -> Place | BadTarget:
        target = read_target(method, raw, version, hosts)
        if isinstance(target, BadTarget):
            return target
        if self._hosts is not None and not self._hosts.allows(target.host):
            return Place(target, end=gateway_error(Reason.UNKNOWN_HOST))
        if target.asks_for_the_server:
            return Place(target, end=Reply(204, b"", (("Allow", ", ".join(CARRIED)),)))
        path = target.path
        endpoint = self._endpoints.get(path) or next(
            (prefix for prefix in self._prefixes if path.startswith(prefix.path)), None
        )
        if endpoint is None:
            return self._on_a_route(method, target)
        end = None
        if method not in endpoint.allowed:
            end = gateway_error(Reason.METHOD_NOT_ALLOWED, allow=endpoint.allowed)
        limits = self._limits if endpoint.limited else None
        return Place(target, endpoint.path, end, endpoint.access, limits, endpoint)

    def _on_a_route(self, method: str, target: Target) -> Place | BadTarget:
        match self._routes.resolve(method, target.path):
            case NoRoute():
                return Place(target, end=gateway_error(Reason.NO_ROUTE))
            case MethodNotAllowed(allow):
                return Place(target, end=gateway_error(Reason.METHOD_NOT_ALLOWED, allow=allow))
            case Match() as found:
                if self._lookalikes.may_pass_for_another(method, target.path, found.route):
                    return BadTarget.BAD_PATH
                way = self._way(found.route, method)
                if found.route.redirect is not None:
                    reply = redirect_reply(found.route.redirect, found.upstream_path, target.query)
                    return replace(way.place, target=target, reply=reply)
                query = target.query if way.query is None else way.query.of(target.query)
                return replace(way.place, target=target, upstream_target=found.upstream_target(query))

    def _way(self, route: RouteSettings, method: str) -> "_Way":
        # The methods are the route's own: as many as the settings name.
        key = (route.path, method)
        if key not in self._ways:
            self._ways[key] = self._make_way(route, method)
        return self._ways[key]

    def _make_way(self, route: RouteSettings, method: str) -> "_Way":
        place = Place(
            NOWHERE,
            route.path,
            access=route.access,
            limits=self._route_limits[id(route)],
            route=route,
            require=required(route.require.roles, route.require.scopes),
            revokes=route.revoke_token,
            prepared=None if route.service is None else prepare(self._settings, route, method),
            choice=choice_of(self._settings, route, method, self._rng),
            reply=None if route.respond is None else respond_reply(route.respond),
        )
        changed = route.set_query or route.remove_query
        query = QueryChanges(frozenset(route.remove_query), route.set_query) if changed else None
        return _Way(place, query)

    def __repr__(self) -> str:
        return f"<Places: {len(self._endpoints)} endpoints, {len(self._settings.routes)} routes>"
