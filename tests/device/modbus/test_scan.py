"""Units that answer, refuse, are silent, or are not what they seem."""

from __future__ import annotations

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gatewayd.clock import SystemClock
from gatewayd.device.modbus.asking import TcpAsker
from gatewayd.device.modbus.identification import BASIC, Page, encode_page
from gatewayd.device.modbus.scan import Scan, identify, parse_units
from gatewayd.errors import DeviceUnreachable
from tests.device.modbus.peer import Asked, Caller, playing


def scan_of(port: int, timeout_ms: int = 150, **settings: bool) -> Scan:
    return Scan(TcpAsker("127.0.0.1", port, timeout_ms), SystemClock(), **settings)


def quietly(unit_id: int, found: int) -> None:
    pass


def gateway(answers):
    """A serial gateway: `answers` says for each request what comes back, None for silence."""

    async def script(caller: Caller) -> None:
        while True:
            asked = await caller.next()
            if (answer := answers(asked)) is not None:
                caller.say(answer)

    return script


def several_units(asked: Asked) -> bytes | None:
    if asked.unit_id == 2:
        return asked.good() if asked.pdu[0] == 3 else asked.frame(encode_page(Page(BASIC, 1, ((0, b"ACME"),))))
    if asked.unit_id == 3:
        return asked.exception(2) if asked.pdu[0] == 3 else None
    return asked.exception(11) if asked.unit_id == 4 else None


async def test_any_answer_of_a_unit_counts_but_not_the_gateways_word_that_it_is_silent():
    async with playing(gateway(several_units)) as peer:
        scanning = scan_of(peer.port)
        await scanning.run(range(1, 6), quietly)
    assert [(unit.unit_id, unit.answer) for unit in scanning.found] == [
        (2, "ok"),
        (3, "exception 2, illegal data address"),
    ]
    named, unnamed = scanning.found
    assert named.identification is not None
    assert dict(named.identification.objects) == {"vendor": "ACME"}
    assert unnamed.identification is None
    assert 0 < named.latency_ms < 150
    assert scanning.asked == 5
    assert not scanning.ignores_unit_ids


async def test_a_device_that_hangs_up_on_units_it_does_not_have_is_asked_on():
    async def only_unit_5(caller: Caller) -> None:
        while (asked := await caller.next()).unit_id == 5:
            caller.say(asked.good())

    async with playing(only_unit_5) as peer:
        scanning = scan_of(peer.port, 2000, identify=False)
        await scanning.run((4, 5, 6), quietly)
    assert [unit.unit_id for unit in scanning.found] == [5]


async def test_a_device_that_answers_every_unit_id_is_seen_through():
    async with playing(gateway(Asked.good)) as peer:
        scanning = scan_of(peer.port, 2000, identify=False)
        await scanning.run(range(1, 21), quietly)
    assert len(scanning.found) == 20
    assert scanning.ignores_unit_ids


async def test_what_was_found_before_the_line_broke_is_kept():
    async def one_answer_ever(caller: Caller) -> None:
        caller.say((await caller.next()).good())
        await caller.next()

    async with playing(one_answer_ever) as peer:
        scanning = scan_of(peer.port, 2000, identify=False)
        told: list[tuple[int, int]] = []

        def close_the_door(unit_id: int, found: int) -> None:
            told.append((unit_id, found))
            if unit_id == 2:
                scanning._bus._port = 1  # nobody there any more

        with pytest.raises(DeviceUnreachable):
            await scanning.run((1, 2, 3), close_the_door)
    assert [unit.unit_id for unit in scanning.found] == [1]
    assert told == [(1, 0), (2, 1)]


async def test_the_units_of_a_pymodbus_server_are_found():
    words = [SimData(0, values=[0] * 10, datatype=DataType.REGISTERS)]
    devices = [SimDevice(3, simdata=words), SimDevice(9, simdata=words)]
    server = ModbusTcpServer(devices, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    try:
        scanning = scan_of(server.transport.sockets[0].getsockname()[1])
        await scanning.run(range(1, 11), quietly)
    finally:
        await server.shutdown()
    assert [unit.unit_id for unit in scanning.found if unit.answer == "ok"] == [3, 9]
    assert not scanning.ignores_unit_ids, "pymodbus answers for the others with an exception of its own"


async def test_a_device_without_identification_is_still_open_for_questions():
    async def hangs_up_on_43(caller: Caller) -> None:
        while (asked := await caller.next()).pdu[0] == 3:
            caller.say(asked.good())

    async with playing(hangs_up_on_43) as peer:
        bus = TcpAsker("127.0.0.1", peer.port, 2000)
        await bus.open()
        assert await identify(bus, 1) is None
        assert await bus.ask(1, b"\x03\0\x01\0\x01") == b"\x03\x02\0\x01"
        await bus.close()


def test_unit_ids_are_read_as_people_write_them():
    assert parse_units("1-3,7, 5,2") == (1, 2, 3, 7, 5)


@pytest.mark.parametrize("wrong", ["", "a", "1-", "300", "9-3", "1--3", "-1", "1,,2", "1-99999999999"])
def test_what_is_no_list_of_unit_ids_is_refused(wrong):
    with pytest.raises(ValueError, match=r"unit id"):
        parse_units(wrong)
