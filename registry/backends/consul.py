"""Consul's agents, through py-consul with a corrected client.

The only file that knows Consul's wire format, besides the embedded agent that speaks it. Errors of
aiohttp and py-consul become `RegistryError` in one place, `_translated`.

What is corrected in py-consul's client, each measured: no limit of 100 connections (blocking queries
used them up), a deadline for every call, no deprecated TLS arguments, the explicit token before
`CONSUL_HTTP_TOKEN`, `stale` for health queries, no cookies, no redirects, and the header that tells
an empty answer from a forbidden one. Service names and ids never reach a path unchecked.

With several addresses, watches and registrations each keep to one that works (registry/failover.py).
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from random import Random
from typing import Any

import aiohttp
import consul.aio
import consul.base
import consul.exceptions
from yarl import URL

from registry.addresses import AddressPolicy, address_policy, is_loopback_host, split_address
from registry.admission import Candidate, admit, names_to_resolve
from registry.backends.base import Backend, BackendSettings, Registration
from registry.backends.shared.homeward import going_home
from registry.backends.shared.moving import MovingRegistrar
from registry.backends.shared.polling import Poller
from registry.backends.shared.resolver import Resolver
from registry.backends.shared.session import open_session, read_text, tls_context
from registry.backends.static import FixedFirst, read_fixed, speak_every_s
from registry.blocking import deadline_s
from registry.checks import CheckFacts, health_of, weigh
from registry.failover import HOME, AddressLedger
from registry.model import (
    FILTERED,
    NO_LEADER,
    BadAnswer,
    Denied,
    Failed,
    Gone,
    Health,
    InstanceId,
    NotRegistered,
    RegistryError,
    Seen,
    ServiceName,
    Unreachable,
    Update,
)
from registry.names import is_registrable_id, is_service_name

DEFAULT_PORT = 8500
FORGOTTEN = ("does not have associated TTL", "Unknown check", "Unknown service", "No service registered")
"""What Consul's versions say, with 500 or 404, of an instance they don't know."""
ITSELF = frozenset({ServiceName("consul")})
"""Consul lists its servers as a service; nobody is to be sent to them."""
CONNECT_S = 2.0
CALL_S = 5.0
"""The deadline of calls that do not block."""


@contextmanager
def _translated() -> Iterator[None]:
    """Everything that can go wrong on the way to Consul, as a `RegistryError`."""
    try:
        yield
    except (consul.exceptions.ACLPermissionDenied, consul.exceptions.ACLDisabled) as error:
        raise Denied(_short(error)) from error
    except consul.exceptions.ConsulException as error:
        text = _short(error)
        if any(words in text for words in FORGOTTEN):
            raise NotRegistered(text) from error
        if text.startswith(("5", "429")):
            raise Unreachable(f"consul answered {text}") from error
        raise BadAnswer(text) from error
    except TimeoutError as error:
        raise Unreachable("no answer in time") from error
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError) as error:
        raise Unreachable(_short(error)) from error
    except (aiohttp.ClientError, ValueError, RecursionError) as error:
        raise BadAnswer(_short(error)) from error


def _short(error: Exception) -> str:
    """py-consul puts whole answers into its messages."""
    return " ".join(str(error).split())[:200] or type(error).__name__


class _Http(consul.base.HTTPClient):  # type: ignore[misc]  # py-consul has no types
    """The transport below py-consul's API objects."""

    def __init__(self, url: URL, session: aiohttp.ClientSession, wait_s: float) -> None:
        host = f"[{url.host}]" if ":" in (url.host or "") else url.host
        super().__init__(host, url.port, url.scheme)
        self._session = session
        self._blocking_s = deadline_s(wait_s)

    def get(self, callback: Any, path: str, params: Any = None, headers: Any = None, **_: Any) -> Any:
        asked = list(params or ())
        if path.startswith("/v1/health/"):  # py-consul knows `stale` for the catalogue only
            asked.append(("stale", "1"))
        blocks = any(name == "index" for name, _value in asked)
        return self._request(callback, "GET", path, asked, headers, self._blocking_s if blocks else CALL_S)

    def put(
        self, callback: Any, path: str, params: Any = None, data: Any = "", headers: Any = None, **_: Any
    ) -> Any:
        return self._request(callback, "PUT", path, params, headers, CALL_S, data)

    def post(self, *_: Any, **__: Any) -> Any:
        raise TypeError("this client reads and registers, and does nothing else")

    delete = post

    async def _request(
        self,
        callback: Any,
        method: str,
        path: str,
        params: Any,
        headers: Any,
        total_s: float,
        data: Any = None,
    ) -> Any:
        async with self._session.request(
            method,
            URL(self.uri(path, params), encoded=True),
            headers=headers,
            data=data,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=total_s, connect=CONNECT_S),
        ) as answer:
            body = await read_text(answer)
        if 300 <= answer.status < 400:
            raise consul.exceptions.ConsulException(f"answer {answer.status}: an agent does not redirect")
        filtered = answer.headers.get("X-Consul-Results-Filtered-By-ACLs") == "true"
        if filtered and body.strip() in ("[]", "{}"):
            raise consul.exceptions.ACLPermissionDenied("the token may not read this: the answer was emptied")
        result = callback(consul.base.Response(answer.status, answer.headers, body))
        if not isinstance(result, tuple):
            return result
        # py-consul hands (index, data) on as it is: the third is for the readers below.
        without_leader = answer.headers.get("X-Consul-KnownLeader") == "false"
        return *result, FILTERED if filtered else NO_LEADER if without_leader else None

    async def close(self) -> None:
        await self._session.close()


