from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.connection import SINGLES_WAITING_MAX, Connection
from gatewayd.device.modbus.outcome import Query, make_query
from gatewayd.device.modbus.window import OutstandingWindow
from gatewayd.errors import DeviceError, DeviceProtocolError, DeviceRefused, DeviceTimeout, DeviceUnreachable
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec
from tests.clock import ManualClock
from tests.device.modbus.peer import Asked
from tests.device.modbus.plant import device


class Wire(asyncio.Transport):
    """The device's end of the cable: keeps what was sent, in the pieces it was sent in."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[list[Asked]] = []
        self.is_aborted = False
        self.was_written = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        frames = []
        while data:
            size = 6 + int.from_bytes(data[4:6], "big")
            frames.append(Asked(int.from_bytes(data[:2], "big"), data[6], bytes(data[7:size])))
            data = data[size:]
        self.sent.append(frames)
        self.was_written.set()

    def abort(self) -> None:
        self.is_aborted = True

    @property
    def addresses(self) -> list[list[int]]:
        return [[asked.address for asked in piece] for piece in self.sent]


class Bench:
    """A connection without a network."""

    def __init__(self, outstanding: int = 1, **limits: Any) -> None:
        self.device = device(max_outstanding=outstanding, **limits)
        self.clock = ManualClock(wall_ns=1000, monotonic_ns=10)
        self.window = OutstandingWindow(outstanding)
        self.wire = Wire()
        self.connection = Connection(self.device, self.clock, self.window, 0)
        self.connection.connection_made(self.wire)
        self.blocks: list[Block] = []
        self.answered = 0

    def query(self, address: int, count: int = 1) -> Query:
        return make_query(1, pdu.read_request(3, address, count), address, Codec.MODBUS_REGISTERS)

    def write(self, address: int) -> Query:
        return make_query(1, pdu.write_register_request(address, 5))

    def scan(self, *addresses: int) -> asyncio.Task[None]:
        queries = [self.query(address) for address in addresses]
        return asyncio.create_task(self.connection.read(queries, self.blocks.extend))

    def ask(self, query: Query) -> asyncio.Task[Any]:
        return asyncio.create_task(self.connection.ask(query))

    def answer(self, count: int = 1) -> None:
        """Answer the next requests in the order in which they were sent, in one segment."""
        asked = [asked for piece in self.wire.sent for asked in piece]
        good = [one.good() for one in asked[self.answered : self.answered + count]]
        assert len(good) == count
        self.answered += count
        self.connection.data_received(b"".join(good))


async def turn() -> None:
    """Let tasks run up to where they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_request_at_a_time_waits_for_each_answer() -> None:
    bench = Bench()
    scan = bench.scan(10, 20, 30)
    for sent in ([[10]], [[10], [20]], [[10], [20], [30]]):
        await turn()
        assert bench.wire.addresses == sent
        bench.answer()
    await scan
    assert [block.payload for block in bench.blocks] == [b"\x00\x0a", b"\x00\x14", b"\x00\x1e"]


async def test_pipelined_requests_leave_in_one_piece_and_each_answer_makes_room() -> None:
    bench = Bench(outstanding=3)
    scan = bench.scan(1, 2, 3, 4, 5, 6)
    await turn()
    bench.answer(2)
    bench.answer(1)
    bench.answer(3)
    await scan
    assert bench.wire.addresses == [[1, 2, 3], [4, 5], [6]]
    assert len({asked.transaction_id for piece in bench.wire.sent for asked in piece}) == 6


async def test_answers_are_matched_by_transaction_id_in_whatever_order_they_come() -> None:
    bench = Bench(outstanding=3)
    scan = bench.scan(1, 2, 3)
    await turn()
    for asked in reversed(bench.wire.sent[0]):
        bench.connection.data_received(asked.good())
    await scan
    assert [(block.plan, block.payload) for block in bench.blocks] == [(3, b"\0\3"), (2, b"\0\2"), (1, b"\0\1")]


async def test_a_block_carries_when_it_was_asked_and_when_its_last_byte_came() -> None:
    bench = Bench()
    scan = bench.scan(7)
    await turn()
    frame = bench.wire.sent[0][0].good()
    await bench.clock.advance(500)
    bench.connection.data_received(frame[:-1])
    await bench.clock.advance(70)
    bench.connection.data_received(frame[-1:])
    await scan
    assert bench.blocks == [Block(7, Codec.MODBUS_REGISTERS, 1000, 1570, 580, b"\x00\x07")]


