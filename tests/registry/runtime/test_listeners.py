import structlog

from registry.model import Instance, InstanceId, Quarantined, ServiceName, ServiceSnapshot, Status, snapshot
from registry.runtime.listeners import Listeners

WEB, OTHER = ServiceName("web"), ServiceName("other")
ONE = Instance(InstanceId("a"), WEB, "h", 80, "10.0.0.1")
BEFORE = snapshot(WEB, Status.UNREACHABLE)


def test_everybody_who_listens_hears_and_nobody_else() -> None:
    listeners, heard = Listeners(), list[ServiceSnapshot]()
    listeners.add(WEB, heard.append)
    listeners.add(WEB, heard.append)
    listeners.add(OTHER, lambda _: heard.clear())
    after = snapshot(WEB, Status.KNOWN, version=1, instances=(ONE,))
    listeners.tell(BEFORE, after)
    assert heard == [after, after]
    assert WEB in listeners
    assert ServiceName("third") not in listeners


def test_one_that_fails_does_not_keep_the_news_from_the_others() -> None:
    listeners, heard = Listeners(), list[ServiceSnapshot]()

    def fails(_: ServiceSnapshot) -> None:
        raise ZeroDivisionError

    listeners.add(WEB, fails)
    listeners.add(WEB, heard.append)
    with structlog.testing.capture_logs() as logs:
        listeners.tell(BEFORE, BEFORE)
    assert heard == [BEFORE]
    assert [line["event"] for line in logs] == ["listener_failed"]


def events(before: ServiceSnapshot, after: ServiceSnapshot) -> list[str]:
    with structlog.testing.capture_logs() as logs:
        Listeners().tell(before, after)
    return [line["event"] for line in logs]


def test_what_is_logged() -> None:
    known = snapshot(WEB, Status.KNOWN, version=1, instances=(ONE,))
    left_out = Quarantined("x", WEB, "bad_port", "port -1")
    worse = snapshot(WEB, Status.KNOWN, version=2, quarantined=(left_out,))
    assert events(BEFORE, known) == ["service_changed"]
    assert events(known, worse) == ["instance_quarantined", "service_changed"]
    failing = snapshot(WEB, Status.KNOWN, instances=known.instances, failure="denied")
    assert events(known, failing) == []
    assert events(failing, known) == ["watch_recovered"]
    noted = snapshot(WEB, Status.KNOWN, instances=known.instances, note="no_leader")
    assert events(known, noted) == ["registry_noted"]
    assert events(noted, noted) == []
