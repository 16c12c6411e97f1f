"""What a strategy costs, in steps of the interpreter: the same on every machine and in every moment."""

import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from types import FrameType
from typing import Any

from balancer.candidates import candidates
from balancer.load import Lease, LoadLedger
from balancer.strategies import Strategy
from registry.model import Instance


class Walked(tuple[Instance, ...]):
    """Counts who goes through all of it."""

    walks = 0

    def __iter__(self) -> Iterator[Instance]:
        Walked.walks += 1
        return super().__iter__()


def steps_of_calls(strategy: Strategy, instances: tuple[Instance, ...]) -> int:
    """What a hundred calls cost in steps of the interpreter: choosing, and the lease's begin and end.

    Loads are under the strategy as in a gateway, and every caller has a key. What the C library does in one
    step is not seen, hence none of it may be handed all the candidates either.
    """
    loads, made = LoadLedger(), candidates(instances)
    among = replace(made, instances=Walked(made.instances))
    keys = (b"caller %d" % number for number in count())

    def call() -> Lease:
        picked = strategy.pick(among, loads, frozenset(), next(keys), 0.0)
        assert picked is not None
        strategy.ended(picked, 0.001, ok=True, now=0.0)
        return loads.start(picked, 0.0)

    leases = deque(call() for _ in range(64))
    Walked.walks = 0
    with counted_steps() as steps:
        for _ in range(100):
            leases.append(call())
            leases.popleft().finish()
    assert not Walked.walks
    return steps[0]


@contextmanager
def counted_steps() -> Iterator[list[int]]:
    """Counts the instructions that Python functions called in the block run."""
    steps, before = [0], sys.gettrace()

    def local(frame: FrameType, event: str, argument: object) -> Any:
        del frame, argument
        steps[0] += event == "opcode"
        return local

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        del event, argument
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return local

    sys.settrace(trace)
    try:
        yield steps
    finally:
        sys.settrace(before)
