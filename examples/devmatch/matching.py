"""recommendation-service: which developers suit a task, by the share of its skills that they have."""

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from examples.chat.service import answer
from examples.standins.peers import Peers
from examples.standins.service import Refusal, Surroundings, new_app, read_body, serve

KEPT = {"Cache-Control": "public, max-age=30"}
"""Recommendations are the same for everybody, and for a while."""
ASKED = {"skills": list, "candidates": list}


def score(skills: Iterable[object], candidate: dict[str, Any]) -> float:
    """The share of `skills` that the candidate has, from 0 to 1; all of none is 1."""
    wanted, has = {str(s).lower() for s in skills}, {str(s).lower() for s in candidate.get("skills") or ()}
    return round(len(wanted & has) / len(wanted), 3) if wanted else 1.0


def ranked(skills: list[object], candidates: list[Any]) -> list[dict[str, Any]]:
    """The candidates with their scores, the best first. Raises `Refusal` (400) for what is no candidate."""
    if not all(isinstance(candidate, dict) for candidate in candidates):
        raise Refusal(400, "candidates: each must be an object with skills")
    scored = [{**candidate, "score": score(skills, candidate)} for candidate in candidates]
    return sorted(scored, key=lambda candidate: -float(candidate["score"]))


class Recommendations:
    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def score(self, request: web.Request) -> web.Response:
        body = await read_body(request, ASKED)
        return answer({"candidates": ranked(body["skills"], body["candidates"])})

    async def filter(self, request: web.Request) -> web.Response:
        """Those who have at least `min_score`, all of the skills if nothing else is said."""
        body = await read_body(request, ASKED, {"min_score": float})
        least = body.get("min_score", 1.0)
        found = [one for one in ranked(body["skills"], body["candidates"]) if one["score"] >= least]
        return answer({"candidates": found})

    async def recommend(self, request: web.Request) -> web.Response:
        """The developers for a task: task-service knows the task, user-service knows them."""
        task = await self._peers.ask("GET", "task-service", f"/tasks/{request.match_info['task_id']}")
        known = await self._peers.ask("GET", "user-service", "/users/developers")
        found = [one for one in ranked(task["skills"], known["developers"]) if one["score"] > 0]
        return answer({"task_id": task["id"], "recommendations": found[:20]}, headers=KEPT)


def build(given: Surroundings) -> web.Application:
    peers = Peers(given)
    recommendations = Recommendations(peers)
    app = new_app(given)
    app.cleanup_ctx.append(peers.lifetime)
    app.router.add_post("/matching/score", recommendations.score)
    app.router.add_post("/matching/filter", recommendations.filter)
    app.router.add_get("/matching/recommendations/{task_id:[0-9a-f]+}", recommendations.recommend)
    return app


if __name__ == "__main__":
    serve("recommendation-service", build, module="examples.devmatch.matching")
