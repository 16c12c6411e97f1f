import asyncio

from registry.runtime.tasks import Tasks
from tests.registry.waiting import until


async def fails() -> None:
    raise ZeroDivisionError


async def test_the_death_of_a_task_is_noticed_and_its_end_or_cancellation_is_none() -> None:
    died: list[tuple[str, type[BaseException]]] = []
    tasks = Tasks(lambda name, error: died.append((name, type(error))))
    tasks.start("fails", fails())
    tasks.start("ends", asyncio.sleep(0))
    tasks.start("cancelled", asyncio.Event().wait()).cancel()
    await until(lambda: repr(tasks) == "<Tasks: none>")
    assert died == [("fails", ZeroDivisionError)]


async def test_close_cancels_what_runs_and_waits_for_it() -> None:
    cleaned: list[str] = []

    async def slow_to_leave() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.append("up")

    tasks = Tasks(lambda name, error: None)
    tasks.start("slow", slow_to_leave())
    await asyncio.sleep(0)
    assert repr(tasks) == "<Tasks: slow>"
    await tasks.close()
    assert cleaned == ["up"]
    assert repr(tasks) == "<Tasks: none>"
