from typing import Any

from balancer.model import Subset
from balancer.policy import HashPolicy
from gateway.runtime.prepared import Prepared, prepare
from gateway.settings import RouteSettings, Settings

SERVICES = {
    "shop": {"retry_buffer_bytes": 5},
    "old-shop": {"strategy": "rendezvous", "max_attempts": 2, "timeouts": {"total_s": 7}},
}


def prepared(route: dict[str, Any], method: str = "GET", **more: Any) -> Prepared:
    whole = {"path": "/a/*", "service": "shop", "access": "public", **route}
    settings = Settings.model_validate({"services": SERVICES, "routes": [whole], "handlers": None})
    return prepare(settings, RouteSettings.model_validate(whole), method, **more)


def test_what_a_route_says_is_ready_for_its_requests() -> None:
    plain = prepared({})
    assert (plain.policy.service, plain.policy.subset, plain.version) == ("shop", None, None)
    assert (plain.kept_body, plain.body_limit) == (5, 10 << 20)
    assert (plain.hashing, plain.answer_shaping, plain.public_path) == (None, None, None)
    shaped = prepared(
        {
            "strip_prefix": "/a",
            "set_headers": {"X_Env": "test"},
            "remove_headers": ["Cookie"],
            "max_body_bytes": 9,
            "answer": {"remove_headers": ["X-Powered-By"]},
        }
    )
    assert shaped.set_headers == ((b"X_Env", b"test"),)
    assert shaped.remove_headers == {b"x_env", b"x-env", b"cookie"}, "also what a client may write instead"
    assert shaped.body_limit == 9
    assert shaped.answer_shaping is not None
    assert shaped.public_path is not None


def test_another_service_brings_its_own_ways() -> None:
    other = prepared({}, service="old-shop", subset=Subset("v1"), version="1")
    policy = other.policy
    assert (policy.service, policy.max_attempts, policy.timeouts.total_s) == ("old-shop", 2, 7)
    assert (policy.subset, other.version) == (Subset("v1"), "1")
    assert other.hashing == HashPolicy()
    assert other.kept_body != 5
