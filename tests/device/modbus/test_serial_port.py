"""A serial port, and the units on it: a pseudo-terminal in the place of the adapter. P-ISOLATE and P-STALE."""

from __future__ import annotations

import asyncio
import os
import termios
import tty
from collections.abc import Iterator

import pytest

from gatewayd.device.modbus import serial_port
from gatewayd.device.modbus.line import Ears
from gatewayd.device.modbus.serial_port import SerialLine
from gatewayd.errors import DeviceTimeout, DeviceUnreachable
from hil.plants import rtu_bus
from hil.plants.rtu_bus import RtuBus
from tests.device.modbus.bus_site import serial_device, site_of
from tests.device.modbus.plant import tag

TIMEOUT, BROKEN = "800a0000", "80070000"


@pytest.fixture
def bus() -> Iterator[RtuBus]:
    with RtuBus(range(1, 4)) as bus:
        yield bus


def of_each_unit():
    return [tag(f"t{unit}", address=unit, unit_id=unit) for unit in (1, 2, 3)]


async def test_every_unit_of_a_bus_is_read_and_written_through_one_port(bus):
    async with site_of(serial_device(bus.port), *of_each_unit(), tag("sp", address=9, unit_id=2, access="rw")) as site:
        assert await site.scan() == {
            (1, 1): [1001],
            (2, 2): [2002, 2003, 2004, 2005, 2006, 2007, 2008, 2009],
            (3, 3): [3003],
        }
        await site.link.write(3, 77.0)
        assert (await site.link.read_back(3)).value == 77.0
    assert bus.written == {(2, 9): 77}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (rtu_bus.silent, TIMEOUT),
        (rtu_bus.late(0.12), TIMEOUT),
        (rtu_bus.dropped_byte, "either"),
        (rtu_bus.flipped_bit, BROKEN),
        (rtu_bus.garbage_before, BROKEN),
        (rtu_bus.garbage_only, BROKEN),
        (rtu_bus.as_another_unit, BROKEN),
        (rtu_bus.as_another_function, BROKEN),
        (rtu_bus.one_register_less, BROKEN),
    ],
    ids=["silent", "late", "dropped byte", "flipped bit", "garbage before", "garbage", "unit", "function", "count"],
)
async def test_a_unit_that_fails_in_any_way_harms_its_own_tags_only(bus, fault, status):
    """P-ISOLATE, P-STALE: no value of another unit is lost, and none comes from the wrong answer."""
    bus.faults[2] = fault
    async with site_of(serial_device(bus.port), *of_each_unit()) as site:
        for _ in range(3):
            read = await site.scan()
            assert (read[1, 1], read[3, 3]) == ([1001], [3003])
            assert read[2, 2] in ((TIMEOUT, BROKEN) if status == "either" else (status,))
            assert set(site.failures) == {2}
        del bus.faults[2]
        assert (await site.scan())[2, 2] == [2002]


async def test_a_late_answer_is_never_taken_for_that_of_the_next_request_to_the_same_unit(bus):
    """P-STALE: two requests that differ in nothing but the address."""
    bus.faults[1] = rtu_bus.late(0.15)
    tags = [tag("a", address=1), tag("b", address=50, scan_class="default")]
    async with site_of(serial_device(bus.port), *tags) as site:
        for _ in range(3):
            assert await site.scan() == {(1, 1): TIMEOUT, (1, 50): TIMEOUT}
        bus.faults.clear()
        assert await site.scan() == {(1, 1): [1001], (1, 50): [1050]}


async def test_noise_is_repaired_by_one_repetition(bus):
    def once(frame: bytes) -> rtu_bus.Replies:
        del bus.faults[2]
        return rtu_bus.flipped_bit(frame)

    async with site_of(serial_device(bus.port, retries=1), *of_each_unit()) as site:
        await site.scan()
        bus.faults[2] = once
        assert await site.scan() == {(1, 1): [1001], (2, 2): [2002], (3, 3): [3003]}


async def test_an_adapter_that_echoes():
    with RtuBus([1], echo=True) as bus:
        tags = [tag("a", address=1, access="rw")]
        async with site_of(serial_device(bus.port, local_echo=True), *tags) as site:
            assert await site.scan() == {(1, 1): [1001]}
            await site.link.write(0, 5.0)
            assert await site.scan() == {(1, 1): [5]}


async def test_a_write_that_nobody_answers_leaves_the_port_open(bus):
    """P-ISOLATE: the scan of the others goes on beside it."""
    bus.faults[2] = rtu_bus.silent
    async with site_of(serial_device(bus.port), *of_each_unit(), tag("sp", address=2, unit_id=2, access="rw")) as site:
        scan = asyncio.ensure_future(site.scan())
        with pytest.raises(DeviceTimeout) as timeout:
            await site.link.write(3, 1.0)
        assert timeout.value.unit == 2
        read = await scan
        assert (read[1, 1], read[3, 3]) == ([1001], [3003])
    assert sum(asked.unit == 2 and asked.pdu[0] == 16 for asked in bus.asked) == 1, "a write is sent once"


async def test_a_port_that_is_not_there_or_in_use_is_said_with_its_cure(bus, tmp_path):
    with pytest.raises(DeviceUnreachable, match=r"cannot be reached: .*No such file") as missing:
        async with site_of(serial_device(str(tmp_path / "ttyUSB9")), tag()):
            pass
    assert "/dev/serial/by-id/" in missing.value.remedy
    async with site_of(serial_device(bus.port), tag()):
        with pytest.raises(DeviceUnreachable, match="cannot be reached"):
            async with site_of(serial_device(bus.port), tag()):
                pass
    with pytest.raises(DeviceUnreachable):
        async with site_of(serial_device("/dev/null"), tag()):
            pass


async def test_the_port_gets_the_settings_of_the_bus(monkeypatch):
    """A pseudo-terminal takes the speed and the stop bits; it has no parity, and says so."""
    monkeypatch.setattr(serial_port, "_PSEUDO", "/nowhere")
    master, slave = os.openpty()
    nobody = Ears(lambda _: None, lambda _: None, lambda _: None)
    try:
        line = SerialLine(serial_device(os.ttyname(slave), baud_rate=9600, parity="none", stop_bits=2), nobody)
        _, output, control, local, speed_in, speed_out, _ = termios.tcgetattr(slave)
        assert (speed_in, speed_out) == (termios.B9600, termios.B9600)
        assert control & (termios.CSIZE | termios.CSTOPB | termios.PARENB) == termios.CS8 | termios.CSTOPB
        assert (output, local) == (0, 0)
        line.close()
        line.close()
        with pytest.raises(OSError, match=r"does not take baud_rate, parity|Invalid argument"):
            SerialLine(serial_device(os.ttyname(slave), parity="odd"), nobody)
    finally:
        os.close(master)
        os.close(slave)


async def test_an_adapter_that_is_pulled_out_is_lost_and_found_again():
    master, slave = os.openpty()
    tty.setraw(slave)
    async with site_of(serial_device(os.ttyname(slave), timeout_ms=5000), tag()) as site:
        scan = asyncio.ensure_future(site.scan())
        await asyncio.sleep(0.01)
        os.close(slave)
        os.close(master)
        with pytest.raises(DeviceUnreachable, match=r"was lost|was not sent"):
            await asyncio.wait_for(scan, 10)
