"""Where a probe's URL leads, and what its answers come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.health_probes import DOWN_AFTER, Found, ProbeState, read_probe_url
from gateway.probes import PORTS, PROBES, SCHEMES

BAD = [found for found in Found if found not in (Found.UP, Found.NOT_ASKED)]


@pytest.mark.parametrize(
    ("url", "kind", "place", "tls", "path"),
    [
        ("tcp://broker:9092", "tcp", ("broker", 9092), False, ""),
        ("http://web", "http", ("web", 80), False, "/"),
        ("https://web/up?deep=1", "http", ("web", 443), True, "/up?deep=1"),
        ("redis://cache/0", "redis", ("cache", 6379), False, "0"),
        ("rediss://[::1]:7000", "redis", ("::1", 7000), True, ""),
        ("postgresql://db/shop", "postgres", ("db", 5432), False, "shop"),
        ("postgresql+asyncpg://db:6000/a%20b?sslmode=require", "postgres", ("db", 6000), False, "a b"),
    ],
)
def test_a_url_is_taken_apart(url: str, kind: str, place: tuple[str, int], tls: bool, path: str) -> None:
    found = read_probe_url(url)
    assert (found.kind, (found.host, found.port), found.tls, found.path) == (kind, place, tls, path)


def test_user_and_password_are_decoded_and_the_password_is_not_shown() -> None:
    found = read_probe_url("rediss://a%40b:canary%2F@cache?ssl_ca_certs=/etc/ca-canary.pem")
    assert (found.user, found.password, found.ca_file) == ("a@b", "canary/", "/etc/ca-canary.pem")
    assert "canary" not in repr(found)


def test_every_scheme_leads_to_a_probe() -> None:
    assert set(SCHEMES.values()) <= PROBES.keys()
    assert PORTS.keys() <= PROBES.keys() | SCHEMES.keys()


NEW = ProbeState("db", "postgres")


def test_the_first_answer_counts_whatever_it_is() -> None:
    assert NEW.up is None
    assert NEW.after(Found.UP, 0.1, 1.0).up is True
    assert NEW.after(Found.TIMEOUT, 2.0, 1.0).up is False


@pytest.mark.parametrize("bad", BAD)
def test_one_bad_answer_is_not_believed_and_the_second_is(bad: Found) -> None:
    up = NEW.after(Found.UP, 0.1, 1.0)
    once = up.after(bad, 0.2, 2.0)
    assert (once.up, once.found, once.seconds, once.asked_at) == (True, bad, 0.2, 2.0)
    assert once.after(bad, 0.2, 3.0).up is False
    assert once.after(Found.UP, 0.1, 3.0).after(bad, 0.2, 4.0).up is True


def test_one_good_answer_is_believed() -> None:
    down = NEW.after(Found.UNREACHABLE, 0.1, 1.0).after(Found.UNREACHABLE, 0.1, 2.0)
    assert down.after(Found.UP, 0.1, 3.0).up is True


def test_what_could_not_be_asked_says_nothing() -> None:
    up = NEW.after(Found.UP, 0.1, 1.0)
    assert up.after(Found.NOT_ASKED, 9.0, 2.0) == up


@given(st.lists(st.sampled_from(Found)), st.floats(0, 1))
def test_it_is_up_only_after_a_good_answer_that_fewer_bad_ones_followed(
    answers: list[Found], chance: float
) -> None:
    state = NEW
    for found in answers:
        state = state.after(found, 0.1, 1.0)
        assert 0 <= state.pause_s(10, chance) <= 11
    told = [found for found in answers if found is not Found.NOT_ASKED]
    bad_at_the_end = next((n for n, found in enumerate(reversed(told)) if found is Found.UP), None)
    expected = None if not told else bad_at_the_end is not None and bad_at_the_end < DOWN_AFTER
    assert state.up is expected


def test_what_is_in_doubt_is_asked_again_soon() -> None:
    up = NEW.after(Found.UP, 0.1, 1.0)
    assert 9 <= up.pause_s(10, 0.5) <= 11
    assert up.after(Found.TIMEOUT, 2.0, 2.0).pause_s(10, 0.5) <= 1.1
    assert up.after(Found.TIMEOUT, 2.0, 2.0).pause_s(0.5, 0.5) == 0.5
    assert NEW.pause_s(10, 1.0) <= 0.5


def test_what_operators_see() -> None:
    assert NEW.body(5.0) == {
        "kind": "postgres", "status": "unknown", "required": False, "found": None, "response_time": None,
        "age_s": None,
    }  # fmt: skip
    down = NEW.after(Found.DENIED, 0.25, 3.0).body(5.0)
    assert (down["status"], down["found"], down["response_time"], down["age_s"]) == (
        "down",
        "denied",
        0.25,
        2.0,
    )
