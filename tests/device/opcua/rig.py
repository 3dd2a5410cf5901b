"""Links and blocks as the tests of the OPC UA link make and read them."""

from __future__ import annotations

import math
import re
import struct
from array import array
from collections.abc import Sequence
from pathlib import Path

from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary

from gatewayd.clock import Clock, SystemClock
from gatewayd.device.link import silent
from gatewayd.device.opcua.link import OpcuaLink
from gatewayd.device.opcua.plan import plan_reads
from gatewayd.model.block import Block, Codec
from gatewayd.model.device import OpcuaDevice, OpcuaTag
from kernels.opcua_value import read_data_value

URI = "urn:gatewayd:test"


def tag(name: str, type: str = "float64", **settings) -> OpcuaTag:
    node_id = settings.pop("node_id", f"nsu={URI};s={name}")
    return OpcuaTag(name=name.replace(".", "_"), node_id=node_id, type=type, **settings)


def element(node: str, path: str, type: str = "float64", **settings) -> OpcuaTag:
    """A tag on one element of a node."""
    name = re.sub(r"\W+", "_", f"{node}_{path}").strip("_")
    return OpcuaTag(name=name, node_id=f"nsu={URI};s={node}", element=path, type=type, **settings)


def device(endpoint: str, **settings) -> OpcuaDevice:
    plain = {"security": "None", "mode": "None", "insecure": "accepted-by=test"}
    return OpcuaDevice(**{"name": "plant", "endpoint": endpoint, **plain, **settings})


def link_to(
    configured: OpcuaDevice, tags: Sequence[OpcuaTag], folder: Path, clock: Clock | None = None, note=silent
) -> OpcuaLink:
    numbered = list(enumerate(tags))
    plans = plan_reads(configured, numbered, 0)
    link = OpcuaLink(configured, numbered, plans, clock or SystemClock(), folder, folder / "identity")
    link.note = note
    return link


async def scan(link: OpcuaLink) -> list[Block]:
    blocks: list[Block] = []
    await link.scan(link.plans, blocks.extend)
    return blocks


def numbers(block: Block, count: int) -> list[float]:
    """What the core will make of a block, whichever way it is encoded."""
    return [value for value, _, _ in _columns(block)] if block.codec is Codec.COLUMNS else values(block.payload, count)


def element_statuses(block: Block, count: int) -> list[int]:
    """The status codes of a block, whichever way it is encoded."""
    return [code for _, code, _ in _columns(block)] if block.codec is Codec.COLUMNS else statuses(block.payload, count)


def _columns(block: Block) -> list[tuple[float, int, int]]:
    return list(struct.iter_unpack("<dqq", block.payload))


def data_values(payload: bytes, count: int) -> list[ua.DataValue]:
    """Decode a payload with asyncua, which must use up every byte."""
    buffer = ua.utils.Buffer(payload)
    values = [struct_from_binary(ua.DataValue, buffer) for _ in range(count)]
    assert len(buffer) == 0
    return values


def values(payload: bytes, count: int) -> list[float]:
    """What the decoding kernel makes of a payload: the raw numbers, NaN for what is none."""
    return kernel_reads(payload, count)[0]


def statuses(payload: bytes, count: int) -> list[int]:
    """What the decoding kernel makes of a payload: the status codes."""
    return kernel_reads(payload, count)[1]


def kernel_reads(payload: bytes, count: int) -> tuple[list[float], list[int]]:
    """Run the kernel's own reader as plain Python; it must get past every record."""
    value, bits = array("d", [math.nan] * count), array("q", bytes(8 * count))
    status, source_time = array("q", bytes(8 * count)), array("q", bytes(8 * count))
    value_bits = memoryview(value).cast("B").cast("q")
    place = 0
    for row in range(count):
        place = read_data_value(payload, place, len(payload), row, value, bits, status, source_time, value_bits)
        assert place >= 0, f"the kernel is lost in record {row} of {count}"
    assert place == len(payload)
    return list(value), list(status)
