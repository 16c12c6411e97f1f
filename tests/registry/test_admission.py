import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.addresses import address_policy
from registry.admission import Candidate, admit, names_to_resolve
from registry.model import Health, Instance, Quarantined, Seen, ServiceName

WEB = ServiceName("web")
LOCAL = address_policy((), loopback=True)
GOOD = Candidate("good", "10.0.0.1", 80)


def judge(*candidates: Candidate, resolved: Mapping[str, Sequence[str]] | None = None) -> Seen:
    return admit(WEB, candidates, resolved or {}, LOCAL)


def only(seen: Seen) -> Instance:
    (instance,) = seen.instances
    assert seen.quarantined == ()
    return instance


def reason(seen: Seen) -> str:
    (left_out,) = seen.quarantined
    assert isinstance(left_out, Quarantined)
    assert left_out.detail
    return left_out.reason


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (Candidate("x", "10.0.0.2", 0), "bad_port"),
        (Candidate("x", "10.0.0.2", -1), "bad_port"),
        (Candidate("x", "10.0.0.2", 99999), "bad_port"),
        (Candidate("x", "10.0.0.2", "80"), "bad_port"),
        (Candidate("x", "10.0.0.2", True), "bad_port"),
        (Candidate("x", "10.0.0.2", None), "bad_port"),
        (Candidate("x", "", 80), "bad_address"),
        (Candidate("x", None, 80), "bad_address"),
        (Candidate("x", "127.1", 80), "bad_address"),
        (Candidate("x", "0x7f000001", 80), "bad_address"),
        (Candidate("x", "evil.example/..", 80), "bad_address"),
        (Candidate("x", "169.254.169.254", 80), "not_allowed"),
        (Candidate("x", "0.0.0.0", 80), "not_allowed"),
        (Candidate("x", "nowhere.invalid", 80), "unresolvable"),
        (Candidate("", "10.0.0.2", 80), "bad_id"),
        (Candidate("a\x00b", "10.0.0.2", 80), "bad_id"),
        (Candidate("x" * 256, "10.0.0.2", 80), "bad_id"),
        (Candidate(["x"], "10.0.0.2", 80), "bad_id"),
        (Candidate("x", "10.0.0.2", 80, meta=["a"]), "bad_meta"),
        (Candidate("x", "10.0.0.2", 80, meta={"a": 1}), "bad_meta"),
        (Candidate("x", "10.0.0.2", 80, meta={"a": "v" * 513}), "bad_meta"),
        (Candidate("x", "10.0.0.2", 80, meta={"a": "x\r\nSet-Cookie: b"}), "bad_meta"),
        (Candidate("x", "10.0.0.2", 80, meta={str(n): "" for n in range(65)}), "bad_meta"),
        (Candidate("x", "10.0.0.2", 80, meta={"scheme": "javascript"}), "bad_meta"),
    ],
)
def test_one_bad_registration_is_left_out_alone_with_its_reason(bad: Candidate, expected: str) -> None:
    seen = judge(bad, GOOD)
    assert [i.id for i in seen.instances] == ["good"]
    assert reason(seen) == expected


def test_a_good_one_is_taken_over_whole() -> None:
    instance = only(
        judge(Candidate("a", "10.0.0.1", 80, weight=7, tags=["v1"], meta={"incarnation": "99", "zone": "b"}))
    )
    assert (instance.id, instance.host, instance.ip, instance.port, instance.weight) == (
        "a", "10.0.0.1", "10.0.0.1", 80, 7,
    )  # fmt: skip
    assert instance.tags == ("v1",)
    assert instance.meta == {"incarnation": "99", "zone": "b"}
    assert instance.key == ("a", "99")


@pytest.mark.parametrize(
    ("meta", "node_zone", "zone"),
    [
        ({"zone": "b"}, "a", "b"),
        ({}, "a", "a"),
        ({"zone": ""}, "a", "a"),
        ({}, "", ""),
        ({}, None, ""),
        ({}, ["a"], ""),
        ({}, "a\n", ""),
        ({}, "a" * 600, ""),
    ],
)
def test_its_zone_is_its_own_or_else_its_nodes(meta: dict[str, str], node_zone: object, zone: str) -> None:
    assert only(judge(Candidate("a", "10.0.0.1", 80, meta=meta, zone=node_zone))).zone == zone


@pytest.mark.parametrize(
    ("first", "second", "counts"),
    [
        (Health.CRITICAL, Health.PASSING, Health.PASSING),
        (Health.PASSING, Health.CRITICAL, Health.PASSING),
        (Health.WARNING, Health.CRITICAL, Health.WARNING),
        (Health.PASSING, Health.MAINTENANCE, Health.MAINTENANCE),
    ],
)
def test_of_two_registrations_of_one_process_the_operators_counts_or_else_the_better(
    first: Health, second: Health, counts: Health
) -> None:
    seen = judge(
        Candidate("a", "10.0.0.1", 80, health=first, node="n1"),
        Candidate("a", "10.0.0.1", 80, health=second, node="n2"),
    )
    assert [(i.id, i.health) for i in seen.instances] == [("a", counts)]
    assert reason(seen) == "duplicate"


