"""Gateways under the same load, in turns: A B C, A B C, A B C, and the median of each one's turns.

Turns, since a shared machine has better and worse minutes: each contestant gets a part of each. All stay
running while one is measured; who is idle costs nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import quaymaster
from bench.calls import get
from bench.instances import Instances, instances
from bench.load import wrk
from bench.load.wrk import Taken, Work
from bench.machine import CORES, GATEWAY_CORE
from bench.peers import PEERS, load_peer
from bench.peers.base import Place
from bench.processes import DidNotStart, Launch, Process, running, until
from bench.programs import NotInstalled
from bench.report import Options, Row, medians
from tests.servers import free_ports

WARM_UP_S = 1.0
TOLERATED = 0.001
"""The share of answers that may be errors before a contestant's figures say nothing."""


@dataclass(frozen=True, slots=True)
class Contestant:
    title: str
    launch: Callable[[Place], Launch]
    version: Callable[[], str] | None = None
    """`None`: it is Quaymaster, whose version is the one of this tree."""
    port: int | None = None
    """Where it must listen; `None`: anywhere."""


def features_on(options: Options) -> Contestant:
    return Contestant(quaymaster.ON, quaymaster.launcher(quaymaster.settings_on, options.tree))


def features_all(options: Options) -> Contestant:
    return Contestant(quaymaster.ALL, quaymaster.launcher(quaymaster.settings_all, options.tree))


def features_off(options: Options) -> Contestant:
    return Contestant(quaymaster.OFF, quaymaster.launcher(quaymaster.settings_off, options.tree))


@dataclass(slots=True)
class Started:
    """A contestant that runs."""

    title: str
    port: int
    process: Process | None
    """`None`: no gateway, but an instance that is asked directly."""
    ours: bool
    turns: list[dict[str, float]] = field(default_factory=list)

    def cpu_s(self) -> float:
        return 0.0 if self.process is None else self.process.cpu_s()

    def rss_bytes(self) -> int:
        return 0 if self.process is None else self.process.rss_bytes()


@dataclass(slots=True)
class Contest:
    """Who takes part, who does not and why, and what stands behind them."""

    started: list[Started]
    instances: Instances
    left_out: list[str] = field(default_factory=list)
    programs: dict[str, str] = field(default_factory=dict)

    def rows(self) -> tuple[Row, ...]:
        return tuple(Row(one.title, medians(one.turns)) for one in self.started if one.turns)


def contestants(names: Sequence[str], options: Options) -> list[Contestant]:
    """The peers of that name that the options let take part."""
    assert set(names) <= set(PEERS)
    wanted = [name for name in names if options.peers is None or name in options.peers]
    peers = [load_peer(name) for name in wanted]
    return [Contestant(peer.title, peer.launch, peer.version) for peer in peers]


def answers(path: str, headers: Mapping[str, str] | None = None) -> Callable[[int], bool]:
    """Whether the gateway at a port carries a user's GET of that path to an instance."""
    sent = quaymaster.user_headers() | dict(headers or {})
    return lambda port: get(port, path, sent) == 200


@contextmanager
def contest(
    entries: Sequence[Contestant], ready: Callable[[int], bool], behind: Sequence[int] | None = None
) -> Iterator[Contest]:
    """All entries running, in front of three instances (or of those at the ports `behind`).

    `ready` tells of a port whether the gateway there answers as it should. Raises `DidNotStart` when
    Quaymaster does not; a peer that does not is left out.
    """
    with TemporaryDirectory(prefix="quaymaster-bench-") as folder, ExitStack() as stack:
        root = Path(folder)
        root.chmod(0o755)  # nginx started by root lets its worker be nobody
        stood = stack.enter_context(instances(root)) if behind is None else Instances(tuple(behind))
        gateways = Contest([], stood)
        if stood.program:
            gateways.programs["instances"] = stood.program
        for number, entry in enumerate(entries):
            place = Place(entry.port or free_ports(1)[0], stood.ports, root / str(number))
            place.folder.mkdir()
            try:
                process = start(entry, place, ready, stack)
                version = entry.version() if entry.version else None
            except (NotInstalled, DidNotStart) as problem:
                if entry.version is None:
                    raise DidNotStart(f"{entry.title}: {problem}") from problem
                gateways.left_out.append(f"{entry.title}: {problem}")
                continue
            gateways.started.append(Started(entry.title, place.port, process, entry.version is None))
            if version:
                gateways.programs[entry.title] = version
        yield gateways


def start(entry: Contestant, place: Place, ready: Callable[[int], bool], stack: ExitStack) -> Process:
    """The entry's process on the gateway's core, once it answers. Raises `NotInstalled`, `DidNotStart`."""
    with ExitStack() as until_ready:
        process = until_ready.enter_context(
            running(entry.launch(place), GATEWAY_CORE, place.folder / "log", out=place.folder / "access.log")
        )
        until(lambda: ready(place.port), process)
        stack.push(until_ready.pop_all())
    return process


def under_load(entries: Sequence[Contestant], work: Work, options: Options) -> Contest:
    """Every entry under that load, in turns. What took part has its figures, the others a line.

    Raises `DidNotStart` when Quaymaster does not answer as it should.
    """
    with contest(entries, answers(work.path, work.headers)) as gateways:
        take_turns(gateways, lambda one: turn(one, work, options), options)
    gateways.programs["wrk"] = wrk.version()
    return gateways


def take_turns(gateways: Contest, one_turn: Callable[[Started], dict[str, float]], options: Options) -> None:
    """All rounds. A peer whose turn raises `ValueError` is left out; Quaymaster's is a `DidNotStart`."""
    for _ in range(options.rounds):
        for one in list(gateways.started):
            try:
                one.turns.append(one_turn(one))
            except ValueError as problem:
                if one.ours:
                    raise DidNotStart(f"{one.title}: {problem}") from problem
                gateways.left_out.append(f"{one.title}: {problem}")
                gateways.started.remove(one)


def turn(one: Started, work: Work, options: Options) -> dict[str, float]:
    """A warm-up, unless a look will do, and a run of wrk.

    Raises `ValueError` when too many answers were errors.
    """
    if not options.quick:
        wrk.run(work, one.port, WARM_UP_S)
    before_s = one.cpu_s()
    taken = wrk.run(work, one.port, options.seconds)
    cpu_s = one.cpu_s() - before_s
    if not taken.requests or taken.bad > taken.requests * TOLERATED:
        raise ValueError(f"{taken.bad} of {taken.requests} answers were errors")
    return figures(taken, cpu_s, one.rss_bytes(), work)


def figures(taken: Taken, cpu_s: float, rss_bytes: int, work: Work) -> dict[str, float]:
    """What a table shows of one run. Bytes are counted in the direction of the body."""
    moved = taken.received if not work.body_bytes else taken.requests * work.body_bytes
    return {
        "per_s": round(taken.per_s),
        "mb_per_s": round(moved / taken.seconds / 1e6, 1),
        "cpu_us": round(cpu_s / taken.requests * 1e6, 1),
        "p50_ms": round(taken.p50_ms, 3),
        "p99_ms": round(taken.p99_ms, 3),
        "rss_mb": round(rss_bytes / 1e6, 1),
    }


def how() -> tuple[str, ...]:
    """The notes every contest has."""
    cores = (
        "each gateway alone on one core, load and instances on another"
        if CORES > 1
        else "one core for everything: gateways, load and instances, so only ratios say something"
    )
    return (cores, "in turns, the median of each one's turns counts; the same bytes are sent to all")
