"""What a unit can take, found without being told."""

from __future__ import annotations

import pytest

from gatewayd.clock import SystemClock
from gatewayd.device.modbus.asking import TcpAsker
from gatewayd.device.modbus.limits import Latency, RegisterLimit, Survey, Surveyor, suggestions
from tests.device.modbus.peer import Asked, Caller, playing
from tests.device.modbus.test_scan import gateway


async def surveyed(script, *, address: int = 0, timeout_ms: int = 2000) -> Survey:
    said: list[str] = []
    async with playing(script) as peer:
        bus = TcpAsker("127.0.0.1", peer.port, timeout_ms)
        survey = await Surveyor(bus, 1, 3, address, clock=SystemClock(), progress=said.append).run()
    assert said
    return survey


def limited(count: int, code: int):
    return gateway(lambda asked: asked.good() if asked.count <= count else asked.exception(code))


async def test_a_device_without_limits_takes_everything():
    survey = await surveyed(gateway(Asked.good))
    assert survey.registers == RegisterLimit(count=125, reason="", is_limit=False)
    assert survey.outstanding == 16
    assert survey.latency is not None
    assert 0 < survey.latency.min_ms <= survey.latency.median_ms <= survey.latency.max_ms
    assert suggestions(survey)["max_registers"] == 125
    assert suggestions(survey)["max_outstanding"] == 16


@pytest.mark.parametrize("count", [1, 2, 32, 63, 124])
async def test_the_largest_request_is_found_to_the_register(count):
    survey = await surveyed(limited(count, 3))
    assert survey.registers == RegisterLimit(count=count, reason="exception 3, illegal data value", is_limit=True)
    assert suggestions(survey)["max_registers"] == count


async def test_registers_that_end_are_no_limit_of_a_request():
    """Exception 2 means an address that is not there: nothing may be concluded about sizes."""
    survey = await surveyed(limited(10, 2))
    assert survey.registers == RegisterLimit(count=10, reason="exception 2, illegal data address", is_limit=False)
    assert "max_registers" not in suggestions(survey)


async def test_the_end_of_the_address_space_is_respected():
    survey = await surveyed(gateway(Asked.good), address=65_530)
    assert survey.registers is not None
    assert survey.registers.count == 6


async def test_a_device_that_drops_what_is_pipelined_gets_one_request_at_a_time():
    async def one_at_a_time(caller: Caller) -> None:
        while True:
            asked = await caller.next()
            while not await caller.is_quiet():
                await caller.next()
            caller.say(asked.good())

    survey = await surveyed(one_at_a_time, timeout_ms=100)
    assert survey.outstanding == 1
    assert suggestions(survey)["max_outstanding"] == 1


async def test_a_device_that_hangs_up_on_large_requests_is_asked_on():
    async def hangs_up(caller: Caller) -> None:
        while (asked := await caller.next()).count <= 20:
            caller.say(asked.good())

    survey = await surveyed(hangs_up)
    assert survey.registers == RegisterLimit(count=20, reason="the device hung up", is_limit=False)


async def test_a_register_that_cannot_be_read_gives_nothing_to_conclude():
    survey = await surveyed(gateway(lambda asked: asked.exception(2)))
    assert survey == Survey()
    assert suggestions(survey) == {}


@pytest.mark.parametrize(("max_ms", "timeout_ms"), [(0.4, 250), (61.0, 350), (400.0, 2000), (20_000.0, 60_000)])
def test_a_timeout_leaves_room_for_a_busy_device(max_ms, timeout_ms):
    latency = Latency(rounds=20, min_ms=0.1, median_ms=0.2, max_ms=max_ms)
    assert suggestions(Survey(latency=latency)) == {"timeout_ms": timeout_ms}
