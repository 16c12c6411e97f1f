from handlers.decisions import KEPT, Decisions
from handlers.model import Candidate, HandlerId, Jti, SeatRequest, Uid
from handlers.placement import Rank

A, B = HandlerId("a"), HandlerId("b")
HEAD: list[Rank] = [(1.5, 4, A, 3, 2), (2.0, 9, B, 2, 1)]


def kept(sequences: range) -> Decisions:
    decisions = Decisions()
    for sequence in sequences:
        request = SeatRequest(
            Uid("ann"), Jti("t"), last=B, exclude=frozenset({HandlerId("z"), HandlerId("c")})
        )
        decisions.record(sequence, 7.0, request, B, HEAD)
    return decisions


def test_only_the_last_are_known() -> None:
    decisions = kept(range(5, 5 + KEPT + 2))
    known = [sequence for sequence in range(5 + KEPT + 9) if decisions.get(sequence)]
    assert known == list(range(7, 5 + KEPT + 2))
    assert kept(range(0)).get(0) is None
    assert repr(decisions) == "<Decisions: 1000 kept>"


def test_a_decision_says_why() -> None:
    decision = kept(range(1, 2)).get(1)
    assert decision is not None
    assert (decision.sequence, decision.at, decision.uid, decision.last) == (1, 7.0, "ann", B)
    assert (decision.chosen, decision.why) == (B, "affinity")
    assert decision.candidates == (Candidate(A, 3, 2, 4), Candidate(B, 2, 1, 9))
    assert decision.excluded == ("c", "z")
