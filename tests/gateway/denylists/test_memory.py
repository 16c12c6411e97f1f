"""The memory's own: time as it is told."""

from gateway.denylists.memory import MemoryDenylist
from gateway.settings_identity import RevocationSettings


async def test_a_token_is_forgotten_when_it_has_expired() -> None:
    now = 100.0
    denylist = MemoryDenylist(RevocationSettings(), clock=lambda: now)
    await denylist.add("a", 150.0)
    now = 160.0
    await denylist.add("b", 200.0)
    assert (denylist.holds("a"), denylist.holds("b")) == (False, True)
    assert repr(denylist) == "<MemoryDenylist: 1 tokens>"


async def test_a_smaller_bound_holds_at_once() -> None:
    denylist = MemoryDenylist(RevocationSettings(), clock=lambda: 0.0)
    for n in range(5):
        await denylist.add(str(n), 10.0 + n)
    denylist.follow(RevocationSettings(max_tokens=2))
    assert [n for n in range(5) if denylist.holds(str(n))] == [3, 4]