async def test_a_write_goes_before_waiting_reads_and_travels_alone() -> None:
    bench = Bench(outstanding=2)
    scan = bench.scan(1, 2, 3, 4)
    await turn()
    write = bench.ask(bench.write(900))
    await turn()
    assert bench.wire.addresses == [[1, 2]]
    bench.answer(1)
    assert bench.wire.addresses == [[1, 2]], "the write waits until it can go alone, and no read overtakes it"
    bench.answer(1)
    assert bench.wire.addresses == [[1, 2], [900]]
    bench.answer(1)
    await write
    assert bench.wire.addresses == [[1, 2], [900], [3, 4]]
    bench.answer(2)
    await scan


async def test_writes_keep_their_order() -> None:
    bench = Bench(outstanding=4)
    writes = [bench.ask(bench.write(address)) for address in (5, 6, 7)]
    await turn()
    for _ in writes:
        bench.answer()
    await asyncio.gather(*writes)
    assert bench.wire.addresses == [[5], [6], [7]]


async def test_writes_beyond_the_limit_are_refused_before_they_are_sent() -> None:
    bench = Bench()
    waiting = [bench.ask(bench.write(address)) for address in range(SINGLES_WAITING_MAX + 1)]
    await turn()
    with pytest.raises(DeviceRefused, match="write holding register 41000 was not sent: 64 requests wait") as error:
        await bench.connection.ask(bench.write(999))
    assert error.value.remedy
    bench.connection.abort()
    assert all(isinstance(result, DeviceError) for result in await asyncio.gather(*waiting, return_exceptions=True))


async def test_an_exception_answer_loses_one_plan_and_the_others_go_on() -> None:
    bench = Bench(outstanding=2)
    scan = bench.scan(1, 2)
    await turn()
    first, second = bench.wire.sent[0]
    bench.connection.data_received(first.exception(2) + second.good())
    await scan
    assert bench.blocks == [
        Block(1, Codec.LOST, 1000, 1000, 10, b"", quality.BAD_NODE_ID_UNKNOWN),
        Block(2, Codec.MODBUS_REGISTERS, 1000, 1000, 10, b"\x00\x02"),
    ]


async def test_the_oldest_request_without_an_answer_ends_the_connection_and_all_that_wait() -> None:
    bench = Bench(outstanding=2, timeout_ms=30)
    scan = bench.scan(0, 1, 2)
    write = bench.ask(bench.write(8))
    with pytest.raises(DeviceTimeout) as timeout:
        await scan
    assert timeout.value.message == (
        "plc: no reply to read holding register 40001 in 30 ms, with 2 requests open; from now on one at a time"
    )
    assert "max_outstanding = 1" in timeout.value.remedy
    with pytest.raises(DeviceTimeout, match="plc: write holding register 40009 was not sent: no reply to read"):
        await write
    assert bench.wire.is_aborted
    assert bench.window.limit == 1


async def test_each_request_has_the_whole_timeout_for_itself() -> None:
    """The timer is set for the first request only; a later one must not inherit what is left of it."""
    bench = Bench(timeout_ms=50)
    loop = asyncio.get_running_loop()
    scan = bench.scan(1, 2)
    await turn()
    await asyncio.sleep(0.03)
    bench.answer()
    second_sent = loop.time()
    with pytest.raises(DeviceTimeout, match="read holding register 40003"):
        await scan
    assert loop.time() - second_sent >= 0.048


async def test_an_idle_connection_does_not_time_out() -> None:
    bench = Bench(timeout_ms=10)
    scan = bench.scan(1)
    await turn()
    bench.answer()
    await scan
    await asyncio.sleep(0.03)
    assert bench.connection.failure is None


async def test_a_late_answer_is_never_the_answer_to_a_later_request() -> None:
    bench = Bench(timeout_ms=20)
    with pytest.raises(DeviceTimeout):
        await bench.scan(1)
    late = bench.wire.sent[0][0].good()
    successor = Connection(bench.device, bench.clock, bench.window, bench.connection.transaction_id)
    successor.connection_made(Wire())
    bench.connection.data_received(late)
    scan = asyncio.create_task(successor.read([bench.query(1)], bench.blocks.extend))
    await turn()
    successor.data_received(late)  # as a serial gateway does that answers on whatever connection is open
    with pytest.raises(DeviceProtocolError, match="an answer to no open request"):
        await scan
    assert bench.blocks == []


@pytest.mark.parametrize("mistake", ["stray id", "unit id", "short", "long", "function", "twice"])
async def test_an_answer_that_is_not_to_the_request_ends_the_connection(mistake: str) -> None:
    bench = Bench()
    scan = bench.scan(1, 2)
    await turn()
    (asked,) = bench.wire.sent[0]
    bench.connection.data_received(
        {
            "stray id": asked.frame(b"\x03\x02\x00\x01", transaction_id=asked.transaction_id + 1),
            "unit id": asked.frame(b"\x03\x02\x00\x01", unit_id=9),
            "short": asked.frame(b"\x03\x02\x00"),
            "long": asked.frame(b"\x03\x04\x00\x01\x00\x02"),
            "function": asked.frame(b"\x04\x02\x00\x01"),
            "twice": asked.exception(6) + asked.good(),
        }[mistake]
    )
    with pytest.raises(DeviceProtocolError):
        await scan
    assert bench.wire.is_aborted
    assert [block.codec for block in bench.blocks] == ([Codec.LOST] if mistake == "twice" else [])
    with pytest.raises(DeviceProtocolError):
        await bench.scan(1)
    with pytest.raises(DeviceProtocolError, match="was not sent"):
        await bench.ask(bench.write(1))


