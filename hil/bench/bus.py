"""What one dead unit costs the other 31 of a serial bus, in real time, with the daemon's own poller and bus master."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import uvloop

from gatewayd.clock import SystemClock
from gatewayd.device.modbus.link import ModbusLink
from gatewayd.device.modbus.plan import plan_reads
from gatewayd.model.block import Block, Codec
from gatewayd.model.device import ModbusSerialDevice, ModbusTag, ScanClass
from gatewayd.sense.breaker import Breaker
from gatewayd.sense.poller import Poller
from gatewayd.sense.schedule import ScanSchedule

UNITS = 32
DEAD = 7
REGISTERS = 10
SCAN_RATE_MS = 1000
REPLY_MS = 20.0  # of 19200 baud: 8 bytes there, 25 bytes back, and the unit's own time

MS = 1_000_000


def dead_unit_scan_loss_pct(*, seconds: float = 60.0, from_s: float = 0.0) -> float:
    """Return the share of the other units' scans, in percent, that one dead unit of 32 on a bus costs them.

    Two such buses are polled side by side, one whole and one with a unit that never answers, dead from the start, so that
    its way to being left alone counts as well as its probes, unless `from_s` leaves it out. A scan is a good block of a living unit that
    came in that time. The bus is a pseudo-terminal with a simulator in a process of its own, at the pace of 19200 baud: 32 reads
    of ten registers fill about four fifths of each second, so a second lost is not made up at once. Settings of the bus
    are the defaults (timeout_ms 500, demote_after 3, demote_for_s 10, retries 1); scan_rate_ms is 1000.

    Args:
        seconds: how long; it takes one second more.
        from_s: the first second that counts.

    Returns:
        0 when nothing is lost; never below.
    """
    with ThreadPoolExecutor(2) as buses:
        polled = partial(_good_scans, seconds=seconds, from_s=from_s)
        whole, with_dead = buses.map(polled, ([], [DEAD]))
    others = [unit for unit in range(1, UNITS + 1) if unit != DEAD]
    expected = sum(whole[unit] for unit in others)
    got = sum(with_dead[unit] for unit in others)
    return max(0.0, 100.0 * (expected - got) / expected) if expected else math.nan


def _good_scans(dead: list[int], *, seconds: float, from_s: float) -> Counter[int]:
    """Poll a bus for a time; return unit -> good blocks."""
    command = [sys.executable, "-m", "hil.plants.rtu_bus", "--units", str(UNITS), "--reply-ms", str(REPLY_MS), "--dead"]
    with subprocess.Popen([*command, *map(str, dead)], stdout=subprocess.PIPE, text=True) as simulator:
        try:
            assert simulator.stdout is not None
            port = simulator.stdout.readline().strip()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_poll(port, seconds, from_s))
        finally:
            simulator.terminate()


async def _poll(port: str, seconds: float, from_s: float) -> Counter[int]:
    device = ModbusSerialDevice(
        name="bus", serial_port=port, scan_classes={"default": ScanClass(scan_rate_ms=SCAN_RATE_MS)}
    )
    tags = [
        (row, ModbusTag(name=f"t{row}", register_type="holding", address=row % REGISTERS, unit_id=1 + row // REGISTERS))
        for row in range(UNITS * REGISTERS)
    ]
    clock = SystemClock()
    plans = plan_reads(device, tags, 0)
    assert len(plans) == UNITS
    good: Counter[int] = Counter()

    def count(blocks: Sequence[Block]) -> None:
        for block in blocks:
            if block.codec is not Codec.LOST:
                good[plans[block.plan].unit] += 1

    link = ModbusLink(device, tags, plans, clock)
    await link.connect()
    await clock.sleep_until(clock.monotonic_ns() + device.timeout_ms * MS)  # a fresh line is drained first
    poller = Poller(
        link,
        ScanSchedule({"default": SCAN_RATE_MS * MS}, plans, start_mono_ns=clock.monotonic_ns()),
        Breaker(device.demote_after, round(device.demote_for_s * 1000 * MS)),
        deliver=count,
        note=lambda event: None,
        clock=clock,
    )
    polling = asyncio.ensure_future(poller.run())
    # Just before a scan would begin: one that the dead unit has only delayed has then had its time.
    began_s = asyncio.get_running_loop().time() - 0.01
    if from_s:
        await _sleep_until(began_s + from_s)
        good.clear()
    await _sleep_until(began_s + seconds)
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)
    await link.close()
    return good


async def _sleep_until(loop_s: float) -> None:
    """Sleep until a time of the loop."""
    await asyncio.sleep(loop_s - asyncio.get_running_loop().time())


if __name__ == "__main__":
    figure = dead_unit_scan_loss_pct(seconds=float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
    print(f"dead_unit_scan_loss_pct {figure:.2f}")