def test_names_are_judged_by_what_they_resolve_to() -> None:
    candidate = Candidate("a", "auth.internal", 80)
    assert names_to_resolve([candidate, GOOD, Candidate("b", 7, 80)], LOCAL) == {"auth.internal"}
    instance = only(judge(candidate, resolved={"auth.internal": ["10.0.0.9"]}))
    assert (instance.host, instance.ip) == ("auth.internal", "10.0.0.9")
    assert reason(judge(candidate, resolved={"auth.internal": ["169.254.169.254"]})) == "not_allowed"
    assert reason(judge(candidate, resolved={"auth.internal": ["::ffff:169.254.169.254"]})) == "not_allowed"
    mixed = judge(candidate, resolved={"auth.internal": ["169.254.169.254", "fe80::1%eth0", "10.0.0.9"]})
    assert only(mixed).ip == "10.0.0.9"


def test_the_registry_itself_is_no_instance() -> None:
    local = address_policy((), loopback=True, registries=[("127.0.0.1", 8500)])
    remote = address_policy((), loopback=False, registries=[("10.7.7.7", 8500), ("consul.internal", 8500)])
    assert names_to_resolve([], local) == frozenset()
    assert names_to_resolve([], remote) == {"consul.internal"}
    resolved = {"consul.internal": ["10.0.0.5"], "sly.internal": ["10.0.0.5"]}
    for policy, host in (
        (local, "127.0.0.1"), (local, "127.9.9.9"), (local, "::1"), (local, "::ffff:127.0.0.1"),
        (remote, "10.0.0.5"), (remote, "consul.internal"), (remote, "sly.internal"),
    ):  # fmt: skip
        assert reason(admit(WEB, [Candidate("x", host, 8500)], resolved, policy)) == "not_allowed"
        assert admit(WEB, [Candidate("x", host, 8501)], resolved, policy).instances
    assert admit(WEB, [Candidate("x", "10.0.0.6", 8500)], resolved, remote).instances


def test_an_ipv4_address_in_an_ipv6_coat_is_stored_as_what_it_means() -> None:
    assert only(judge(Candidate("a", "::ffff:127.0.0.1", 80))).host == "127.0.0.1"


def test_the_same_id_on_two_nodes_is_two_instances() -> None:
    """Consul's ids default to the service's name: on a cluster every node then uses the same one."""
    seen = judge(Candidate("web", "10.0.0.2", 80, node="n2"), Candidate("web", "10.0.0.1", 80, node="n1"))
    assert {i.id: i.host for i in seen.instances} == {"web": "10.0.0.1", "web@n2": "10.0.0.2"}


@pytest.mark.parametrize("node", ["a\r\nb", "\ud800", "n" * 256])
def test_the_name_of_a_node_that_is_none_gets_into_no_id(node: str) -> None:
    """An id stands in headers, logs and JSON."""
    seen = judge(Candidate("web", "10.0.0.1", 80), Candidate("web", "10.0.0.2", 80, node=node))
    assert [i.id for i in seen.instances] == ["web"]
    assert reason(seen) == "bad_id"


def test_the_same_process_registered_on_two_nodes_is_one_instance() -> None:
    seen = judge(Candidate("web", "10.0.0.1", 80, node="n1"), Candidate("web", "10.0.0.1", 80, node="n2"))
    assert [i.id for i in seen.instances] == ["web"]
    assert reason(seen) == "duplicate"
    thrice = judge(*(Candidate("web", f"10.0.0.{n}", 80, node="n1") for n in (1, 2, 3)))
    assert len(thrice.instances) == 2
    assert reason(thrice) == "duplicate"


def test_hostile_tags_are_dropped_and_the_instance_stays() -> None:
    assert only(judge(Candidate("a", "10.0.0.1", 80, tags=["ok", "x" * 5000, 7, "a\nb"]))).tags == ("ok",)
    assert only(judge(Candidate("a", "10.0.0.1", 80, tags="weight=nan"))).tags == ()
    assert only(judge(Candidate("a", "10.0.0.1", 80, meta=None, tags=None))).meta == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.lists(
        st.builds(Candidate, json_values, json_values, json_values, tags=json_values, meta=json_values),
        max_size=5,
    )
)
def test_whatever_is_registered_the_good_one_is_taken(garbage: list[Candidate]) -> None:
    seen = judge(*garbage, GOOD)
    assert "good" in {i.id for i in seen.instances}
    assert len(seen.instances) + len(seen.quarantined) == len(garbage) + 1
    for left_out in seen.quarantined:
        assert json.dumps(left_out.id).isascii()
        assert len(left_out.detail) < 400
