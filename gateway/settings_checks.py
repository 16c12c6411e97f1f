"""What concerns two sections of the settings: names that must exist, secrets that something needs.

Rules of this file: each check takes the sections it needs and says nothing where one of them is not
valid itself, so a file with a wrong port and a route to nowhere gets told of both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from balancer.headers import guarded_names
from gateway.patterns import Pattern, parse_pattern
from gateway.routes import LOCAL_PATHS, Match, RouteTable
from gateway.settings_document import Problem
from gateway.settings_handlers import HandlersSettings
from gateway.settings_identity import IdentitySettings
from gateway.settings_model import ListenSettings, StoreSettings
from gateway.settings_registry import RegistrySettings
from gateway.settings_routes import RouteSettings
from gateway.settings_services import ServiceSettings
from gateway.settings_telemetry import DocsSettings, HealthSettings
from gateway.settings_types import did_you_mean
from gateway.token_keys import key_problem

DOCS = frozenset({"/docs", "/openapi.json"})
DOCS_FILES = "/docs/"
"""Below it is what the page is made of. Without docs these paths are the routes' to have."""


@dataclass(frozen=True, slots=True)
class Draft:
    """The valid parts of settings; what is `None`, or not in a mapping, has problems of its own."""

    listen: ListenSettings | None = None
    registry: RegistrySettings | None = None
    store: StoreSettings | None = None
    identity: IdentitySettings | None = None
    handlers: HandlersSettings | None = None
    """Also `None` where the operator wants no pool."""
    service_names: frozenset[str] = frozenset()
    """Also those whose settings are not valid."""
    services: Mapping[str, ServiceSettings] = field(default_factory=dict)
    routes: Mapping[int, RouteSettings] = field(default_factory=dict)
    """By their place in the list."""
    zone: str | None = None
    health: HealthSettings | None = None
    docs: DocsSettings | None = None


def cross_problems(draft: Draft) -> Iterator[Problem]:
    """Every problem between the sections, in the order of the settings."""
    yield from _registry_problems(draft)
    yield from _identity_problems(draft)
    yield from _service_problems(draft)
    yield from _route_problems(draft)
    yield from _redirect_problems(draft)
    yield from _handler_problems(draft)
    yield from _health_problems(draft)


def _registry_problems(draft: Draft) -> Iterator[Problem]:
    if draft.registry is None:
        return
    if draft.registry.backend == "embedded" and draft.listen:
        if draft.listen.handover is not None:
            fix = "needs registry.backend: consul or static; the embedded registry ends with its gateway"
            yield Problem("listen.handover", fix)
        host, _, port = draft.registry.address.rpartition(":")
        if 0 != int(port) == draft.listen.port and _overlap(host, draft.listen.host):
            yield Problem("registry.address", "is where the gateway itself listens: give it another port")
    if draft.registry.backend == "static":
        yield from _static_problems(draft)


def _overlap(one: str, other: str) -> bool:
    """Whether the same port on both hosts would be the same port."""
    return one == other or bool({"0.0.0.0", "::", "[::]"} & {one, other})


def _static_problems(draft: Draft) -> Iterator[Problem]:
    fix = "set instances: registry.backend is static, so no registry knows it"
    for name, service in draft.services.items():
        if not service.instances:
            yield Problem(f"services.{name}.instances", fix)
    for key, name in (draft.handlers.service_keys() if draft.handlers else {}).items():
        if name not in draft.service_names:
            yield Problem(key, f"services.{name} must list its instances: registry.backend is static")


def _identity_problems(draft: Draft) -> Iterator[Problem]:
    identity = draft.identity
    if identity is None:
        return
    if identity.mode == "introspect":
        yield from _unknown_service(draft, "identity.introspection.service", identity.introspection.service)
    if identity.public_key and (problem := key_problem(identity.algorithms, identity.public_key)):
        yield Problem("identity.public_key", problem)
    carrying = guarded_names(identity.claim_headers)
    for number, route in draft.routes.items():
        if taken := [name for name in route.set_headers if guarded_names([name]) & carrying]:
            fix = f"{taken[0]} carries a claim (identity.claim_headers): one of the two must go"
            yield Problem(f"routes[{number}].set_headers", fix)
    who = [f"routes[{n}] ({route.path})" for n, route in draft.routes.items() if route.access == "user"]
    who += ["the handlers pool"] if draft.handlers else []
    if who and not identity.has_key:
        if identity.symmetric:
            key, fix = "secret", "set JWT_SECRET, or this key, to at least 32 bytes"
        else:
            key, fix = "public_key", "set this key, public_key_file or jwks_url, to the issuer's public key"
        # Who wants no handlers has written nothing of them: they are there unless the file says otherwise.
        fix += "; without WebSocket handlers say `handlers: null`" if draft.handlers else ""
        needed = f"{_listed(who)} {'needs' if len(who) == 1 else 'need'} it to check tokens"
        yield Problem(f"identity.{key}", f"is not set, but {needed}: {fix}")


