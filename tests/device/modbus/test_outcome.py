from __future__ import annotations

import asyncio

import msgspec
import pytest

from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.outcome import Answer, Arrival, Query, Scan, Single, make_query
from gatewayd.errors import DeviceRefused, DeviceTimeout
from gatewayd.model.block import Block, Codec

QUERY = make_query(7, pdu.read_request(3, 0, 1), 12, Codec.MODBUS_REGISTERS)
ARRIVAL = Arrival(wall_ns=200, mono_ns=30)
REFUSED = DeviceRefused("plc: no", remedy="r", status=0x80340000, code=2)
LOST = DeviceTimeout("plc: no reply", remedy="r")


def scan_of(count: int) -> tuple[Scan, list[Block]]:
    blocks: list[Block] = []
    return Scan(blocks.extend, count, asyncio.get_running_loop().create_future()), blocks


def test_a_query_is_a_frame_without_its_transaction_id() -> None:
    assert QUERY.frame.hex() == "00000006070300000001"


async def test_an_answer_becomes_a_block_with_the_bytes_as_they_came() -> None:
    scan, blocks = scan_of(1)
    scan.take([(QUERY, b"\x00\x2a", 100)], ARRIVAL)
    assert blocks == [Block(12, Codec.MODBUS_REGISTERS, 100, 200, 30, b"\x00\x2a")]
    assert scan.done.done()


async def test_answers_that_came_together_are_delivered_together_and_count_each() -> None:
    delivered: list[list[int]] = []
    take = lambda blocks: delivered.append([block.request_time_ns for block in blocks])  # noqa: E731
    scan = Scan(take, 3, asyncio.get_running_loop().create_future())
    scan.take([(QUERY, b"", 100), (QUERY, b"", 101)], ARRIVAL)
    assert not scan.done.done()
    scan.take([(QUERY, b"", 102)], ARRIVAL)
    assert (delivered, scan.done.done()) == ([[100, 101], [102]], True)


def whole(plan: int) -> Query:
    return make_query(7, pdu.read_request(3, plan, 1), plan, Codec.MODBUS_REGISTERS, joins=True)


async def test_plans_that_follow_each_other_share_a_block_and_others_do_not() -> None:
    scan, blocks = scan_of(6)
    part = msgspec.structs.replace(whole(5), joins=False)
    asked = [whole(2), whole(3), whole(4), part, whole(6), whole(8)]
    scan.take([(query, bytes((0, query.plan)), 100 + query.plan) for query in asked], ARRIVAL)
    assert [(block.plan, block.plans, block.payload, block.request_time_ns) for block in blocks] == [
        (2, 3, b"\0\2\0\3\0\4", 102),
        (5, 1, b"\0\5", 105),
        (6, 1, b"\0\6", 106),
        (8, 1, b"\0\x08", 108),
    ]
    assert scan.done.done()


async def test_a_refused_plan_is_a_lost_block_with_the_quality_of_the_refusal() -> None:
    scan, blocks = scan_of(2)
    scan.refuse(QUERY, REFUSED, 100, ARRIVAL)
    assert blocks == [Block(12, Codec.LOST, 100, 200, 30, b"", 0x80340000)]
    assert not scan.done.done()


async def test_a_failed_scan_takes_no_more_blocks() -> None:
    scan, blocks = scan_of(2)
    scan.fail(LOST)
    scan.take([(QUERY, b"", 100)], ARRIVAL)
    assert blocks == []
    with pytest.raises(DeviceTimeout):
        await scan.done


async def test_a_cancelled_scan_takes_no_more_blocks_and_no_failure() -> None:
    scan, blocks = scan_of(1)
    scan.done.cancel()
    scan.is_over = True
    scan.take([(QUERY, b"", 100)], ARRIVAL)
    scan.fail(LOST)
    assert blocks == []


async def test_a_single_request_hands_over_its_answer_and_when_it_came() -> None:
    single = Single(asyncio.get_running_loop().create_future())
    single.take([(QUERY, b"\x00\x2a", 100)], ARRIVAL)
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
    single.take([(QUERY, b"", 100)], ARRIVAL)
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
