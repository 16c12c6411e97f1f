"""Virtual time does things in their order."""

from functools import partial

from tests.handlers.fleet.virtual import VirtualTime


def test_actions_come_in_order_of_time_then_of_planning() -> None:
    time = VirtualTime()
    done: list[tuple[str, float]] = []

    def note(name: str) -> None:
        done.append((name, time.now))

    time.at(2.0, partial(note, "late"))
    time.at(1.0, partial(note, "first"))
    time.at(1.0, partial(note, "second"))
    time.at(0.5, lambda: time.after(0.5, partial(note, "planned while it runs")))
    time.run(1.5)
    assert [name for name, _ in done] == ["first", "second", "planned while it runs"]
    assert time.now == 1.5
    time.run(3.0)
    assert done[-1] == ("late", 2.0)


def test_nothing_happens_in_the_past() -> None:
    time = VirtualTime(now=10.0)
    seen: list[float] = []
    time.at(1.0, lambda: seen.append(time.now))
    time.run(10.0)
    assert seen == [10.0]
