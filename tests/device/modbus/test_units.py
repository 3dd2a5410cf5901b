"""Many units behind one TCP gateway: one of them that fails, in each way a gateway shows it."""

from __future__ import annotations

import asyncio

import pytest

from gatewayd.errors import DeviceTimeout, DeviceUnreachable
from tests.device.modbus.bus_site import site_of, tcp_device
from tests.device.modbus.peer import Caller, playing
from tests.device.modbus.plant import tag

NO_COMMUNICATION, TIMEOUT, NOT_CONNECTED = "80310000", "800a0000", "808a0000"


def of_each_unit(count: int = 3, each: int = 2):
    """Return tags of `each` requests to each of `count` units."""
    return [tag(f"u{u}_{i}", address=200 * i, unit_id=u) for u in range(1, count + 1) for i in range(each)]


def gateway(*, dead: int, how: str, asked: list[int]):
    """A gateway with one dead unit: `silent`, `exception`, or `hangs up`."""

    async def script(caller: Caller) -> None:
        while True:
            request = await caller.next()
            asked.append(request.unit_id)
            if request.unit_id != dead:
                caller.say(request.good())
            elif how == "exception":
                caller.say(request.exception(11))
            elif how == "hangs up":
                return

    return script


@pytest.mark.parametrize("outstanding", [1, 4])
@pytest.mark.parametrize(
    ("how", "status"), [("silent", TIMEOUT), ("exception", NO_COMMUNICATION), ("hangs up", NOT_CONNECTED)]
)
async def test_a_dead_unit_harms_its_own_tags_only(how, status, outstanding):
    """P-ISOLATE, whether the gateway says so, says nothing or gives up."""
    asked: list[int] = []
    async with (
        playing(gateway(dead=2, how=how, asked=asked)) as peer,
        site_of(tcp_device(peer.port, max_outstanding=outstanding), *of_each_unit()) as site,
    ):
        for _ in range(2):
            read = await site.scan()
            assert [read[unit, 0] for unit in (1, 2, 3)] == [[0], status, [0]]
            assert [read[unit, 200] for unit in (1, 2, 3)] == [[200], status, [200]]
            assert set(site.failures) == {2}
        assert peer.connections <= (1 if how == "exception" else 3)
    if outstanding == 1:
        assert asked.count(2) == 2, "one request is enough to know"


async def test_an_answer_of_another_unit_than_was_asked_is_refused():
    async def script(caller: Caller) -> None:
        while True:
            request = await caller.next()
            unit = 3 if request.unit_id == 2 else request.unit_id
            caller.say(request.frame(request.good()[7:], unit_id=unit))

    async with playing(script) as peer, site_of(tcp_device(peer.port), *of_each_unit(each=1)) as site:
        read = await site.scan()
        assert [read[unit, 0] for unit in (1, 2, 3)] == [[0], "80070000", [0]]


async def test_a_gateway_of_which_no_unit_answers_is_tried_unit_by_unit_and_not_for_ever():
    asked: list[int] = []

    async def silent(caller: Caller) -> None:
        while True:
            asked.append((await caller.next()).unit_id)

    async with playing(silent) as peer, site_of(tcp_device(peer.port, timeout_ms=50), *of_each_unit()) as site:
        await site.scan()
        assert set(site.failures) == {1, 2, 3}
        assert asked == [1, 2, 3]


async def test_a_gateway_that_goes_away_loses_all():
    async def script(caller: Caller) -> None:
        await caller.next()

    async with playing(script) as peer, site_of(tcp_device(peer.port), *of_each_unit()) as site:
        peer_port = peer.port
    with pytest.raises(DeviceUnreachable):
        async with site_of(tcp_device(peer_port), *of_each_unit()) as site:
            await site.scan()


async def test_a_write_that_nobody_answers_costs_the_others_a_reconnect():
    asked: list[int] = []
    tags = [*of_each_unit(each=1), tag("sp", address=900, unit_id=2, access="rw")]
    async with (
        playing(gateway(dead=2, how="silent", asked=asked)) as peer,
        site_of(tcp_device(peer.port), *tags) as site,
    ):
        with pytest.raises(DeviceTimeout) as timeout:
            await site.link.write(3, 1.0)
        assert timeout.value.unit == 2, "the writer leaves the link to the others"
        read = await asyncio.wait_for(site.scan(), 5)
        assert (read[1, 0], read[3, 0]) == ([0], [0])
