"""Where a technician points to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import pytest

from gatewayd.cli.places import place_on_host, place_on_site, read_place
from gatewayd.model.device import ModbusTag, ModbusTcpDevice
from tests.cli.sites import small_plc

DEVICE = ModbusTcpDevice(name="plc", host="127.0.0.1", unit_id=7, address_base=1)
TAGS = (ModbusTag(name="flow", register_type="input", address=4, type="float32"),)


def test_a_tag_brings_its_own_width():
    place = place_on_site(DEVICE, TAGS, "flow", None, Path())
    assert (place.unit_id, place.register_type, place.address, place.count) == (7, "input", 4, 2)
    assert place_on_site(DEVICE, TAGS, "flow", 6, Path()).count == 6


def test_an_address_counts_from_the_devices_base():
    assert place_on_site(DEVICE, TAGS, "holding:1", None, Path()).address == 0
    assert place_on_host("127.0.0.1", 1, "holding:1", None).address == 1


@pytest.mark.parametrize(
    ("text", "count"), [("7", None), ("holding:1", 126), ("holding:65536", 2), ("coil:1", 2001), ("nothing", None)]
)
def test_a_place_that_cannot_be_read_is_refused(text, count):
    with pytest.raises(click.BadParameter):
        place_on_site(DEVICE, TAGS, text, count, Path())


def test_registers_are_read_once():
    with small_plc() as (port, heard):
        assert asyncio.run(read_place(place_on_host(f"127.0.0.1:{port}", 1, "holding:3", 2))) == [3, 4]
    assert [pdu[0] for pdu in heard] == [3]
