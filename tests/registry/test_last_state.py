from registry.last_state import in_this_process, resumed, worth_saving
from registry.merge import Known, merge, nothing_known
from registry.model import Failed, Gone, Instance, InstanceId, Seen, ServiceName, Source, Update
from registry.snapshot_codec import Saved

WEB, OTHER, NEW = ServiceName("web"), ServiceName("other"), ServiceName("new")
UNIX = 1_800_000_000.0


def known(service: ServiceName, *updates: Update, at: float = 100.0) -> Known:
    found = nothing_known(service)
    for update in updates:
        found = merge(found, update, at)
    return found


def seen(service: ServiceName) -> Seen:
    return Seen((Instance(InstanceId("a"), service, "h", 80, "10.0.0.1"),))


def save(*services: Known, names_at: float | None = 100.0) -> Saved | None:
    every = {each.snapshot.service: each for each in services}
    return worth_saving(every, frozenset(every), names_at, {OTHER}, now=160.0, unix_now=UNIX)


def test_what_was_answered_is_saved_with_the_time_of_its_answer() -> None:
    saved = save(known(WEB, seen(WEB), Failed("unreachable", "")), known(OTHER, seen(OTHER)), known(NEW))
    assert saved is not None
    assert (set(saved.services), saved.names_at) == ({WEB}, UNIX - 60)
    assert saved.services[WEB].answered_at == UNIX - 60
    assert saved.names == {WEB, OTHER, NEW}


def test_nothing_worth_keeping_is_nothing() -> None:
    assert save() is None
    assert save(known(WEB)) is None
    assert save(known(WEB, Gone())) is None, "there is no such service"
    assert save(known(WEB, seen(WEB)), names_at=None) is None


def test_a_service_that_was_emptied_is_worth_remembering() -> None:
    saved = save(known(WEB, seen(WEB), Gone()))
    assert saved is not None
    assert saved.services[WEB].instances == ()


def test_the_next_run_knows_how_old_it_is() -> None:
    saved = save(known(WEB, seen(WEB)))
    assert saved is not None
    back = resumed(saved, (), now=5.0, unix_now=UNIX + 40)[WEB].snapshot
    assert (back.source, back.age_s(5.0), back.instances) == (Source.DISK, 100.0, seen(WEB).instances)
    assert resumed(saved, {WEB}, now=5.0, unix_now=UNIX) == {}


def test_a_clock_that_was_set_back_makes_nothing_younger_than_now() -> None:
    assert in_this_process(UNIX + 60, now=5.0, unix_now=UNIX) == 5.0
