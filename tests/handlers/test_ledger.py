"""The ledger on a bad day (a machine, in virtual time), and one example of each rule."""

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.handlers.machine import POOL, SeatMachine
from tests.handlers.subjects import LedgerSubject


class LedgerMachine(SeatMachine):
    open = staticmethod(lambda clock: LedgerSubject(POOL, clock))


def test_the_ledger_on_a_bad_day() -> None:
    run_state_machine_as_test(LedgerMachine, settings=settings(max_examples=20, stateful_step_count=50))  # type: ignore[no-untyped-call]
