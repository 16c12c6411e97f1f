from dataclasses import replace

from gateway.runtime.live_state import LiveState
from gateway.runtime.pool_state import PoolState
from handlers.model import Admin, DrainOrder, HandlerId, HandlerState
from handlers.outage import Mode
from tests.gateway.runtime.scrapes import samples_of

FIRST = HandlerState(HandlerId("WSH1"), "http://h", 1, 100, 7, 2, Admin.UP, True, "", 0.5, joins_per_s=20.0)
SILENT = HandlerState(HandlerId("WSH2"), "http://i", 1, 100, 0, 0, Admin.UP, False, "silent", 9.0)
DRAINING = replace(FIRST, id=HandlerId("WSH3"), connections=3, held=1, drain=DrainOrder(12.5))


def found(*states: HandlerState, mode: Mode = Mode.EXACT) -> dict[str, float]:
    samples = samples_of(LiveState(now=0.0, pools=[PoolState("chat", mode, states)]))
    return {series: n for series, n in samples.items() if "handler" in series or "allocator" in series}


def of(series: str, handler: str) -> str:
    return f'quaymaster_handler_{series}{{handler="{handler}",pool="chat"}}'


def test_handlers_are_shown_as_they_last_reported() -> None:
    shown = found(FIRST, SILENT)
    assert shown[of("connections", "WSH1")] == 7
    assert shown[of("seats_held", "WSH1")] == 2
    assert shown[of("capacity", "WSH1")] == 100
    assert shown[of("joins_per_second", "WSH1")] == 20
    assert shown[of("eligible", "WSH1")] == 1
    assert shown[of("eligible", "WSH2")] == 0


def test_a_drain_is_shown_while_it_lasts() -> None:
    shown = found(FIRST, DRAINING)
    assert shown[of("drain_remaining", "WSH3")] == 4
    assert shown[of("drain_deadline_seconds", "WSH3")] == 12.5
    assert of("drain_remaining", "WSH1") not in shown
    assert of("drain_deadline_seconds", "WSH1") not in shown


def test_a_handler_that_has_gone_takes_its_series_with_it() -> None:
    assert any("WSH1" in series for series in found(FIRST, SILENT))
    assert not any("WSH1" in series for series in found(SILENT))


def test_the_mode_is_one_of_all_modes() -> None:
    for mode in Mode:
        shown = {m: found(mode=mode)[f'quaymaster_allocator_mode{{mode="{m}",pool="chat"}}'] for m in Mode}
        assert shown == {each: int(each is mode) for each in Mode}
