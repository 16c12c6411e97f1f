"""Turns, and what a contestant's figures are made of."""

import pytest

from bench.contest import Contest, Started, figures, take_turns
from bench.instances import Instances
from bench.load.wrk import Taken, Work
from bench.processes import DidNotStart
from bench.report import Options, Row

TAKEN = Taken(requests=1000, seconds=2.0, received=4_000_000, p50_ms=1.0, p99_ms=2.0, bad=0)


def field(**ours: bool) -> Contest:
    return Contest([Started(title, 0, None, ours=own) for title, own in ours.items()], Instances(()))


def test_cpu_is_a_request_s_and_bytes_are_the_answers() -> None:
    found = figures(TAKEN, cpu_s=0.05, rss_bytes=13_000_000, work=Work("/mib"))
    assert (found["per_s"], found["mb_per_s"], found["cpu_us"], found["rss_mb"]) == (500, 2.0, 50.0, 13.0)


def test_of_an_upload_the_bytes_are_the_requests() -> None:
    work = Work("/sink", method="POST", body_bytes=1_000_000)
    assert figures(TAKEN, 0.0, 0, work)["mb_per_s"] == 500.0


def test_everybody_has_a_turn_in_every_round_and_the_median_counts() -> None:
    order: list[str] = []

    def turn(one: Started) -> dict[str, float]:
        order.append(one.title)
        return {"per_s": float(len(order))}

    gateways = field(a=True, b=False)
    take_turns(gateways, turn, Options(rounds=3))
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert gateways.rows() == (Row("a", {"per_s": 3.0}), Row("b", {"per_s": 4.0}))


def fails(one: Started) -> dict[str, float]:
    if one.title == "b":
        raise ValueError("9 of 10 answers were errors")
    return {"per_s": 1.0}


def test_a_peer_that_fails_is_left_out_with_its_reason() -> None:
    gateways = field(a=True, b=False)
    take_turns(gateways, fails, Options(rounds=2))
    assert [row.case for row in gateways.rows()] == ["a"]
    assert gateways.left_out == ["b: 9 of 10 answers were errors"]


def test_quaymaster_that_fails_ends_the_measurement() -> None:
    with pytest.raises(DidNotStart, match="b: 9 of 10"):
        take_turns(field(a=False, b=True), fails, Options(rounds=2))