@given(chunks=st.lists(st.binary(min_size=1, max_size=80), max_size=6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_raises_nothing_but_a_protocol_error(chunks: list[bytes]) -> None:
    async def play() -> None:
        bench = Bench(outstanding=4)
        scan = bench.scan(1, 2, 3, 4)
        await turn()
        bench.answer(2)
        for chunk in chunks:
            bench.connection.data_received(chunk)
        failure = bench.connection.failure
        assert failure is None or type(failure) is DeviceProtocolError
        bench.connection.abort()
        with pytest.raises(DeviceError):
            await scan
        assert [block.plan for block in bench.blocks][:2] == [1, 2]

    asyncio.run(play())


async def test_a_lost_connection_says_what_was_open() -> None:
    bench = Bench()
    scan = bench.scan(0)
    await turn()
    bench.connection.connection_lost(ConnectionResetError("reset by peer"))
    with pytest.raises(DeviceUnreachable) as error:
        await scan
    assert error.value.message == (
        "plc: the connection was lost while read holding register 40001 was open (reset by peer)"
    )


async def test_a_bug_in_the_taker_of_blocks_comes_to_light_as_itself() -> None:
    """asyncio reports what `data_received` raised to `connection_lost`; it must not pass for the device's fault."""
    bench = Bench()

    def broken(_: Block) -> None:
        raise KeyError("no such row")

    scan = asyncio.create_task(bench.connection.read([bench.query(1)], broken))
    await turn()
    with pytest.raises(KeyError) as bug:
        bench.answer()
    bench.connection.connection_lost(bug.value)
    with pytest.raises(KeyError, match="no such row"):
        await scan


async def test_a_cancelled_scan_sends_no_more_and_its_answers_disturb_nobody() -> None:
    bench = Bench()
    cancelled = bench.scan(1, 2)
    following = bench.scan(3)
    await turn()
    cancelled.cancel()
    await turn()
    bench.answer()
    await turn()
    bench.answer()
    await following
    assert cancelled.cancelled()
    assert bench.wire.addresses == [[1], [3]]
    assert [block.plan for block in bench.blocks] == [3]


async def test_a_cancelled_write_that_was_not_sent_is_not_sent() -> None:
    bench = Bench()
    scan = bench.scan(1)
    await turn()
    write = bench.ask(bench.write(50))
    await turn()
    write.cancel()
    await turn()
    bench.answer()
    await scan
    assert bench.wire.addresses == [[1]]


async def test_the_pause_between_requests_is_kept() -> None:
    bench = Bench(outstanding=4, inter_request_delay_ms=20)
    loop = asyncio.get_running_loop()
    scan = bench.scan(1, 2)
    await turn()
    assert bench.wire.addresses == [[1]]
    bench.wire.was_written.clear()
    bench.answer()
    answered = loop.time()
    await bench.wire.was_written.wait()
    assert loop.time() - answered >= 0.018
    bench.answer()
    await scan


async def test_transaction_ids_go_round_after_65535() -> None:
    bench = Bench(outstanding=3)
    bench.connection.transaction_id = 65_534
    scan = bench.scan(1, 2, 3)
    await turn()
    bench.answer(3)
    await scan
    assert [asked.transaction_id for asked in bench.wire.sent[0]] == [65_535, 0, 1]


async def test_a_scan_of_nothing_is_done_at_once() -> None:
    bench = Bench()
    await bench.connection.read([], bench.blocks.extend)
    assert bench.wire.sent == []


async def test_an_exception_among_good_answers_in_one_segment_costs_its_own_plan_only() -> None:
    """What is no good answer is looked at closely, and what follows it in the segment is not lost."""
    bench = Bench(outstanding=4)
    bench.window.is_unproven = False
    scan = bench.scan(10, 11, 12, 13)
    await asyncio.sleep(0)
    (asked,) = bench.wire.sent
    refused = asked[1].frame(b"\x83\x02")
    segment = asked[0].good() + refused + asked[2].good() + asked[3].good()
    bench.connection.data_received(segment[:-3])
    bench.connection.data_received(segment[-3:])
    await scan
    assert [(block.plan, block.codec is Codec.LOST) for block in bench.blocks] == [
        (10, False),
        (11, True),
        (12, False),
        (13, False),
    ]