class _Client(consul.aio.Consul):  # type: ignore[misc]  # py-consul has no types
    """py-consul over `_Http`."""

    def __init__(self, http: _Http, token: str) -> None:
        self._http = http
        super().__init__(http.host, http.port, scheme=http.scheme, consistency="stale")
        if token:  # py-consul prefers the environment to what it is told
            self.token = token

    def http_connect(self, *_: Any, **__: Any) -> _Http:
        return self._http


class ConsulWatch:
    """A `Watch` by blocking queries; one client for each address."""

    def __init__(
        self,
        clients: Sequence[Any],
        poller: Poller,
        resolver: Resolver,
        policy: AddressPolicy,
        wait_s: float,
    ) -> None:
        self._clients = clients
        self._poller = poller
        self._resolver = resolver
        self._policy = policy
        self._wait = _duration(wait_s)

    @property
    def index_resets(self) -> int:
        return self._poller.index_resets

    @property
    def failovers(self) -> int:
        return self._poller.failovers

    def watch(self, service: ServiceName) -> AsyncGenerator[Update, None]:
        if not is_service_name(service):
            raise ValueError(f"{service!r} is no service name")
        return self._poller.poll(partial(self._read_service, service))

    def watch_names(self) -> AsyncGenerator[frozenset[ServiceName] | Failed, None]:
        return self._poller.poll(self._read_names)

    async def _read_service(
        self, service: ServiceName, address: int, index: int | None
    ) -> tuple[int, Update]:
        with _translated():
            health = self._clients[address].health
            answer = await health.service(service, index=index, wait=self._wait)
            answered, entries, note = int(answer[0]), answer[1], answer[2]
        if not isinstance(entries, list):
            raise BadAnswer("the list of instances is no list")
        if not entries:
            return answered, Gone(note)
        candidates = [_candidate(entry) for entry in entries]
        resolved = await self._resolver.resolve(names_to_resolve(candidates, self._policy))
        seen = admit(service, candidates, resolved, self._policy)
        return answered, Seen(seen.instances, seen.quarantined, note)

    async def _read_names(self, address: int, index: int | None) -> tuple[int, frozenset[ServiceName]]:
        with _translated():
            catalog = self._clients[address].catalog
            answer = await catalog.services(index=index, wait=self._wait)
            answered, services = int(answer[0]), answer[1]
        if not isinstance(services, dict):
            raise BadAnswer("the catalogue is no object")
        return answered, frozenset(filter(is_service_name, services)) - ITSELF


def _candidate(entry: object) -> Candidate:
    """One element of a health answer; what it lacks is left for `admit` to refuse."""
    whole = _object(entry)
    node, service = _object(whole.get("Node")), _object(whole.get("Service"))
    weights = _object(service.get("Weights"))
    health, weight = weigh(
        health_of(_checks(whole.get("Checks"))), weights.get("Passing"), weights.get("Warning")
    )
    return Candidate(
        id=service.get("ID"),
        host=service.get("Address") or node.get("Address"),
        port=service.get("Port"),
        health=health,
        weight=weight,
        tags=service.get("Tags"),
        meta=service.get("Meta"),
        node=str(node.get("Node", "")),
        zone=_object(node.get("Meta")).get("zone", ""),
    )


def _checks(raw: object) -> Sequence[CheckFacts]:
    """A check that can't be read is there, and not passing."""
    found = raw if isinstance(raw, list) else [raw]
    return [CheckFacts(str(_object(c).get("CheckID")), str(_object(c).get("Status"))) for c in found]


