"""Which requests write a tag, seen from the device."""

from __future__ import annotations

import asyncio
import struct

import pytest

from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.outcome import Answer
from gatewayd.device.modbus.writing import TagWriter
from gatewayd.errors import DeviceRefused
from gatewayd.model import quality
from gatewayd.model.device import ModbusTag
from tests.device.modbus.plant import device, tag


class Plc:
    """Holding registers, and what they were asked; it refuses function codes on request."""

    def __init__(self, refuses: tuple[int, ...] = (), **settings: object) -> None:
        self.registers = dict.fromkeys(range(20), 0)
        self.asked: list[str] = []
        self._refuses = refuses
        self.writer = TagWriter(device(**settings), self.ask)

    async def ask(self, tag: ModbusTag, request: pdu.Request) -> Answer:
        self.asked.append(f"{request.function} {request.pdu[1:].hex()}")
        await asyncio.sleep(0)  # another write may come in between
        if request.function in self._refuses:
            pdu.check_response(request, bytes((request.function | 0x80, 1)), "plc")
        address, content = request.address, request.pdu[3:]
        if request.function == pdu.READ_HOLDING_REGISTERS:
            return Answer(struct.pack(">H", self.registers[address]), 0)
        if request.function == pdu.MASK_WRITE_REGISTER:
            and_mask, or_mask = struct.unpack(">HH", content)
            self.registers[address] = self.registers[address] & and_mask | or_mask & ~and_mask & 0xFFFF
        elif request.function == pdu.WRITE_REGISTERS:
            for place, register in enumerate(struct.unpack(f">{request.count}H", content[3:])):
                self.registers[address + place] = register
        return Answer(b"", 0)


async def test_a_bit_of_a_register_is_written_by_the_device_itself() -> None:
    plc = Plc()
    plc.registers[5] = 0xF00F
    await plc.writer.write(tag("valve", address=5, type="bool", bit=8, access="rw"), 1.0)
    await plc.writer.write(tag("motor", address=5, type="bool", bit=0, access="rw"), 0.0)
    await plc.writer.write(tag("level", address=5, type="uint8", byte="high", access="rw"), 18.0)
    assert plc.registers[5] == 0x120E
    assert plc.asked == ["22 0005feff0100", "22 0005fffe0000", "22 000500ff1200"]


async def test_a_device_without_function_22_says_what_can_be_done() -> None:
    plc = Plc(refuses=(22,))
    with pytest.raises(DeviceRefused) as error:
        await plc.writer.write(tag("valve", address=5, type="bool", bit=8, access="rw"), 1.0)
    assert error.value.message.startswith("plc: illegal function (exception 1) in answer to write bits of holding reg")
    assert 'set bit_write = "read-modify-write"' in error.value.remedy
    assert (error.value.code, error.value.status) == (1, quality.BAD_NOT_SUPPORTED)
    assert len(plc.asked) == 1, "nothing is tried that was not configured"


async def test_read_modify_write_is_done_only_when_configured_and_one_at_a_time() -> None:
    """Two of our own writes to one register never undo each other."""
    plc = Plc(refuses=(22,), bit_write="read-modify-write")
    plc.registers[5] = 0x8001
    bits = [tag(f"b{bit}", address=5, type="bool", bit=bit, access="rw") for bit in (1, 2, 3)]
    await asyncio.gather(*(plc.writer.write(bit, 1.0) for bit in bits))
    assert plc.registers[5] == 0x800F
    assert [asked.split()[0] for asked in plc.asked] == ["3", "16"] * 3


async def test_a_set_point_is_scaled_by_the_factor_the_device_holds_at_that_moment() -> None:
    plc = Plc()
    limit = tag("limit", address=2, type="uint16", scale_register=9, access="rw")
    plc.registers[9] = 0xFFFE  # 10^-2
    await plc.writer.write(limit, 12.34)
    plc.registers[9] = 0x0001
    await plc.writer.write(limit, 12340.0)
    assert plc.registers[2] == 1234
    assert plc.asked == ["3 00090001", "16 000200010204d2", "3 00090001", "16 000200010204d2"]


async def test_without_a_scale_factor_nothing_is_written() -> None:
    plc = Plc()
    plc.registers[9] = 0x8000
    with pytest.raises(DeviceRefused, match="its scale factor in holding register 40010 is 0x8000") as error:
        await plc.writer.write(tag("limit", address=2, scale_register=9, access="rw"), 1.0)
    assert error.value.remedy
    assert plc.asked == ["3 00090001"]


async def test_a_text_is_never_written() -> None:
    plc = Plc()
    with pytest.raises(DeviceRefused, match="cannot be written"):
        await plc.writer.write(tag("name", type="string", length=2, access="rw"), 1.0)
    assert plc.asked == []
