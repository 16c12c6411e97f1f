from dataclasses import replace
from math import inf

from balancer.record import Record
from balancer.records import Records
from balancer.slow_start import HICCUP_S
from registry.model import Health, Instance, InstanceId, ServiceName


def instance(name: str, incarnation: str = "1", health: Health = Health.PASSING) -> Instance:
    return Instance(InstanceId(name), ServiceName("s"), "h", 1, "127.0.0.1", health, incarnation=incarnation)


A, B, C = (instance(name) for name in "abc")
CRITICAL = instance("b", health=Health.CRITICAL)


def new(records: Records, of: Instance) -> bool:
    return records.of(of).new_at > -inf


def test_a_record_is_of_a_process_and_not_of_its_name() -> None:
    records = Records()
    records.follow([A], 0)
    before = records.of(A)
    assert records.of(replace(A, weight=5)) is before
    assert records.of(instance("a", "2")) is not before


def test_the_first_view_has_no_newcomers_and_later_ones_do() -> None:
    records = Records()
    records.follow([], 0)
    records.follow([A, B], 1)
    assert not new(records, A)
    records.follow([A, B, C], 2)
    assert records.of(C).new_at == 2
    assert not new(records, A)


def test_who_was_away_for_a_moment_is_not_new() -> None:
    records = Records()
    records.follow([A, B, C], 0)
    records.follow([A, CRITICAL], 10)
    records.follow([A, B, C], 10 + HICCUP_S)
    assert not new(records, B)
    assert not new(records, C)


def test_who_was_away_for_longer_is() -> None:
    records = Records()
    records.follow([A, B, C], 0)
    records.follow([A, CRITICAL], 10)
    records.follow([A, B, C], 11 + HICCUP_S)
    assert new(records, B)
    assert new(records, C)


def test_who_registers_before_it_is_healthy_is_new_when_it_is() -> None:
    records = Records()
    records.follow([A], 0)
    records.follow([A, CRITICAL], 5)
    records.follow([A, B], 8)
    assert records.of(B).new_at == 8


def test_what_can_be_used_is_counted() -> None:
    records = Records()
    records.follow([A, CRITICAL, C], 0)
    assert records.usable == 2
    assert [records.of(i).usable for i in (A, CRITICAL, C)] == [True, False, True]
    assert [records.of(i).here for i in (A, CRITICAL, C)] == [True, True, True]


def test_ids_that_come_and_go_are_forgotten() -> None:
    records = Records(max_departed=50)
    for n in range(10_000):
        records.follow([A, instance(f"i{n}"), instance(f"i{n + 1}")], n / 1000)
        assert len(records) <= 53
    records.follow([A], 11)
    records.follow([A], 12 + HICCUP_S)
    assert len(records) == 1


def test_those_that_no_view_ever_held_are_bounded_too() -> None:
    records = Records(max_departed=50)
    records.follow([A], 0)
    kept = records.of(A)
    for n in range(1000):
        records.of(instance(f"i{n}"))
    assert len(records) == 51
    assert kept in records
    assert Record(A) not in records
