"""What is known of a route's calls before any request has come."""

from dataclasses import dataclass

from balancer.headers import guarded_names
from balancer.model import CallPolicy, Subset
from balancer.policy import HashPolicy
from gateway.cache_plans import plan_of
from gateway.caching import Plan
from gateway.cors import OURS
from gateway.hash_keys import RENDEZVOUS
from gateway.settings import RouteSettings, Settings
from gateway.shaping import AnswerShaping, PublicPath, answer_shaping, public_path

CORS = frozenset(name.encode() for name in OURS)
"""Where the settings say what pages may read, instances don't."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What does not depend on the request."""

    policy: CallPolicy
    body_limit: int
    """Bytes that a request's body may have."""
    kept_body: int = 0
    """Bytes of a request body that are kept for another try."""
    set_headers: tuple[tuple[bytes, bytes], ...] = ()
    remove_headers: frozenset[bytes] = frozenset()
    """In lower case: those that are set, too, for the sake of their twins with underscores, and those that
    carry claims, also where nobody is asked who they are."""
    pass_host: bool = True
    hashing: HashPolicy | None = None
    """What callers are recognised by; `None` where it makes no difference."""
    answer_shaping: AnswerShaping | None = None
    """For every answer that goes out as an instance's, also one that was kept."""
    public_path: PublicPath | None = None
    """Where clients find what is at some path of the instances; `None` where it is the same path."""
    version: str | None = None
    """Of the API, or the subset's tag: answers of two versions are two answers."""
    cache: Plan | None = None
    """`None` where no cache has to do with the answers."""


def prepare(
    settings: Settings,
    route: RouteSettings,
    method: str,
    *,
    service: str | None = None,
    subset: Subset | None = None,
    version: str | None = None,
) -> Prepared:
    """What can be known of requests by that method on that route, which has a service.

    They go to `service` where one is given, else to the route's own, and to that subset of it.
    """
    name = service or route.service
    assert name is not None, "the settings have seen to it"
    called = settings.services[name]
    policy = settings.policy(route, method, name, subset)
    return Prepared(
        policy=policy,
        body_limit=settings.body_limit(route),
        kept_body=called.retry_buffer_bytes,
        set_headers=tuple(route.header_pairs()),
        remove_headers=guarded_names(
            (*route.remove_headers, *route.set_headers, *settings.identity.claim_headers)
        ),
        pass_host=route.pass_host,
        hashing=called.hash.policy() if called.strategy == RENDEZVOUS else None,
        answer_shaping=answer_shaping(route, CORS if settings.cors.origins else frozenset()),
        public_path=public_path(route),
        version=version,
        cache=plan_of(settings, route, method, policy, version),
    )
