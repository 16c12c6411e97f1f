"""Three opinions, three fields: none of them may undo another."""

from dataclasses import replace
from typing import Any

import pytest

from handlers.model import Admin, DrainOrder, HandlerId, Hello, Known, PoolSettings
from handlers.roster import FORGET_AFTER_S, Closed, HandlerRecord, Listing

WSH1 = HandlerId("WSH1")
POOL = PoolSettings(capacity=10, drain_s=30.0)


def record(epoch: int = 7) -> HandlerRecord:
    handler = HandlerRecord(WSH1, "http://h:1", "/ws", capacity=10, weight=1)
    if epoch:
        handler.begin(hello(epoch), 0.0)
        handler.heard_at = 0.0
    return handler


def hello(epoch: int, connections: int = 0) -> Hello:
    return Hello(WSH1, epoch, "http://h:1", "/ws", 10, connections=connections)


def known(**changes: Any) -> Known:
    return replace(Known(WSH1, "http://h:1"), **changes)


def test_a_handler_that_reports_and_nobody_objects_to_is_open() -> None:
    assert record().closed() is None


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("drain_by", 30.0, Closed.DRAINING),
        ("leaving", True, Closed.LEAVING),
        ("silent", True, Closed.SILENT),
        ("listing", Listing.FAILING, Closed.NOT_PASSING),
        ("listing", Listing.MAINTENANCE, Closed.MAINTENANCE),
        ("listing", Listing.DELISTED, Closed.DELISTED),
    ],
)
def test_each_objection_closes_it(field: str, value: object, why: Closed) -> None:
    handler = record()
    setattr(handler, field, value)
    assert handler.closed() is why


def test_a_registered_process_with_the_sdk_waits_for_its_hello() -> None:
    """Before it, nobody knows the incarnation that a ticket must name."""
    handler = record(epoch=0)
    handler.list_as(known(speaks=True), POOL, 0.0)
    assert handler.closed() is Closed.NO_HELLO
    handler.begin(hello(7), 0.0)
    assert handler.closed() is None


def test_a_registered_process_without_the_sdk_is_open() -> None:
    handler = record(epoch=0)
    handler.list_as(known(), POOL, 0.0)
    assert handler.closed() is None


@pytest.mark.parametrize(
    ("says", "listing"),
    [
        ({}, Listing.PASSING),
        ({"healthy": False}, Listing.FAILING),
        ({"healthy": False, "draining": True}, Listing.MAINTENANCE),
    ],
)
def test_what_the_registry_says(says: dict[str, object], listing: Listing) -> None:
    handler = record()
    handler.list_as(known(**says), POOL, 0.0)
    assert handler.listing is listing


def test_the_processs_own_word_on_its_address_and_capacity_beats_the_registrys_copy() -> None:
    spoken, mute = record(), record(epoch=0)
    said = Known(WSH1, "http://other:1", "/other", capacity=99, weight=5)
    spoken.list_as(said, POOL, 0.0)
    mute.list_as(said, POOL, 0.0)
    assert (spoken.url, spoken.capacity, spoken.weight) == ("http://h:1", 10, 1)
    assert (mute.url, mute.path, mute.capacity, mute.weight) == ("http://other:1", "/other", 99, 5)


def test_a_registration_without_a_capacity_gets_the_pools() -> None:
    handler = record(epoch=0)
    handler.list_as(known(), replace(POOL, capacity=123), 0.0)
    assert handler.capacity == 123


def test_a_restart_ends_a_drain_but_a_first_hello_does_not() -> None:
    restarted, first = record(), record(epoch=0)
    for handler in (restarted, first):
        handler.drain(DrainOrder(60.0, 4.0), 1.0)
        handler.begin(hello(8), 1.0)
    assert (restarted.order(2.0), restarted.seen(0, 2.0).admin) == (None, Admin.UP)
    assert (first.order(2.0), first.seen(0, 2.0).admin) == (DrainOrder(59.0, 4.0), Admin.DRAINING)


def test_maintenance_is_a_drain_whose_deadline_counts_from_when_it_was_first_seen() -> None:
    handler = record()
    for now in (5.0, 10.0):
        handler.list_as(known(draining=True), POOL, now)
    assert handler.order(10.0) == DrainOrder(25.0)
    assert handler.order(99.0) == DrainOrder(0.0)
    assert handler.seen(0, 10.0).admin is Admin.UP
    handler.list_as(known(), POOL, 20.0)
    assert handler.order(20.0) is None
    handler.list_as(known(draining=True), POOL, 21.0)
    assert handler.order(21.0) == DrainOrder(30.0)
    handler.delist()
    assert handler.order(21.0) is None


def test_the_operators_order_goes_before_the_registrys_and_neither_ends_the_other() -> None:
    handler = record()
    handler.list_as(known(draining=True), POOL, 0.0)
    handler.drain(DrainOrder(5.0, 2.0), 0.0)
    assert handler.order(1.0) == DrainOrder(4.0, 2.0)
    handler.drain(None, 2.0)
    assert handler.order(2.0) == DrainOrder(28.0)
    handler.drain(DrainOrder(5.0), 2.0)
    handler.list_as(known(), POOL, 3.0)
    assert handler.order(3.0) == DrainOrder(4.0)


def test_a_restart_starts_its_counts_anew() -> None:
    handler = record()
    handler.seq, handler.connections, handler.leaving = 50, 9, True
    handler.listing = Listing.DELISTED
    handler.begin(hello(8, connections=2), 1.0)
    assert (handler.epoch, handler.seq, handler.connections) == (8, 0, 2)
    assert handler.closed() is None


@pytest.mark.parametrize("listing", Listing)
def test_only_who_neither_reports_nor_is_registered_is_forgotten(listing: Listing) -> None:
    handler = record()
    handler.listing = listing
    unlisted = listing in (Listing.NEVER, Listing.DELISTED)
    assert handler.forgettable(FORGET_AFTER_S) is unlisted
    assert not handler.forgettable(FORGET_AFTER_S - 0.1)
    handler.heard_at = None
    assert handler.forgettable(0.0) is unlisted


def test_what_operators_see() -> None:
    handler = record()
    handler.connections = 6
    assert handler.seen(held=3, now=1.5).eligible
    full = handler.seen(held=4, now=1.5)
    assert (full.eligible, full.why_not, full.connections, full.held) == (False, "full", 6, 4)
    assert full.last_report_age_s == 1.5
    handler.silent = True
    assert handler.seen(held=4, now=9.0).why_not == "silent"
