import json
from typing import Any

import pytest

from registry.agent.decode import BadBody
from registry.agent.definitions import (
    CheckDefinition,
    ServiceDefinition,
    maintenance_check,
    read_check,
    read_service,
    read_update,
)


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def refused(read: Any, data: bytes) -> str:
    with pytest.raises(BadBody) as caught:
        read(data)
    return str(caught.value)


def test_a_name_is_enough() -> None:
    read = read_service(body(Name="web"))
    assert read.service == ServiceDefinition(id="web", name="web")
    assert read.checks == ()


def test_everything_a_service_may_say() -> None:
    read = read_service(
        body(
            ID="web-1",
            Name="web",
            Port=80,
            Address="10.0.0.1",
            Tags=["a", "b"],
            Meta={"k": "v"},
            TaggedAddresses={"lan": {"address": "10.0.0.9", "port": 1}},
            Weights={"Passing": 5, "Warning": 0},
            EnableTagOverride=True,
            Token="t",
            Kind="",
        )
    )
    assert read.service == ServiceDefinition(
        id="web-1",
        name="web",
        port=80,
        address="10.0.0.1",
        tags=("a", "b"),
        meta={"k": "v"},
        tagged_addresses={"lan": ("10.0.0.9", 1), "lan_ipv4": ("10.0.0.1", 80), "wan_ipv4": ("10.0.0.1", 80)},
        passing_weight=5,
        warning_weight=0,
        enable_tag_override=True,
    )


def test_the_names_of_py_consul() -> None:
    read = read_service(
        body(name="web", id="w", enabletagoverride=True, check={"http": "http://x/", "interval": "5s"})
    )
    assert read.service.id == "w"
    assert read.service.enable_tag_override
    assert read.checks[0].target == "http://x/"


def test_an_ipv6_address_and_a_name_as_address() -> None:
    assert set(read_service(body(Name="x", Address="fe80::1")).service.tagged_addresses) == {
        "lan_ipv6",
        "wan_ipv6",
    }
    assert read_service(body(Name="x", Address="db.internal")).service.tagged_addresses == {}


@pytest.mark.parametrize("fields", [{}, {"ID": "x"}, {"Name": ""}])
def test_a_service_needs_a_name(fields: dict[str, Any]) -> None:
    assert refused(read_service, body(**fields)) == "Missing service name"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"Address": "0.0.0.0"}, "Invalid service address"),
        ({"Address": "[::]"}, "Invalid service address"),
        ({"Weights": {"Passing": 0}}, "Invalid Weights: Passing must be greater than 0"),
        ({"Weights": {"Warning": 2}}, "Invalid Weights: Passing must be greater than 0"),
        (
            {"Weights": {"Passing": 1, "Warning": -1}},
            "Invalid Weights: Warning must be greater or equal than 0",
        ),
        ({"Weights": {"Passing": 65536}}, "Invalid Weights: DNS Weight must be between 0 and 65535"),
        ({"Connect": {"Native": True}}, "Connect is not supported by the embedded agent"),
        ({"Namespace": "x"}, "Namespace is not supported by the embedded agent"),
        (
            {"Meta": {"a b": "1"}},
            "Invalid Service Meta: Couldn't load metadata pair ('a b', '1'): Key contains invalid characters",
        ),
        (
            {"Check": {"TTL": "1s", "Status": "odd"}},
            "Status for checks must 'passing', 'warning', 'critical'",
        ),
        ({"Check": {"TTL": "1s", "CheckID": "serfHealth"}}, "is the node's own"),
        ({"Check": {"TTL": "1s", "ID": "x"}}, 'json: unknown field "ID"'),
    ],
)
def test_bad_services_are_named(fields: dict[str, Any], message: str) -> None:
    assert message in refused(read_service, body(Name="x", **fields))


@pytest.mark.parametrize(
    "nothing", [{"Connect": {}}, {"Check": {}}, {"Check": {"TTL": "0s"}}, {"Check": None}]
)
def test_what_says_nothing_is_accepted(nothing: dict[str, Any]) -> None:
    assert read_service(body(Name="x", **nothing)).checks == ()


def test_check_ids_are_numbered_only_when_there_are_several() -> None:
    one = read_service(body(Name="web", Checks=[{"TTL": "1s"}])).checks
    assert [c.id for c in one] == ["service:web"]
    several = read_service(
        body(Name="web", Check={"TTL": "1s"}, Checks=[{"TTL": "2s", "CheckID": "mine"}, {"TTL": "3s"}])
    ).checks
    assert [c.id for c in several] == ["service:web:1", "mine", "service:web:3"]
    assert {c.name for c in several} == {"Service 'web' check"}
    assert {c.service_id for c in several} == {"web"}


