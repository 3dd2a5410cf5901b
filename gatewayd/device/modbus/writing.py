"""How a value gets into a device: which requests write one tag, each sent once and never repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from gatewayd.device.modbus import pdu, values
from gatewayd.device.modbus.outcome import Answer
from gatewayd.errors import DeviceRefused
from gatewayd.model import quality
from gatewayd.model.device import ModbusDevice, ModbusTag

_ILLEGAL_FUNCTION: Final = 1
Ask = Callable[[ModbusTag, pdu.Request], Awaitable[Answer]]


class TagWriter:
    """Writes tags of one device.

    Args:
        device: its name, `write_multiple` and `bit_write`.
        ask: sends one request to where a tag lives and returns the answer.
    """

    def __init__(self, device: ModbusDevice, ask: Ask) -> None:
        self._device = device
        self._ask = ask
        self._modifying = asyncio.Lock()  # two of our own writes must not undo each other's bits

    async def write(self, tag: ModbusTag, value: float) -> None:
        """Write one tag, value in contract units; return when the device acknowledged.

        A value with a scale register is written by the factor that stands there just before. A bit or a byte of a
        register is written by function 22, by which the device leaves the other bits alone; only with `bit_write =
        "read-modify-write"` is the register read and written as a whole.

        Raises:
            DeviceRefused: the device answered no, or the value has no exact place in the tag's type; nothing changed.
            DeviceError: the state of the plant is unknown.
        """
        device = self._device
        if tag.access == "r":
            raise DeviceRefused(
                f"{device.name}: {tag.name} is not writable, its access is r",
                remedy="Set access = rw in the tag list if the gateway may write it.",
                status=quality.BAD_NOT_SUPPORTED,
                code=0,
            )
        power = 0 if tag.scale_register is None else await self._power(tag, tag.scale_register)
        wire = values.encode(tag, value, device=device.name, power=power)
        if tag.register_type == "coil" or values.owned_bits(tag) == values.WHOLE_REGISTER:
            await self._ask(tag, self._whole_request(tag, wire))
        elif device.bit_write == "mask":
            await self._mask_write(tag, wire[0])
        else:
            await self._read_modify_write(tag, wire[0])

    async def _power(self, tag: ModbusTag, register: int) -> int:
        answer = await self._ask(tag, pdu.read_request(pdu.READ_HOLDING_REGISTERS, register, 1))
        power = values.power_of(tag, answer.payload)
        if power is None:
            where = pdu.reference(tag.register_type, register)
            raise DeviceRefused(
                f"{self._device.name}: {tag.name} was not written: its scale factor in {where} is "
                f"0x{answer.payload.hex()}, no power of ten from -10 to 10",
                remedy=f"Correct scale_register or byte_order of {tag.name} in the tag list; 0x8000 means that the "
                "device does not implement the value.",
                status=quality.BAD_NOT_SUPPORTED,
                code=0,
            )
        return power

    def _whole_request(self, tag: ModbusTag, wire: tuple[int, ...]) -> pdu.Request:
        is_multiple = self._device.write_multiple
        if tag.register_type == "coil":
            if is_multiple:
                return pdu.write_coils_request(tag.address, wire)
            return pdu.write_coil_request(tag.address, bool(wire[0]))
        if is_multiple or len(wire) > 1:
            return pdu.write_registers_request(tag.address, wire)
        return pdu.write_register_request(tag.address, wire[0])

    async def _mask_write(self, tag: ModbusTag, bits: int) -> None:
        try:
            await self._ask(tag, pdu.mask_write_request(tag.address, values.owned_bits(tag), bits))
        except DeviceRefused as error:
            if error.code != _ILLEGAL_FUNCTION:
                raise
            raise DeviceRefused(
                error.message,
                remedy=f"The device cannot write a part of a register (function 22). Let the PLC offer {tag.name} as a "
                'coil or a register of its own; or set bit_write = "read-modify-write" if nothing else, the device '
                "itself included, ever changes the other bits of that register.",
                status=error.status,
                code=error.code,
            ) from error

    async def _read_modify_write(self, tag: ModbusTag, bits: int) -> None:
        owned = values.owned_bits(tag)
        async with self._modifying:
            answer = await self._ask(tag, pdu.read_request(pdu.READ_HOLDING_REGISTERS, tag.address, 1))
            others = int.from_bytes(answer.payload, "big") & ~owned
            await self._ask(tag, self._whole_request(tag, (others | bits,)))
