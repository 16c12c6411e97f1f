"""What a microservice is told of its peers."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.candidates import candidates
from gateway.peer_answers import ALTERNATES, LOOKED_AT, alternates, etag, is_known, peer_body
from registry.model import Instance, InstanceId, ServiceName


def instances(count: int, **more: object) -> list[Instance]:
    return [instance(f"i{n}", 9000 + n, **more) for n in range(count)]


def instance(name: str, port: int, **more: object) -> Instance:
    found = Instance(InstanceId(name), ServiceName("auth"), "10.0.0.1", port, "10.0.0.1")
    return replace(found, **more)  # type: ignore[arg-type]  # the test's own words


def idle(_: Instance) -> int:
    return 0


def test_an_answer_names_the_peer_and_the_others() -> None:
    one, other = instances(2)
    assert peer_body(one, [other], 10.0) == {
        "instance": {"url": "http://10.0.0.1:9000", "id": "i0"},
        "alternates": [{"url": "http://10.0.0.1:9001", "id": "i1"}],
        "ttl_s": 10.0,
    }


# The tag


def test_the_tag_is_the_same_wherever_the_same_is_seen() -> None:
    there = instances(3)
    tag = etag(candidates(there))
    assert etag(candidates(there[::-1], [1.0, 2.0, 3.0], panic=True, reserves=instances(1))) == tag
    assert tag.startswith('"')
    assert tag.endswith('"')


@pytest.mark.parametrize("change", [{"id": "x"}, {"port": 1}, {"host": "h"}, {"weight": 7}])
def test_the_tag_changes_with_who_may_be_picked(change: dict[str, object]) -> None:
    there = instances(3)
    other = [*there[:2], replace(there[2], **change)]  # type: ignore[arg-type]  # any field
    assert etag(candidates(other)) != etag(candidates(there))
    assert etag(candidates(there[:2])) != etag(candidates(there))


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ('"b" ,\t"a" ', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
        ("", False),
        ('"A"', False),
    ],
)
def test_a_caller_says_what_it_knows(said: str, known: bool) -> None:
    assert is_known(said, '"a"') is known


# The others


def test_the_least_busy_for_their_weight_come_first() -> None:
    there = instances(5)
    loads = {"i0": 0, "i1": 5, "i2": 1, "i3": 9, "i4": 3}
    found = alternates(there[0], candidates(there), lambda one: loads[one.id])
    assert [other.id for other in found] == ["i2", "i4", "i1"]
    weighted = candidates(there, [1.0, 1.0, 1.0, 10.0, 1.0])
    assert alternates(there[0], weighted, lambda one: loads[one.id])[0].id == "i3"


def test_neither_the_chosen_one_nor_who_is_excluded_is_among_them() -> None:
    there = instances(4)
    found = alternates(there[1], candidates(there), idle, without={there[2].id})
    assert {other.id for other in found} == {"i0", "i3"}
    assert alternates(there[0], candidates(there[:1]), idle) == []


def test_who_is_asked_only_when_nobody_is_left_is_no_alternate() -> None:
    there = instances(3)
    found = alternates(there[0], candidates(there[:2], reserves=there[2:]), idle)
    assert [other.id for other in found] == ["i1"]


def test_those_of_the_own_zone_come_before_all_others() -> None:
    near, far = instances(2, zone="east"), [instance(f"far{n}", n + 1, zone="west") for n in range(5)]
    all_of_them = candidates([*far, *near], local=candidates(near))
    busy_near = alternates(near[0], all_of_them, lambda one: 100 if one.zone == "east" else 0)
    assert busy_near[0].id == "i1"
    assert len(busy_near) == ALTERNATES
    assert {other.zone for other in busy_near[1:]} == {"west"}
    idle_near = alternates(far[0], all_of_them, lambda one: 0 if one.zone == "east" else 9)
    assert {other.id for other in idle_near[:2]} == {"i0", "i1"}
    assert idle_near[2].zone == "west", "nobody is named twice"


def test_in_a_large_service_every_turn_brings_others() -> None:
    there = instances(200)
    asked: Counter[str] = Counter()

    def load_of(one: Instance) -> int:
        asked[one.id] += 1
        return 0

    found = [
        tuple(i.id for i in alternates(there[0], candidates(there), load_of, turn=n)) for n in range(200)
    ]
    assert sum(asked.values()) <= 200 * LOOKED_AT
    assert max(Counter(ids[0] for ids in found).values()) <= 2


@given(
    st.integers(1, 40),
    st.data(),
    st.lists(st.integers(0, 50), min_size=40, max_size=40),
    st.integers(0, 1000),
)
def test_alternates_are_others_and_as_many_as_there_are(
    count: int, data: st.DataObject, loads: list[int], turn: int
) -> None:
    there = instances(count)
    chosen = data.draw(st.sampled_from(there))
    local = [i for i in there if data.draw(st.booleans())]
    found = alternates(
        chosen,
        candidates(there, local=candidates(local) if local else None),
        lambda one: loads[one.port - 9000],
        turn=turn,
    )
    ids = [other.id for other in found]
    assert chosen.id not in ids
    assert len(set(ids)) == len(ids)
    assert len(ids) == min(ALTERNATES, count - 1)
