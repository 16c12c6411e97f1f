from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.model import Health, Instance, InstanceId, ServiceName
from registry.snapshot_codec import Saved, SavedService, Unusable, decode, encode

WEB = ServiceName("web")
HERE = "consul http://127.0.0.1:8500"
NOW = 1_800_000_000.0

texts = st.text(max_size=8)
names = st.sampled_from(["web", "auth", "matching"]).map(ServiceName)


@st.composite
def instances(draw: st.DrawFn, service: ServiceName) -> Instance:
    return Instance(
        id=InstanceId(draw(texts)),
        service=service,
        host=draw(texts),
        port=draw(st.integers(1, 65535)),
        ip=draw(texts),
        health=draw(st.sampled_from(Health)),
        weight=draw(st.integers(1, 65535)),
        tags=tuple(draw(st.lists(texts, max_size=3))),
        meta=draw(st.dictionaries(texts, texts, max_size=3)),
        incarnation=draw(texts.filter(bool)),
        zone=draw(texts),
    )


@st.composite
def saved_states(draw: st.DrawFn) -> Saved:
    times = st.floats(NOW - 500, NOW)
    services = {
        name: SavedService(draw(times), tuple(draw(st.lists(instances(name), max_size=3))))
        for name in draw(st.sets(names, min_size=1))
    }
    return Saved(frozenset(draw(st.sets(names))), draw(times), services)


def one(name: str = "a") -> Instance:
    return Instance(InstanceId(name), WEB, "h", 80, "10.0.0.1", meta={"zone": "b"}, zone="b")


def saved(at: float = NOW, **more: Any) -> Saved:
    return replace(Saved(frozenset({WEB}), at, {WEB: SavedService(at, (one(),))}), **more)


def reason(raw: bytes, origin: str = HERE) -> str | None:
    read = decode(raw, origin, NOW, 600.0)
    return read.reason if isinstance(read, Unusable) else None


@given(saved_states())
def test_what_is_written_is_read(state: Saved) -> None:
    read = decode(encode(state, HERE), HERE, NOW, 600.0)
    assert read == state


@given(saved_states(), st.data())
def test_any_byte_that_is_not_as_it_was_written_refuses_the_whole_file(
    state: Saved, data: st.DataObject
) -> None:
    raw = bytearray(encode(state, HERE))
    at = data.draw(st.integers(0, len(raw) - 1))
    how = data.draw(st.sampled_from(["changed", "cut off", "lost", "doubled"]))
    if how == "changed":
        raw[at] ^= data.draw(st.integers(1, 255))
    elif how == "cut off":
        del raw[at:]
    elif how == "lost":
        del raw[at]
    else:
        raw.append(raw[at])
    assert reason(bytes(raw)) == "broken"


@given(st.binary(max_size=200))
def test_no_rubbish_is_believed(raw: bytes) -> None:
    assert reason(raw) == "broken"


@pytest.mark.parametrize("body", [b"[]", b"{}", b"7", b'{"origin":"consul http://127.0.0.1:8500"}', b"\xff"])
def test_a_whole_file_of_another_shape_is_broken_too(body: bytes) -> None:
    assert reason(b"quaymaster-snapshot 1 " + sha256(body).hexdigest().encode() + b"\n" + body) == "broken"


@pytest.mark.parametrize("time", [b'"yesterday"', b"null", b"[]"])
def test_a_time_that_is_none_makes_it_broken(time: bytes) -> None:
    _, _, body = encode(saved(), HERE).partition(b"\n")
    spoilt = body.replace(b'"answered_at":%d.0' % NOW, b'"answered_at":' + time)
    assert spoilt != body
    raw = b"quaymaster-snapshot 1 " + sha256(spoilt).hexdigest().encode() + b"\n" + spoilt
    assert reason(raw) == "broken"


def test_another_registrys_file_is_refused() -> None:
    assert reason(encode(saved(), HERE)) is None
    assert reason(encode(saved(), HERE), origin="consul http://10.0.0.1:8500") == "other_registry"


@pytest.mark.parametrize(("age_s", "expected"), [(0, None), (600, None), (601, "too_old"), (-601, "too_old")])
def test_a_file_that_is_too_old_or_of_another_time_is_refused(age_s: float, expected: str | None) -> None:
    assert reason(encode(saved(NOW - age_s), HERE)) == expected


def test_a_service_that_is_too_old_is_left_out_alone() -> None:
    old = SavedService(NOW - 601, (one("old"),))
    services = {WEB: SavedService(NOW, (one(),)), ServiceName("old"): old}
    read = decode(encode(saved(services=services), HERE), HERE, NOW, 600.0)
    assert isinstance(read, Saved)
    assert set(read.services) == {WEB}
