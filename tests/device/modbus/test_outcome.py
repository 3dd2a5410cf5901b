from __future__ import annotations

import asyncio

import pytest

from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.outcome import Answer, Arrival, Scan, Single, make_query
from gatewayd.errors import DeviceRefused, DeviceTimeout
from gatewayd.model.block import Block, Codec

QUERY = make_query(7, pdu.read_request(3, 0, 1), 12, Codec.MODBUS_REGISTERS)
ARRIVAL = Arrival(wall_ns=200, mono_ns=30)
REFUSED = DeviceRefused("plc: no", remedy="r", status=0x80340000, code=2)
LOST = DeviceTimeout("plc: no reply", remedy="r")


def scan_of(count: int) -> tuple[Scan, list[Block]]:
    blocks: list[Block] = []
    return Scan(blocks.append, count, asyncio.get_running_loop().create_future()), blocks


def test_a_query_is_a_frame_without_its_transaction_id() -> None:
    assert QUERY.frame.hex() == "00000006070300000001"


async def test_an_answer_becomes_a_block_with_the_bytes_as_they_came() -> None:
    scan, blocks = scan_of(1)
    scan.take(QUERY, b"\x00\x2a", 100, ARRIVAL)
    assert blocks == [Block(12, Codec.MODBUS_REGISTERS, 100, 200, 30, b"\x00\x2a")]
    assert scan.done.done()


async def test_a_refused_plan_is_a_lost_block_with_the_quality_of_the_refusal() -> None:
    scan, blocks = scan_of(2)
    scan.refuse(QUERY, REFUSED, 100, ARRIVAL)
    assert blocks == [Block(12, Codec.LOST, 100, 200, 30, b"", 0x80340000)]
    assert not scan.done.done()


async def test_a_failed_scan_takes_no_more_blocks() -> None:
    scan, blocks = scan_of(2)
    scan.fail(LOST)
    scan.take(QUERY, b"", 100, ARRIVAL)
    assert blocks == []
    with pytest.raises(DeviceTimeout):
        await scan.done


async def test_a_cancelled_scan_takes_no_more_blocks_and_no_failure() -> None:
    scan, blocks = scan_of(1)
    scan.done.cancel()
    scan.is_over = True
    scan.take(QUERY, b"", 100, ARRIVAL)
    scan.fail(LOST)
    assert blocks == []


async def test_a_single_request_hands_over_its_answer_and_when_it_came() -> None:
    single = Single(asyncio.get_running_loop().create_future())
    single.take(QUERY, b"\x00\x2a", 100, ARRIVAL)
    assert await single.done == Answer(b"\x00\x2a", 200)
    assert single.is_over


async def test_a_single_request_hands_over_a_refusal_as_it_is() -> None:
    single = Single(asyncio.get_running_loop().create_future())
    single.refuse(QUERY, REFUSED, 100, ARRIVAL)
    with pytest.raises(DeviceRefused) as error:
        await single.done
    assert error.value is REFUSED


async def test_a_single_request_that_was_cancelled_ignores_what_comes() -> None:
    single = Single(asyncio.get_running_loop().create_future())
    single.done.cancel()
    single.take(QUERY, b"", 100, ARRIVAL)
    single.fail(LOST)
    assert single.is_over


def test_a_query_knows_how_a_good_answer_begins_and_how_long_it_is() -> None:
    read = b"\x00\x01" + bytes.fromhex("00000005070302002a")
    assert read[2:].startswith(QUERY.answer_head)
    assert read[2 + len(QUERY.answer_head) :] == b"\x00\x2a"
    assert QUERY.answer_size == len(read)
    write = make_query(7, pdu.write_register_request(3, 5))
    assert b"\x00\x01" + write.answer_head == b"\x00\x01" + write.frame
    assert write.answer_size == len(write.frame) + 2