def _object(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else {}


class ConsulRegistrar:
    """A `Registrar` at an agent. A service's one check has the id Consul gives it: `service:<id>`."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._without_ttl: set[InstanceId] = set()

    async def register(self, registration: Registration) -> None:
        instance = _for_a_path(registration.id)
        _must_be(is_service_name(registration.service), f"{registration.service!r} is no service name")
        _must_be(1 <= registration.port <= 65535, f"port {registration.port} is not in 1 to 65535")
        with _translated():
            taken = await self._client.agent.service.register(
                registration.service,
                service_id=instance,
                address=registration.address,
                port=registration.port,
                tags=list(registration.tags),
                meta=dict(registration.meta),
                weights={"Passing": registration.weight, "Warning": max(1, registration.weight // 2)},
                check=_check(registration),
            )
        _must_be(taken, "the agent did not take the registration")
        if registration.check_http is not None:
            self._without_ttl.add(instance)
        else:  # an agent that knew the instance keeps its check's old state, so it is fed at once
            self._without_ttl.discard(instance)
            await self.heartbeat(instance, Health.PASSING)

    async def deregister(self, instance: InstanceId) -> None:
        try:
            with _translated():
                await self._client.agent.service.deregister(_for_a_path(instance))
        except NotRegistered:
            pass
        self._without_ttl.discard(instance)

    async def heartbeat(self, instance: InstanceId, health: Health, note: str = "") -> None:
        """Without a TTL there is nothing to feed; it still asks whether the agent knows the instance."""
        with _translated():
            if instance in self._without_ttl:
                known = instance in _object(await self._client.agent.services())
            else:
                check = self._client.agent.check
                feeds = {Health.PASSING: check.ttl_pass, Health.WARNING: check.ttl_warn}
                feed = feeds.get(health, check.ttl_fail)
                known = await feed(f"service:{_for_a_path(instance)}", notes=note)
        if not known:
            raise NotRegistered(f"the agent does not know {instance}")

    async def maintenance(self, instance: InstanceId, *, enable: bool, reason: str = "") -> None:
        with _translated():
            switch = "true" if enable else "false"
            known = await self._client.agent.service.maintenance(_for_a_path(instance), switch, reason)
        if not known:
            raise NotRegistered(f"the agent does not know {instance}")


def _for_a_path(instance: InstanceId) -> InstanceId:
    _must_be(is_registrable_id(instance), f"{instance!r} can't be an instance id")
    return instance


def _must_be(right: bool, otherwise: str) -> None:
    if not right:
        raise BadAnswer(otherwise)


def _check(registration: Registration) -> dict[str, str]:
    check = {
        "CheckID": f"service:{registration.id}",
        "Name": f"Service '{registration.service}' check",
        "DeregisterCriticalServiceAfter": _duration(registration.deregister_after_s),
    }
    if registration.check_http is not None:
        asked = {"HTTP": registration.check_http, "Interval": _duration(registration.interval_s)}
        return check | asked | {"Timeout": _duration(registration.timeout_s)}
    _must_be(registration.ttl_s is not None, "a registration has a TTL or an HTTP check")
    return check | {"TTL": _duration(registration.ttl_s or 0.0), "Status": "passing"}


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


@asynccontextmanager
async def open_backend(settings: BackendSettings) -> AsyncGenerator[Backend, None]:
    """Watches and registers at the agents of the settings' addresses, which need not be up yet."""
    local = all(is_loopback_host(host) for host, _ in read_addresses(settings))
    async with open_at(settings, loopback=local) as backend:
        yield backend


def read_addresses(settings: BackendSettings) -> Sequence[tuple[str, int]]:
    """The agents' hosts and ports, each once. Raises `RegistryError` that says how to write them."""
    written = [("registry.address", settings.address)]
    written += [("registry.fallback_addresses", text) for text in settings.fallback_addresses]
    found = []
    for key, text in written:
        try:
            found.append(split_address(text, DEFAULT_PORT))
        except ValueError as error:
            raise RegistryError(f"{key}: {error}") from None
    return list(dict.fromkeys(found))


@asynccontextmanager
async def open_at(settings: BackendSettings, *, loopback: bool) -> AsyncGenerator[Backend, None]:
    """As `open_backend`, told whether registrations of loopback addresses mean this machine."""
    agents = read_addresses(settings)
    if not settings.token.isprintable() or not settings.token.isascii():
        raise RegistryError("registry.token: holds a character that no token has; is there a line end?")
    try:
        urls = [URL.build(scheme=settings.scheme, host=host, port=port) for host, port in agents]
        policy = address_policy(settings.allowed_networks, loopback=loopback, registries=agents)
        tls = await asyncio.to_thread(tls_context, settings) if settings.scheme == "https" else None
    except (ValueError, OSError) as error:
        raise RegistryError(f"registry: {error}") from error
    fixed = read_fixed(settings.static)
    async with AsyncExitStack() as stack:
        resolver = await stack.enter_async_context(Resolver())
        watching, controlling = [
            [_Client(_Http(url, session, settings.wait_s), settings.token) for url in urls]
            for session in [await stack.enter_async_context(open_session(tls)) for _ in range(2)]
        ]  # so that a registration never queues behind long polls
        watched_at, registered_at = AddressLedger(len(urls)), AddressLedger(len(urls))
        if len(urls) > 1:
            both = [watched_at, registered_at]
            await stack.enter_async_context(going_home(both, partial(_leads, controlling[HOME]), Random()))
        poller = Poller(Random(), watched_at)
        behind = ConsulWatch(watching, poller, resolver, policy, settings.wait_s)
        watch = FixedFirst(fixed, resolver, behind, every_s=speak_every_s(settings))
        registrar = MovingRegistrar([ConsulRegistrar(client) for client in controlling], registered_at)
        yield Backend(watch, registrar, watch.follow)


async def _leads(client: Any) -> bool:
    """Whether that agent answers, and knows a leader."""
    with _translated():
        return bool(await client.status.leader())