def _listed(names: list[str]) -> str:
    shown = names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _service_problems(draft: Draft) -> Iterator[Problem]:
    users = {
        name
        for route in draft.routes.values()
        if route.access == "user"
        for name in route.service_keys().values()
    }
    zone_room = ServiceSettings().zone_room
    for name, service in draft.services.items():
        if service.hash.by == "uid" and name not in users:
            yield Problem(
                f"services.{name}.hash.by",
                "is uid, and no route to this service knows who its user is: "
                "set access: user on one, or by: address, header or cookie",
            )
        if draft.zone == "" and service.zone_room != zone_room:
            fix = "has no effect without a zone: set `zone`, beside `services`, to where this gateway is"
            yield Problem(f"services.{name}.zone_room", fix)


def _route_problems(draft: Draft) -> Iterator[Problem]:
    taken: dict[tuple[tuple[str | None, ...], str], int] = {}
    for number, route in draft.routes.items():
        for key, name in route.service_keys().items():
            yield from _unknown_service(draft, f"routes[{number}].{key}", name)
        for key, name in route.tag_keys().items():
            if name in draft.services and draft.services[name].instances:
                fix = f"services.{name} lists its instances, and those have no tags: let them be registered"
                yield Problem(f"routes[{number}].{key}", fix)
        if _is_ours(draft, route.path):
            yield Problem(f"routes[{number}].path", f"{route.path} is an endpoint of the gateway itself")
        pattern = parse_pattern(route.path)
        assert isinstance(pattern, Pattern), "the path is valid"
        first = {taken.setdefault((pattern.shape, method), number) for method in route.methods} - {number}
        if first:
            yield Problem(
                f"routes[{number}]", f"routes[{min(first)}] has the same path and one of its methods already"
            )


def _redirect_problems(draft: Draft) -> Iterator[Problem]:
    leading = [number for number, route in draft.routes.items() if _leads_on_here(route)]
    table = RouteTable(list(draft.routes.values())) if leading else None
    for number in leading:
        if table is not None and _comes_back(draft.routes[number], table):
            yield Problem(f"routes[{number}].redirect.to", "leads back to the route itself, again and again")


def _leads_on_here(route: RouteSettings) -> bool:
    return route.redirect is not None and not route.redirect.origin


def _comes_back(route: RouteSettings, table: RouteTable) -> bool:
    """Whether a client that follows redirects from here never gets anywhere, tried with an unlikely path."""
    pattern = parse_pattern(route.path)
    assert isinstance(pattern, Pattern), "the path is valid"
    path = pattern.fill(["~"] * len(pattern.names), ["~"])
    passed: list[RouteSettings] = []
    while isinstance(found := table.resolve(route.methods[0], path), Match):
        if not _leads_on_here(found.route):
            return False
        if any(found.route is one for one in passed):
            return found.route is route
        passed.append(found.route)
        path = found.upstream_path
    return False


def _is_ours(draft: Draft, path: str) -> bool:
    """Whether the gateway answers that path itself, so that a route for it would never be used."""
    if path in DOCS or path.startswith(DOCS_FILES):
        return draft.docs is None or draft.docs.enabled
    return path in LOCAL_PATHS or (draft.health is not None and path in draft.health.aliases)


def _health_problems(draft: Draft) -> Iterator[Problem]:
    aliases = draft.health.aliases if draft.health else ()
    for number, path in enumerate(aliases):
        if path in LOCAL_PATHS or path.startswith(DOCS_FILES):
            yield Problem(f"health.aliases[{number}]", f"{path} is another endpoint of the gateway itself")
    for name in draft.health.probes if draft.health else ():
        if name in draft.service_names:
            yield Problem(f"health.probes.{name}", "is a service's name too, and /health shows one of a name")


def _unknown_service(draft: Draft, key: str, name: str) -> Iterator[Problem]:
    if name not in draft.service_names:
        yield Problem(key, f"there is no service {name!r}; {did_you_mean(name, draft.service_names)}")


def _handler_problems(draft: Draft) -> Iterator[Problem]:
    if draft.handlers and draft.store and draft.store.shared and not draft.handlers.secret:
        yield Problem(
            "handlers.secret",
            f"is not set, but gateways that share the {draft.store.backend} store must sign tickets alike: "
            "set HANDLER_SECRET, or this key, to at least 32 bytes",
        )
