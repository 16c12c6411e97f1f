from collections import Counter

import structlog

from registry.model import Failed, ServiceName
from registry.runtime.known_names import KnownNames

WEB, OTHER = ServiceName("web"), ServiceName("other")
DOWN = Failed("unreachable", "nobody answers")


def test_a_failure_takes_no_name_away_and_is_said_once() -> None:
    failures, changes = Counter[str](), list[int]()
    names = KnownNames(failures, lambda: 7.0, lambda: changes.append(1))
    with structlog.testing.capture_logs() as logs:
        names.take(DOWN)
        assert names.told.is_set()
        names.take(frozenset({WEB}))
        names.take(DOWN)
        names.take(DOWN)
    assert (names.known, names.answered_at, names.failure) == (frozenset({WEB}), 7.0, "unreachable")
    assert failures == {"unreachable": 3}
    assert [line["event"] for line in logs] == ["names_failed"] * 2


def test_only_other_names_are_a_change() -> None:
    changes = list[int]()
    names = KnownNames(Counter(), lambda: 7.0, lambda: changes.append(1))
    for news in ({WEB}, {WEB}, {WEB, OTHER}):
        names.take(frozenset(news))
    assert len(changes) == 2


def test_the_names_of_the_last_run_are_known_and_nobody_was_told_yet() -> None:
    names = KnownNames(Counter(), lambda: 7.0, lambda: None)
    names.resume(frozenset({WEB}), -30.0)
    assert (names.known, names.answered_at) == (frozenset({WEB}), -30.0)
    assert not names.told.is_set()
