from registry.model import (
    Health,
    Instance,
    InstanceId,
    Quarantined,
    ServiceName,
    Source,
    Status,
    Verdict,
    snapshot,
)
from registry.stats import service_stats

WEB = ServiceName("web")


def test_a_snapshot_is_counted_by_health_and_by_reason() -> None:
    def one(name: str, health: Health, *, suspect: bool = False) -> Instance:
        return Instance(InstanceId(name), WEB, "h", 80, "10.0.0.1", health=health, suspect=suspect)

    stats = service_stats(
        snapshot(
            WEB,
            Status.KNOWN,
            instances=(
                one("a", Health.PASSING),
                one("b", Health.PASSING, suspect=True),
                one("c", Health.CRITICAL),
            ),
            quarantined=(Quarantined("x", WEB, "bad_port", "-1"), Quarantined("y", WEB, "bad_port", "0")),
            answered_at=10.0,
            failure="denied",
        ),
        now=12.5,
    )
    assert stats.instances == {
        Health.PASSING: 2, Health.WARNING: 0, Health.CRITICAL: 1, Health.MAINTENANCE: 0,
    }  # fmt: skip
    assert (stats.suspects, stats.quarantined) == (1, {"bad_port": 2})
    assert (stats.age_s, stats.failure, stats.status) == (2.5, "denied", Status.KNOWN)


def test_what_our_own_checks_say_is_counted_beside() -> None:
    def one(name: str, verdict: Verdict) -> Instance:
        return Instance(InstanceId(name), WEB, "h", 80, "10.0.0.1", verdict=verdict)

    instances = (one("a", Verdict.UP), one("b", Verdict.UP), one("c", Verdict.DOWN))
    taken = snapshot(WEB, Status.KNOWN, instances=instances, source=Source.DISK, note="no_leader")
    stats = service_stats(taken, 0.0, {"timeout": 3})
    assert stats.verdicts == {Verdict.UP: 2, Verdict.DOWN: 1, Verdict.UNCHECKED: 0}
    assert (stats.source, stats.note, stats.checks_failed) == ("disk", "no_leader", {"timeout": 3})
