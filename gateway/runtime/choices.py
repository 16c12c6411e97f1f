"""What is chosen anew for each request of a route: the version of an API, or the side of a split service."""

from collections.abc import Callable
from random import Random

from multidict import istr

from balancer.model import Subset
from gateway.errors import GatewayError, Reason, gateway_error
from gateway.runtime.exchange import Exchange
from gateway.runtime.prepared import Prepared, prepare
from gateway.settings import RouteSettings, Settings
from gateway.settings_shaping import SubsetSettings, VersionsSettings
from gateway.subsets import Split, salt_of
from gateway.versions import Versions

Choice = Callable[[Exchange], Prepared | GatewayError]

NO_SUCH_VERSION = gateway_error(Reason.UNKNOWN_VERSION)


def choice_of(settings: Settings, route: RouteSettings, method: str, rng: Random) -> Choice | None:
    """The route's, if there is something to choose by that method."""
    if route.versions is not None:
        return _by_version(settings, route, method, route.versions)
    if route.subset is not None:
        return _by_side(settings, route, method, route.subset, rng)
    return None


def _by_version(settings: Settings, route: RouteSettings, method: str, versions: VersionsSettings) -> Choice:
    known = {
        name: prepare(
            settings,
            route,
            method,
            service=where.service,
            subset=None if where.tag is None else Subset(where.tag),
            version=name,
        )
        for name, where in versions.to.items()
    }
    default = prepare(settings, route, method) if versions.default is None else known[versions.default]
    table = Versions(istr(versions.header), known, default)

    def choose(exchange: Exchange) -> Prepared | GatewayError:
        return table.wanted(exchange.request.headers) or NO_SUCH_VERSION

    return choose


def _by_side(
    settings: Settings, route: RouteSettings, method: str, subset: SubsetSettings, rng: Random
) -> Choice:
    def to(side: Subset) -> Prepared:
        version = side.tag if side.inside else None
        return prepare(settings, route, method, subset=side, version=version)

    tag, weight = subset.tag, subset.weight
    # All or nothing is meant; a share of the calls is a wish, and there are good instances on both sides.
    shared = 0 < weight < 100
    inside, outside = (to(Subset(tag, inside, or_others=shared)) for inside in (True, False))
    if subset.header is None and not shared:
        only = inside if weight else outside
        return lambda _: only
    assert route.service is not None, "the settings have seen to it"
    split = Split(
        asked=to(Subset(tag)),
        inside=inside,
        outside=outside,
        weight=weight,
        header=None if subset.header is None else istr(subset.header),
        value=subset.value,
        salt=salt_of(route.service, tag),
        rng=None if subset.sticky else rng,
    )

    def choose(exchange: Exchange) -> Prepared:
        user = exchange.user
        user_id = None if user is None else user.id
        return split.side(exchange.request.headers, user_id, exchange.client.address)

    return choose
