"""With agents in memory, each of which can hang or be away; the same with real ones in test_consul.py."""

import asyncio

import pytest

from registry.backends.base import Registration
from registry.backends.shared import moving
from registry.backends.shared.moving import MovingRegistrar
from registry.failover import AddressLedger
from registry.model import (
    BadAnswer,
    Denied,
    Health,
    InstanceId,
    NotRegistered,
    RegistryError,
    ServiceName,
    Unreachable,
)

ONE = Registration(InstanceId("a"), ServiceName("web"), 80)


class Agent:
    """A `Registrar` that keeps what it is told."""

    def __init__(self) -> None:
        self.known: set[InstanceId] = set()
        self.asked = 0
        self.error: RegistryError | None = None
        self.hangs = False

    async def _work(self) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error

    async def register(self, registration: Registration) -> None:
        await self._work()
        self.known.add(registration.id)

    async def deregister(self, instance: InstanceId) -> None:
        await self._work()
        self.known.discard(instance)

    async def heartbeat(self, instance: InstanceId, health: Health, note: str = "") -> None:
        await self._work()
        if instance not in self.known:
            raise NotRegistered("who?")

    async def maintenance(self, instance: InstanceId, *, enable: bool, reason: str = "") -> None:
        await self._work()


class Agents:
    def __init__(self, count: int = 2) -> None:
        self.all = [Agent() for _ in range(count)]
        self.ledger = AddressLedger(count)
        self.registrar = MovingRegistrar(self.all, self.ledger)

    @property
    def knowing(self) -> list[int]:
        return [number for number, agent in enumerate(self.all) if ONE.id in agent.known]

    async def beat(self) -> None:
        """As `Registered` does it: what is forgotten is registered again, what fails is tried again."""
        for _ in range(5):
            try:
                await self.registrar.heartbeat(ONE.id, Health.PASSING)
            except NotRegistered:
                await self.registrar.register(ONE)
            except RegistryError:
                pass
            else:
                return


@pytest.fixture
async def agents() -> Agents:
    made = Agents()
    await made.registrar.register(ONE)
    return made


async def test_it_moves_when_its_agent_is_away_and_stays_where_it_works(agents: Agents) -> None:
    agents.all[0].error = Unreachable("nobody")
    await agents.beat()
    assert agents.knowing == [0, 1]
    asked = agents.all[0].asked
    await agents.beat()
    assert agents.all[0].asked == asked, "an agent that is away is left in peace"


async def test_it_is_left_behind_nowhere_once_home_is_back(agents: Agents) -> None:
    agents.all[0].error = Unreachable("nobody")
    await agents.beat()
    agents.all[0].error = None
    agents.all[0].known.clear()
    agents.ledger.go_home()
    await agents.beat()
    assert agents.knowing == [0]


async def test_an_agent_that_hangs_longer_than_its_caller_waits_is_left(agents: Agents) -> None:
    agents.all[0].hangs = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await agents.registrar.heartbeat(ONE.id, Health.PASSING)
    await agents.beat()
    assert agents.knowing == [0, 1]


@pytest.mark.parametrize("error", [Denied("no"), BadAnswer("what?"), NotRegistered("who?")])
async def test_an_agent_that_answers_is_kept_whatever_it_says(agents: Agents, error: RegistryError) -> None:
    agents.all[0].error = error
    with pytest.raises(type(error)):
        await agents.registrar.heartbeat(ONE.id, Health.PASSING)
    assert agents.ledger.current == 0


async def test_the_end_reaches_every_agent_that_may_know_it_and_waits_for_none_that_hangs(
    agents: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "FORGET_S", 0.01)
    agents.all[0].error = Unreachable("nobody")
    await agents.beat()
    agents.all[0].error, agents.all[0].hangs = None, True
    async with asyncio.timeout(5):
        await agents.registrar.deregister(ONE.id)
    assert agents.knowing == [0]
    agents.all[0].hangs = False
    await agents.registrar.deregister(ONE.id)
    assert agents.all[1].known == set()


async def test_an_end_that_fails_says_so(agents: Agents) -> None:
    agents.all[0].error = Unreachable("nobody")
    with pytest.raises(Unreachable):
        await agents.registrar.deregister(ONE.id)
    await agents.registrar.deregister(ONE.id)
    agents.all[0].error = None
    await agents.registrar.maintenance(ONE.id, enable=True)
    assert agents.all[1].asked == 2
