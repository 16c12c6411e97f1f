import dataclasses

import pytest

from registry.model import Health, Instance, InstanceId, ServiceName, Status, snapshot

WEB = ServiceName("web")


def instance(name: str = "a", **more: object) -> Instance:
    one = Instance(InstanceId(name), WEB, "10.0.0.1", 80, "10.0.0.1")
    return dataclasses.replace(one, **more)  # type: ignore[arg-type]  # each test's own fields


def test_only_passing_and_warning_serve() -> None:
    assert [h for h in Health if h.usable] == [Health.PASSING, Health.WARNING]


def test_two_processes_with_the_same_id_are_told_apart() -> None:
    assert instance().key == ("a", "10.0.0.1:80")
    assert instance(incarnation="17").key == ("a", "17")
    assert instance(incarnation="17").key != instance(incarnation="18").key


def test_what_changes_about_a_process_does_not_change_what_its_counters_belong_to() -> None:
    assert instance(health=Health.WARNING, weight=9, suspect=True).key == instance().key


def test_urls() -> None:
    assert instance().url == "http://10.0.0.1:80"
    assert instance(host="::1", meta={"scheme": "https"}).url == "https://[::1]:80"


def test_a_snapshot_never_shows_instances_without_what_follows_from_them() -> None:
    up, down = instance("up"), instance("down", health=Health.CRITICAL)
    kept = instance("kept", suspect=True)
    taken = snapshot(WEB, Status.KNOWN, instances=(up, down, kept))
    assert taken.usable == (up, kept)
    with pytest.raises(dataclasses.FrozenInstanceError):
        taken.version = 7  # type: ignore[misc]  # that it can't be done is the test


def test_the_age_is_that_of_the_last_answer() -> None:
    assert snapshot(WEB, Status.UNREACHABLE).age_s(5.0) is None
    assert snapshot(WEB, Status.KNOWN, answered_at=3.0).age_s(5.0) == 2.0
    assert snapshot(WEB, Status.KNOWN, answered_at=6.0).age_s(5.0) == 0.0
