from hypothesis import given
from hypothesis import strategies as st

from registry.agent.index import CHECKS, SERVICES, Indexes, Topic, instances_topic, service_topic

NAMES = ["a", "b", "c"]
TOPICS = [SERVICES, CHECKS, *map(service_topic, NAMES), *map(instances_topic, NAMES)]

step = st.tuples(
    st.sampled_from(["instance", "gone", "check", "node"]),
    st.sampled_from(NAMES),
)


def concerned(kind: str, name: str, existing: set[str]) -> set[Topic]:
    if kind == "check":
        return {CHECKS, service_topic(name)}
    if kind == "node":
        return {CHECKS, *map(service_topic, existing)}
    return {SERVICES, service_topic(name), instances_topic(name)}


def apply(indexes: Indexes, kind: str, name: str) -> None:
    match kind:
        case "instance":
            indexes.instance_changed(name)
        case "gone":
            indexes.service_gone(name)
        case "check":
            indexes.check_changed(name)
        case _:
            indexes.check_changed(None)


@given(st.lists(step, max_size=40))
def test_exactly_the_topics_of_a_change_move_and_only_forward(steps: list[tuple[str, str]]) -> None:
    indexes, existing = Indexes(), set[str]()
    for kind, name in steps:
        if kind in ("gone", "check") and name not in existing:
            continue
        before = {topic: indexes.of(topic) for topic in TOPICS}
        apply(indexes, kind, name)
        moved = {topic for topic in TOPICS if indexes.of(topic) != before[topic]}
        assert moved == concerned(kind, name, existing)
        assert all(indexes.of(topic) >= before[topic] for topic in TOPICS)
        assert all(1 <= indexes.of(topic) <= indexes.current for topic in TOPICS)
        existing = (
            existing - {name} if kind == "gone" else existing | {name} if kind == "instance" else existing
        )


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([f"s{n}" for n in range(12)])), max_size=60))
def test_no_index_goes_back_when_old_names_are_forgotten(steps: list[tuple[bool, str]]) -> None:
    indexes, existing = Indexes(remembered=3), set[str]()
    topics = [service_topic(f"s{n}") for n in range(12)]
    for add, name in steps:
        before = [indexes.of(topic) for topic in topics]
        if add:
            indexes.instance_changed(name)
            existing.add(name)
        elif name in existing:
            indexes.service_gone(name)
            existing.remove(name)
        assert all(new >= old for new, old in zip(map(indexes.of, topics), before, strict=True))


def test_names_differ_by_more_than_case() -> None:
    indexes = Indexes()
    at = indexes.instance_changed("Web")
    assert indexes.of(service_topic("wEB")) == at


def test_it_starts_where_it_is_told() -> None:
    assert Indexes(7).of(service_topic("nobody")) == 7
    assert "7" in repr(Indexes(7))
