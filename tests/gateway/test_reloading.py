"""What a running gateway takes of new settings, and what it says of its reloads."""

import pytest

from gateway.reloading import ReloadLedger, taken_over
from tests.gateway.runtime.gateways import settings_of

HANDLERS = {"service": "chat", "secret": "a secret of the handlers' tests, long enough"}


def test_equal_settings_come_in_without_a_word() -> None:
    taken = taken_over(settings_of(), settings_of())
    assert (taken.settings, taken.not_applied, taken.problems) == (settings_of(), (), ())


def test_what_concerns_requests_is_taken() -> None:
    sections = {
        "listen": {"port": 8000, "drain_s": 1, "max_connections": 5},
        "limits": {"per_user": 3},
        "cors": {"origins": ["https://chat.example"]},
        "logging": {"level": "warning"},
        "handout_ttl_s": 3,
        "zone": "b",
    }
    wanted = settings_of(**sections)
    taken = taken_over(settings_of(listen={"port": 8000}), wanted)
    assert (taken.settings, taken.not_applied) == (wanted, ())


@pytest.mark.parametrize(
    ("section", "before", "after", "named"),
    [
        ("listen", {"port": 8001}, {"port": 8002}, ["listen.port"]),
        ("listen", {"host": "127.0.0.1"}, {"host": "0.0.0.0"}, ["listen.host"]),
        ("registry", {"wait_s": 5}, {"wait_s": 6, "suspect_s": 1}, ["registry.wait_s", "registry.suspect_s"]),
        ("store", {}, {"url": "redis://127.0.0.1:1/0"}, ["store.url"]),
        ("logging", {"format": "json"}, {"format": "console"}, ["logging.format"]),
    ],
)
def test_what_needs_a_restart_keeps_its_value_and_is_named(
    section: str, before: dict[str, object], after: dict[str, object], named: list[str]
) -> None:
    running = settings_of(**{section: before})
    taken = taken_over(running, settings_of(**{section: after}))
    assert set(taken.not_applied) == set(named)
    assert getattr(taken.settings, section) == getattr(running, section)


def test_the_other_keys_of_such_a_section_are_taken() -> None:
    running = settings_of(listen={"port": 8001, "drain_s": 1})
    taken = taken_over(running, settings_of(listen={"port": 8002, "drain_s": 2}))
    assert (taken.settings.listen.port, taken.settings.listen.drain_s) == (8001, 2)


def test_pools_of_handlers_come_and_go_with_a_restart_only() -> None:
    registry = {"backend": "consul"}
    without, with_one = settings_of(registry=registry), settings_of(registry=registry, handlers=HANDLERS)
    assert taken_over(without, with_one).not_applied == ("handlers",)
    assert taken_over(with_one, without).settings.handlers == with_one.handlers


def test_fixed_addresses_are_taken() -> None:
    wanted = settings_of(services={"auth": {"instances": ["http://127.0.0.1:1"], "max_attempts": 5}})
    taken = taken_over(settings_of(), wanted)
    assert (taken.settings, taken.not_applied) == (wanted, ())


def test_what_does_not_fit_to_the_kept_is_a_problem() -> None:
    """A registry would know where `more` is, but the one in use knows what the settings say."""
    wanted = settings_of(services={"more": {}}, registry={"backend": "consul"})
    taken = taken_over(settings_of(), wanted)
    assert [problem.key for problem in taken.problems] == ["services.more.instances"]


def test_the_ledger_tells_what_is_in_force_and_why_the_newest_is_not() -> None:
    ledger = ReloadLedger("first")
    ledger.refused("listen.port: no")
    assert ledger.body() == {"loaded_at": "first", "error": "listen.port: no", "not_applied": []}
    ledger.applied("second", ("store.url",))
    assert ledger.body() == {"loaded_at": "second", "error": None, "not_applied": ["store.url"]}
    ledger.applied("third", ())
    assert ledger.body() == {"loaded_at": "third", "error": None, "not_applied": []}
    assert ledger.counts == {"refused": 1, "partly": 1, "applied": 1}