@pytest.mark.parametrize(
    ("check", "kind", "target"),
    [
        ({"TTL": "15s"}, "ttl", ""),
        ({"HTTP": "http://x/", "Interval": "1s"}, "http", "http://x/"),
        ({"TCP": "x:1", "Interval": "1s"}, "tcp", "x:1"),
        ({"TCP": "x:1", "HTTP": "http://x", "Interval": "1s"}, "http", "http://x"),
    ],
)
def test_the_kinds_of_checks(check: dict[str, Any], kind: str, target: str) -> None:
    read = read_check(body(Name="c", **check))
    assert (read.kind, read.target, read.status, read.service_id) == (kind, target, "critical", "")


def test_everything_a_check_may_say() -> None:
    read = read_check(
        body(
            ID="c-1",
            Name="c",
            ServiceID="web",
            Notes="n",
            Status="passing",
            HTTP="https://x/",
            Method="POST",
            Header={"X": ["1"]},
            Body="b",
            TLSSkipVerify=True,
            Interval="2s",
            Timeout="500ms",
            DeregisterCriticalServiceAfter="1m30s",
            SuccessBeforePassing=2,
            FailuresBeforeCritical=3,
            OutputMaxSize=10,
        )
    )
    assert read == CheckDefinition(
        id="c-1",
        name="c",
        kind="http",
        service_id="web",
        notes="n",
        status="passing",
        target="https://x/",
        interval_s=2.0,
        timeout_s=0.5,
        method="POST",
        headers={"X": ("1",)},
        body="b",
        skip_tls_verify=True,
        deregister_after_s=90.0,
        success_before_passing=2,
        failures_before_critical=3,
        output_max=10,
    )


def test_the_snake_case_names() -> None:
    read = read_check(body(Name="c", TTL="1s", service_id="w", deregister_critical_service_after="3m"))
    assert (read.service_id, read.deregister_after_s) == ("w", 180.0)


def test_a_timeout_is_bounded_and_has_a_default() -> None:
    assert read_check(body(Name="c", TCP="x:1", Interval="1s")).timeout_s == 10.0
    assert read_check(body(Name="c", TCP="x:1", Interval="1s", Timeout="-1s")).timeout_s == 10.0
    assert read_check(body(Name="c", TCP="x:1", Interval="1s", Timeout="5h")).timeout_s == 60.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"TTL": "15s"}, "Missing check name"),
        ({"Name": "c"}, "Invalid check: TTL must be > 0 for TTL checks"),
        ({"Name": "c", "TTL": "-1s"}, "Invalid check: TTL must be > 0 for TTL checks"),
        (
            {"Name": "c", "HTTP": "http://x"},
            "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
        ),
        (
            {"Name": "c", "TTL": "1s", "Interval": "1s"},
            "Invalid check: Interval and TTL cannot both be specified",
        ),
        ({"Name": "c", "TTL": "1s", "Status": "odd"}, "Bad check status"),
        ({"Name": "c", "TTL": "zz"}, 'Request decode failed: time: invalid duration "zz"'),
        ({"Name": "c", "Args": ["true"], "Interval": "1s"}, "Args is not supported by the embedded agent"),
        ({"Name": "c", "GRPC": "x:1", "Interval": "1s"}, "GRPC is not supported by the embedded agent"),
        ({"Name": "c", "CheckID": "x", "TTL": "1s"}, 'Request decode failed: json: unknown field "CheckID"'),
        ({"Name": "serfHealth", "TTL": "1s"}, "is the node's own"),
    ],
)
def test_bad_checks_are_named(fields: dict[str, Any], message: str) -> None:
    assert message in refused(read_check, body(**fields))


def test_an_update() -> None:
    assert read_update(body(Status="warning", Output="o")) == ("warning", "o")
    assert read_update(body(status="passing")) == ("passing", "")
    assert refused(read_update, body()) == "Invalid check status: ''"
    assert refused(read_update, body(Status="odd")) == "Invalid check status: 'odd'"


def test_maintenance_is_a_critical_check() -> None:
    check = maintenance_check(ServiceDefinition("web-1", "web"), "")
    assert (check.id, check.status, check.kind) == ("_service_maintenance:web-1", "critical", "maintenance")
    assert "no reason was provided" in check.notes
    assert maintenance_check(ServiceDefinition("web-1", "web"), "upgrade").notes == "upgrade"
