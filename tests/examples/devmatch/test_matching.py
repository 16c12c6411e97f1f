from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.devmatch.matching import build, ranked, score
from tests.examples.standins.clients import alone

SKILLS = st.lists(st.sampled_from(["python", "Redis", "go"]), max_size=4)


@pytest.mark.parametrize(
    ("skills", "has", "expected"),
    [(["python"], ["Python"], 1.0), (["a", "b", "c"], ["a"], 0.333), ([], [], 1.0), (["a"], [], 0.0)],
)
def test_the_score_is_the_share_of_the_skills(skills: list[str], has: list[str], expected: float) -> None:
    assert score(skills, {"skills": has}) == expected


@given(skills=SKILLS, candidates=st.lists(st.fixed_dictionaries({"skills": SKILLS}), max_size=5))
def test_the_best_come_first_and_nobody_is_lost(skills: list[object], candidates: list[Any]) -> None:
    scores = [one["score"] for one in ranked(skills, candidates)]
    assert len(scores) == len(candidates)
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= one <= 1 for one in scores)


async def test_candidates_are_filtered_by_the_score_that_is_asked_for() -> None:
    candidates = [{"name": "ada", "skills": ["a", "b"]}, {"name": "bob", "skills": ["a"]}]
    async with alone(build) as service:
        for least, names in ((None, ["ada"]), (0.5, ["ada", "bob"])):
            asked = {"skills": ["a", "b"], "candidates": candidates, "min_score": least}
            _, found = await service.ask("POST", "/matching/filter", asked)
            assert [one["name"] for one in found["candidates"]] == names


async def test_what_is_no_candidate_is_refused() -> None:
    async with alone(build) as service:
        status, _ = await service.ask("POST", "/matching/score", {"skills": [], "candidates": ["ada"]})
        assert status == 400
