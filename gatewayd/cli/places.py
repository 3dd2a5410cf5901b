"""Where a technician points to on a Modbus device, and the reading of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from gatewayd.cli.device_scan import host_and_port
from gatewayd.clock import SystemClock
from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.asking import Asker, TcpAsker, asker_of
from gatewayd.model.device import ModbusDevice, ModbusTag, RegisterType, Tag, unit_of
from gatewayd.model.registers import words
from gatewayd.site.address import AddressError, parse_place

COUNT_DEFAULT: Final = 4
TIMEOUT_MS: Final = 3000  # of a device that no site describes
_BIT_TYPES = ("coil", "discrete")


@dataclass(frozen=True)
class ModbusPlace:
    """Some registers or bits of a unit; `address` is 0-based."""

    bus: Asker
    unit_id: int
    register_type: RegisterType
    address: int
    count: int

    @property
    def is_bits(self) -> bool:
        """Say whether these are coils or discrete inputs."""
        return self.register_type in _BIT_TYPES


def place_on_host(host: str, unit_id: int, text: str, count: int | None) -> ModbusPlace:
    """Return a place named without a site; plain addresses count from 0.

    Raises:
        click.BadParameter: no such place.
    """
    bus = TcpAsker(*host_and_port(host), TIMEOUT_MS)
    return _checked(ModbusPlace(bus, unit_id, *_parsed(text, 0), count or COUNT_DEFAULT))


def place_on_site(device: ModbusDevice, tags: Sequence[Tag], text: str, count: int | None, folder: Path) -> ModbusPlace:
    """Return the place of a tag, or one named by its address.

    Raises:
        click.BadParameter: no such place.
    """
    bus = asker_of(device, SystemClock(), folder)
    tag = next((tag for tag in tags if tag.name == text), None)
    if isinstance(tag, ModbusTag):
        place = ModbusPlace(bus, unit_of(device, tag), tag.register_type, tag.address, count or words(tag))
    else:
        place = ModbusPlace(bus, device.unit_id, *_parsed(text, device.address_base), count or COUNT_DEFAULT)
    return _checked(place)


async def read_place(place: ModbusPlace) -> list[int]:
    """Read a place once: registers as 0-65535, or bits.

    Raises:
        DeviceError.
    """
    request = pdu.read_request(pdu.READ_FUNCTION[place.register_type], place.address, place.count)
    try:
        await place.bus.open()
        response = await place.bus.ask(place.unit_id, request.pdu)
    finally:
        await place.bus.close()
    payload = pdu.check_response(request, response, f"{place.bus.name} unit {place.unit_id}")
    if place.is_bits:
        return [payload[at // 8] >> at % 8 & 1 for at in range(place.count)]
    return [int.from_bytes(payload[at : at + 2], "big") for at in range(0, len(payload), 2)]


def _parsed(text: str, address_base: int) -> tuple[RegisterType, int]:
    place = parse_place(text, address_base)
    if isinstance(place, AddressError):
        raise click.BadParameter(f"{place.message}. {place.remedy}", param_hint="PLACE")
    return place


def _checked(place: ModbusPlace) -> ModbusPlace:
    most = pdu.READ_BITS_MAX if place.is_bits else pdu.READ_REGISTERS_MAX
    if place.count > most:
        raise click.BadParameter(f"one request reads at most {most} of these", param_hint="--count")
    if place.address + place.count > pdu.ADDRESSES:
        raise click.BadParameter("the last address there is is 65535", param_hint="--count")
    return place
