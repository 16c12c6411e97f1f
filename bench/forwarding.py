"""The report that all forwarding measurements have in common: rows, ratios, goals by ratio."""

from collections.abc import Sequence

from bench import quaymaster
from bench.contest import Contest, how
from bench.peers import load_peer
from bench.report import Goal, Report, Row

RatioGoal = tuple[str, str, float]
"""A case of ours, a peer's name in `PEERS`, and how many times the peer's figure ours must be at least."""

NOTES = (
    "32 keep-alive connections; CPU is the gateway's user and system time, divided by the requests",
    "features on: token verified, rate limit, request id, metrics, JSON access log into a file",
)
NOTE_OFF = "features off: a public route, no limits, no access log; request ids and metrics stay"


def forwarding_report(
    measurement: str, title: str, taken: Contest, *, compare: str, goals: Sequence[RatioGoal] = ()
) -> Report:
    unsaid = {"per_s": "mb_per_s", "mb_per_s": "per_s"}[compare]
    rows = tuple(
        Row(row.case, {name: value for name, value in row.figures.items() if name != unsaid})
        for row in taken.rows()
    )
    ours = tuple(row.case for row in rows if row.case in (quaymaster.ON, quaymaster.OFF))
    report = Report(
        measurement=measurement,
        title=title,
        rows=rows,
        notes=(*how(), *NOTES, *((NOTE_OFF,) if quaymaster.OFF in ours else ())),
        left_out=tuple(taken.left_out),
        programs=taken.programs,
        ours=ours,
        compare=compare,
    )
    return report.judged(*(_goal(report, goal) for goal in goals))


def _goal(report: Report, wanted: RatioGoal) -> Goal:
    ours, peer, bound = wanted
    title = load_peer(peer).title
    return Goal(f"{ours} / {title}", report.ratio(ours, title), "at least", bound)
