from examples.devmatch.tasks import build
from tests.examples.standins.clients import alone


async def test_a_task_has_a_title_and_skills() -> None:
    async with alone(build) as service:
        task = {"title": "A gateway", "skills": ["python"], "budget": 1000}
        status, made = await service.ask("POST", "/tasks/", task, who="ada")
        assert status == 201
        assert made.items() >= task.items()
        status, body = await service.ask("POST", "/tasks/", {"budget": "much"}, who="ada")
        problems = "title: is missing; skills: is missing; budget: must be a number"
        assert (status, body["message"]) == (400, problems)
