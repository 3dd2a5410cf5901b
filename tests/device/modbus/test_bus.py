"""The bus master on a line written byte by byte, with a clock moved by hand. P-STALE and P-ISOLATE on a bus."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.bus import ASKS_WAITING_MAX, DRAINS_MAX, Bus, Pace
from gatewayd.device.modbus.datagram import DatagramFraming
from gatewayd.device.modbus.framing import Framing
from gatewayd.device.modbus.outcome import Query, make_query
from gatewayd.device.modbus.rtu import RtuFraming
from gatewayd.errors import DeviceProtocolError, DeviceRefused, DeviceTimeout, DeviceUnreachable, UnitsLost
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec
from gatewayd.model.device import ModbusSerialDevice, ModbusUdpDevice
from tests.clock import ManualClock

MS = 1_000_000
TIMEOUT = 200 * MS
PACE = Pace(11e9 / 9600)  # ns per character
SILENCE = PACE.silence_ns
AT_ONCE = 0


def query(unit: int, address: int = 0, count: int = 1) -> Query:
    return make_query(unit, pdu.read_request(3, address, count), 100 * unit + address, Codec.MODBUS_REGISTERS)


def write(unit: int, address: int = 0) -> Query:
    return make_query(unit, pdu.write_register_request(address, 5))


def answer(unit: int, *registers: int) -> bytes:
    body = b"".join(register.to_bytes(2, "big") for register in registers)
    return RtuFraming().encode(unit, bytes((3, len(body))) + body)


class Bench:
    """A bus whose other end is the test. The line is silent from the start, so the first drain is over."""

    def __init__(self, framing: Framing | None = None, pace: Pace = PACE, **settings: Any) -> None:
        limits = {"name": "bus", "timeout_ms": TIMEOUT // MS, "retries": 0, **settings}
        self.device: Any = (
            ModbusUdpDevice(host="h", **limits) if framing else ModbusSerialDevice(serial_port="/dev/null", **limits)
        )
        self.clock = ManualClock()
        self.sent: list[bytes] = []
        self.is_closed = False
        self.breaks: OSError | None = None
        self.bus = Bus(self.device, framing or RtuFraming(), self.clock, pace)
        self.bus.use(self)
        self.blocks: list[Block] = []
        self.tasks: list[asyncio.Future[Any]] = []

    # --- the line

    def send(self, frame: bytes) -> None:
        if self.breaks:
            raise self.breaks
        self.sent.append(frame)

    def close(self) -> None:
        self.is_closed = True

    # --- the test

    def scan(self, *queries: Query) -> asyncio.Future[None]:
        task = asyncio.ensure_future(self.bus.read(queries, self.blocks.extend))
        self.tasks.append(task)
        return task

    def ask(self, single: Query) -> asyncio.Future[Any]:
        task = asyncio.ensure_future(self.bus.ask(single))
        self.tasks.append(task)
        return task

    async def hear(self, arrived: bytes, after_ns: int = AT_ONCE) -> None:
        await self.clock.advance(after_ns)
        self.bus.ears.heard(arrived)
        await self.clock.settle()

    @property
    def asked(self) -> list[int]:
        """The units that were asked, in order."""
        return [frame[0] for frame in self.sent]

    def told(self) -> list[tuple[int, bool, bytes | int]]:
        """Plan, whether it is lost, and its bytes or status."""
        return [(b.plan, b.codec is Codec.LOST, b.status or b.payload) for b in self.blocks]


@pytest.fixture
async def bench():
    bench = Bench()
    await bench.clock.advance(TIMEOUT)
    yield bench
    await end(bench)


async def end(bench: Bench) -> None:
    for task in bench.tasks:
        task.cancel()
    await asyncio.gather(*bench.tasks, return_exceptions=True)


async def quiet_bench(framing: Framing | None = None, pace: Pace = PACE, **settings: Any) -> Bench:
    bench = Bench(framing, pace, **settings)
    await bench.clock.advance(TIMEOUT)
    return bench


# --- one at a time ------------------------------------------------------------------------------------------------------


async def test_one_request_is_in_flight_and_the_next_waits_for_three_and_a_half_characters_of_silence(bench):
    scan = bench.scan(query(1), query(2))
    await bench.clock.advance(AT_ONCE)
    assert bench.asked == [1]
    await bench.hear(answer(1, 11)[:3], after_ns=MS)
    await bench.hear(answer(1, 11)[3:], after_ns=MS)
    await bench.clock.advance(SILENCE - 1)
    assert bench.asked == [1]
    await bench.clock.advance(1)
    assert bench.asked == [1, 2]
    await bench.hear(answer(2, 22))
    await scan
    assert bench.told() == [(100, False, b"\0\x0b"), (200, False, b"\0\x16")]
    first = bench.blocks[0]
    assert first.response_time_ns - first.request_time_ns == 2 * MS


def test_the_silence_is_that_of_the_standard():
    """3.5 characters of 11 bits, and 1.75 ms above 19200 baud."""
    assert Pace(11e9 / 9600).silence_ns == 4_010_417
    assert Pace(11e9 / 115_200).silence_ns == 1_750_000
    assert Pace().silence_ns == 0


async def test_a_configured_delay_longer_than_that_is_kept_instead():
    bench = await quiet_bench(inter_request_delay_ms=20)
    bench.scan(query(1), query(2))
    await bench.hear(answer(1, 1))
    await bench.clock.advance(20 * MS - 1)
    assert bench.asked == [1]
    await bench.clock.advance(1)
    assert bench.asked == [1, 2]
    await end(bench)


async def test_a_write_goes_ahead_of_the_reads_that_wait(bench):
    bench.scan(query(1), query(2))
    await bench.clock.advance(AT_ONCE)
    ask = bench.ask(write(9))
    await bench.hear(answer(1, 1))
    await bench.clock.advance(SILENCE)
    assert bench.asked == [1, 9]
    await bench.hear(bench.sent[1])  # a write is acknowledged by its own repetition
    assert (await ask).payload == b""
    await bench.clock.advance(SILENCE)
    assert bench.asked == [1, 9, 2]


async def test_a_fresh_line_is_drained_first_because_an_earlier_master_may_have_asked_something():
    """P-STALE: the daemon was killed with a request open, and its answer comes to the next one."""
    bench = Bench()
    scan = bench.scan(query(1))
    await bench.hear(answer(1, 99), after_ns=TIMEOUT // 2)
    await bench.clock.advance(TIMEOUT - 1)
    assert bench.sent == []
    await bench.clock.advance(1)
    await bench.hear(answer(1, 7))
    await scan
    assert bench.told() == [(100, False, b"\0\x07")]


async def test_too_many_writes_are_refused_rather_than_kept(bench):
    asks = [bench.ask(write(1)) for _ in range(ASKS_WAITING_MAX + 1)]
    await bench.clock.advance(AT_ONCE)
    with pytest.raises(DeviceRefused, match="64 requests wait before it"):
        await bench.bus.ask(write(1))
    assert len(asks) == ASKS_WAITING_MAX + 1


# --- late and wrong answers ---------------------------------------------------------------------------------------------


async def test_a_late_answer_is_thrown_away_and_never_taken_for_that_of_a_later_request(bench):
    """P-STALE: same unit, same function, same length; only the time tells them apart."""
    first = bench.scan(query(1, 0))
    await bench.clock.advance(2 * TIMEOUT)
    with pytest.raises(UnitsLost):
        await first
    second = bench.scan(query(1, 5))
    await bench.hear(answer(1, 1000), after_ns=0)
    await bench.clock.advance(TIMEOUT - 1)
    assert len(bench.sent) == 1, "silence begins anew with every late byte"
    await bench.clock.advance(1)
    await bench.hear(answer(1, 1005))
    await second
    assert bench.told() == [(100, True, quality.BAD_TIMEOUT), (105, False, b"\x03\xed")]
    assert bench.bus.strays == 7


async def test_a_late_answer_ahead_of_the_right_one_makes_both_unusable(bench):
    """P-STALE: it came after the drain was over; that two frames follow one request gives it away."""
    scan = bench.scan(query(1))
    await bench.hear(answer(1, 1000) + answer(1, 1005))
    with pytest.raises(UnitsLost):
        await scan
    assert bench.told() == [(100, True, DeviceProtocolError.status)]


WRONG = {
    "another unit": answer(2, 1),
    "another function": RtuFraming().encode(1, b"\x04\x02\0\1"),
    "another byte count": answer(1, 1, 2),
    "crc": answer(1, 1)[:-1] + b"\0",
    "garbage": b"\xa5" * 40,
}


@pytest.mark.parametrize("wire", WRONG.values(), ids=WRONG)
async def test_a_wrong_answer_costs_that_request_and_a_drain_and_no_other(bench, wire):
    """P-ISOLATE: the line stays open, the other units have their values."""
    scan = bench.scan(query(1), query(1, 1), query(3))
    await bench.hear(wire)
    await bench.clock.advance(TIMEOUT - 1)
    assert bench.asked == [1]
    await bench.clock.advance(1)
    assert bench.asked == [1, 3], "a unit that failed is not asked again in this scan"
    await bench.hear(answer(3, 33))
    with pytest.raises(UnitsLost) as lost:
        await scan
    assert set(lost.value.failures) == {1}
    assert lost.value.failures[1].unit == 1
    bad = DeviceProtocolError.status
    assert bench.told() == [(100, True, bad), (101, True, bad), (300, False, b"\0\x21")]
    assert bench.bus.failure is None
    assert not bench.is_closed


async def test_an_exception_of_the_unit_is_an_answer(bench):
    scan = bench.scan(query(1), query(1, 1))
    await bench.hear(RtuFraming().encode(1, b"\x83\x02"))
    await bench.clock.advance(SILENCE)
    await bench.hear(answer(1, 4))
    await scan
    assert bench.told() == [(100, True, quality.BAD_NODE_ID_UNKNOWN), (101, False, b"\0\x04")]


async def test_a_gateway_on_the_line_that_lost_the_unit_counts_as_its_silence(bench):
    scan = bench.scan(query(1), query(1, 1))
    await bench.hear(RtuFraming().encode(1, b"\x83\x0b"))
    with pytest.raises(UnitsLost):
        await scan
    assert [(plan, lost) for plan, lost, _ in bench.told()] == [(100, True), (101, True)]


async def test_a_line_that_is_never_silent_is_given_up(bench):
    """A second master, or a unit with another baud rate: opening the port anew says so to people again and again."""
    scan = bench.scan(query(1), query(2))
    for _ in range(2 * DRAINS_MAX + 2):
        await bench.hear(b"\xff" * 9, after_ns=TIMEOUT // 2)
    await bench.clock.advance(TIMEOUT)
    with pytest.raises(DeviceProtocolError, match="the line is never silent"):
        await scan
    assert (bench.asked, bench.is_closed) == ([1], True)


async def test_the_click_of_a_driver_is_no_reason_to_drain(bench):
    """Else every exchange on such a bus would cost a timeout."""
    scan = bench.scan(query(1), query(2))
    await bench.hear(answer(1, 1))
    await bench.hear(b"\0")
    await bench.clock.advance(SILENCE)
    assert bench.asked == [1, 2]
    await bench.hear(answer(2, 2))
    await scan


async def test_a_scan_that_is_cancelled_leaves_a_drain_behind(bench):
    """P-STALE: its answer is still to come."""
    scan = bench.scan(query(1))
    await bench.clock.advance(AT_ONCE)
    scan.cancel()
    second = bench.scan(query(1, 5))
    await bench.clock.advance(TIMEOUT - 1)
    assert len(bench.sent) == 1
    await bench.clock.advance(1)
    await bench.hear(answer(1, 1005))
    await second
    assert bench.told() == [(105, False, b"\x03\xed")]


async def test_an_echo_is_told_from_an_answer():
    bench = await quiet_bench(local_echo=True)
    ask = bench.ask(write(4))
    await bench.clock.advance(AT_ONCE)
    await bench.hear(bench.sent[0])
    assert not ask.done(), "a write's acknowledgement looks like its echo"
    await bench.hear(bench.sent[0])
    assert (await ask).payload == b""
    await end(bench)


# --- repetition ---------------------------------------------------------------------------------------------------------


async def test_a_read_of_a_unit_that_answered_before_is_repeated_once_after_the_drain():
    bench = await quiet_bench(retries=1)
    scan = bench.scan(query(1), query(1, 1))
    await bench.hear(answer(1, 1))
    await bench.clock.advance(SILENCE)
    await bench.hear(b"\xff" * 9)
    await bench.clock.advance(TIMEOUT)
    assert len(bench.sent) == 3
    await bench.hear(answer(1, 2))
    await scan
    assert bench.told() == [(100, False, b"\0\1"), (101, False, b"\0\2")]
    await end(bench)


async def test_a_read_of_a_unit_that_is_silent_already_is_not_repeated():
    bench = await quiet_bench(retries=1)
    with pytest.raises(UnitsLost):
        await asyncio.gather(bench.scan(query(1)), bench.clock.advance(2 * TIMEOUT))
    assert len(bench.sent) == 1
    await end(bench)


async def test_a_write_is_never_repeated():
    bench = await quiet_bench(retries=5)
    scan = bench.scan(query(1))
    await bench.hear(answer(1, 1))
    await scan
    ask = bench.ask(write(1))
    await bench.clock.advance(10 * TIMEOUT)
    with pytest.raises(DeviceTimeout) as timeout:
        await ask
    assert timeout.value.unit == 1, "the link is still open"
    assert len(bench.sent) == 2
    await end(bench)


# --- the line itself ----------------------------------------------------------------------------------------------------


async def test_a_slow_line_is_given_the_time_its_bytes_need():
    """125 registers at 1200 baud take more than two seconds on their way."""
    bench = await quiet_bench(pace=Pace(11e9 / 1200))
    scan = bench.scan(query(1, 0, 125))
    travel = round(11e9 / 1200 * (8 + 255))
    await bench.clock.advance(AT_ONCE)
    await bench.clock.advance(TIMEOUT + travel - 10)
    assert not scan.done()
    await bench.clock.advance(20)
    assert scan.done()
    scan.exception()
    await end(bench)


async def test_an_adapter_pulled_out_ends_the_bus(bench):
    scan, ask = bench.scan(query(1)), bench.ask(write(2))
    await bench.clock.advance(AT_ONCE)
    bench.bus.ears.lost(OSError(5, "Input/output error"))
    await bench.clock.settle()
    with pytest.raises(DeviceUnreachable, match="the line was lost"):
        await scan
    with pytest.raises(DeviceUnreachable, match="was not sent"):
        await ask
    assert bench.is_closed


async def test_a_line_that_takes_nothing_ends_the_bus(bench):
    bench.breaks = OSError(5, "gone")
    with pytest.raises(DeviceUnreachable, match="gone"):
        await bench.scan(query(1))
    with pytest.raises(DeviceUnreachable):
        await bench.scan(query(1))


async def test_closing_fails_what_waits(bench):
    scan = bench.scan(query(1))
    await bench.clock.advance(AT_ONCE)
    bench.bus.abort()
    with pytest.raises(DeviceUnreachable, match="the gateway closed"):
        await scan


# --- datagrams ----------------------------------------------------------------------------------------------------------


async def test_udp_needs_no_drain_because_a_late_datagram_says_what_it_answers():
    bench = Bench(DatagramFraming(), Pace())
    first = bench.scan(query(1))
    await bench.clock.advance(TIMEOUT)
    with pytest.raises(UnitsLost):
        await first
    second = bench.scan(query(1, 5))
    await bench.clock.advance(AT_ONCE)
    assert len(bench.sent) == 2
    for frame, value in zip(bench.sent, (b"\x03\xe8", b"\x03\xed"), strict=True):
        await bench.hear(frame[:4] + b"\0\x05\x01\x03\x02" + value)
    await second
    assert bench.told() == [(100, True, quality.BAD_TIMEOUT), (105, False, b"\x03\xed")]
    await end(bench)


async def test_a_datagram_that_nobody_listens_for_fails_its_request_and_not_the_socket():
    bench = Bench(DatagramFraming(), Pace())
    scan = bench.scan(query(1))
    await bench.clock.advance(AT_ONCE)
    bench.bus.ears.bounced(ConnectionRefusedError(111, "Connection refused"))
    with pytest.raises(UnitsLost) as lost:
        await scan
    assert lost.value.status == DeviceUnreachable.status
    assert bench.bus.failure is None
    await end(bench)
