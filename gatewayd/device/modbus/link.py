"""A Modbus device, whatever its transport, as the rest of the daemon sees it: `gatewayd.device.link.Link`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path

from gatewayd.clock import Clock
from gatewayd.device.link import Deliver, Note, Reading, silent
from gatewayd.device.modbus import pdu, values
from gatewayd.device.modbus.connection import Connection
from gatewayd.device.modbus.outcome import Answer, Query, make_query
from gatewayd.device.modbus.scanner import Scanner
from gatewayd.device.modbus.transport import Channel, Opener
from gatewayd.device.modbus.units import UnitsScan
from gatewayd.device.modbus.writing import TagWriter
from gatewayd.errors import DeviceError, DeviceUnreachable
from gatewayd.model import quality
from gatewayd.model.block import Codec, ReadPlan
from gatewayd.model.device import ModbusDevice, ModbusTag, unit_of
from gatewayd.model.registers import span


class ModbusLink:
    """One connection to one Modbus device and the units behind it, for scans, writes and read-backs.

    Args:
        device: address and limits.
        tags: (row of the twin, tag) of every tag that is read back or written; addresses 0-based.
        plans: the read plans of this device, see `plan_reads`.
        clock: for the times in blocks and readings.
        folder: what relative file names in the configuration start from.
    """

    def __init__(
        self,
        device: ModbusDevice,
        tags: Sequence[tuple[int, ModbusTag]],
        plans: Sequence[ReadPlan],
        clock: Clock,
        folder: Path = Path(),
    ) -> None:
        self.name: str = device.name
        self.plans: tuple[ReadPlan, ...] = tuple(plans)
        self.note: Note = silent
        self._device = device
        self._tags = dict(tags)
        self._clock = clock
        self._scanner = Scanner(self.plans, self._spans, _scan_query, clock)
        self._has_units = len({plan.unit for plan in plans} | {unit_of(device, tag) for tag in self._tags.values()}) > 1
        self._opener = Opener(device, clock, folder)
        self._channel: Channel | None = None
        self._connecting = asyncio.Lock()
        self._writer = TagWriter(device, self._ask)
        self._closes = 0  # how often `close` was called

    def _spans(self, plan: ReadPlan) -> list[tuple[int, int]]:
        return [span(self._tags[row.row]) for row in plan.rows]

    @property
    def outstanding_limit(self) -> int:
        """Requests the device may have open at once: `max_outstanding`, or 1 once it has failed to keep up."""
        return self._opener.window.limit

    async def connect(self) -> None:
        """Open the connection; a second call while open does nothing.

        Raises:
            DeviceUnreachable: refused, no route, the name does not resolve, or closed meanwhile.
            DeviceTimeout: no answer in `timeout_ms`.
            DeviceNotTrusted: its certificate is not the one to expect.
        """
        async with self._connecting:
            if self._channel is None or self._channel.failure is not None:
                closes = self._closes
                self._channel = await self._opener.open()
                if self._closes != closes:
                    self._channel.abort()
                    raise DeviceUnreachable(f"{self.name}: closed while connecting", remedy="Connect again if needed.")

    async def scan(self, plans: Sequence[ReadPlan], deliver: Deliver) -> None:
        """Run the requests of these plans, delivering one block each as its last byte arrives.

        Where the device refuses some addresses of a plan the others are read around them.

        Raises:
            UnitsLost: some of several units failed; their plans were delivered as LOST, and the link is open.
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: the connection is closed; connect again.
        """
        await self._scanner.scan(plans, deliver, self._read)

    async def write(self, row: int, value: float) -> None:
        """Write one tag, value in contract units; return when the device acknowledged. Never repeated.

        Raises:
            DeviceRefused: the device answered no, or the value has no exact place in the tag's type; nothing changed.
            DeviceError: the state of the plant is unknown.
        """
        await self._writer.write(self._tags[row], value)

    async def read_back(self, row: int) -> Reading:
        """Read one tag on its own; a NaN or an infinity comes as Bad_SensorFailure, as in a scan.

        Raises:
            DeviceError: no value; DeviceRefused when the device said so.
        """
        tag = self._tags[row]
        start, end = span(tag)
        request = pdu.read_request(pdu.READ_FUNCTION[tag.register_type], start, end - start)
        answer = await self._ask(tag, request)
        value = values.decode(tag, answer.payload)
        if math.isfinite(value):
            return Reading(value, quality.GOOD, answer.response_time_ns)
        return Reading(math.nan, quality.BAD_SENSOR_FAILURE, answer.response_time_ns)

    async def close(self) -> None:
        """Close without waiting for the device; what waits fails. Safe to call twice."""
        self._closes += 1
        if self._channel is not None:
            self._channel.abort()

    async def _ask(self, tag: ModbusTag, request: pdu.Request) -> Answer:
        """Send one request to the unit of a tag; an error says so if no other unit is concerned."""
        unit = unit_of(self._device, tag)
        try:
            return await self._open_channel().ask(make_query(unit, request))
        except DeviceError as error:
            if self._has_units:
                error.unit = unit  # a connection that ended with it has closed itself; the next user opens another
            raise

    async def _read(self, queries: Sequence[Query], deliver: Deliver) -> None:
        channel = self._open_channel()
        if self._has_units and isinstance(channel, Connection):
            await UnitsScan(self.name, self._reconnect, deliver, self._clock).run(channel, queries)
        else:
            await channel.read(queries, deliver)

    def _open_channel(self) -> Channel:
        if self._channel is None:
            raise DeviceUnreachable(f"{self.name}: not connected", remedy="Connect first; nothing was sent.")
        return self._channel

    async def _reconnect(self) -> Connection:
        await self.connect()
        channel = self._open_channel()
        assert isinstance(channel, Connection)
        return channel


def _scan_query(plan: ReadPlan, request: pdu.Request, number: int) -> Query:
    is_whole = number == plan.index and plan.codec is Codec.MODBUS_REGISTERS
    return make_query(plan.unit, request, number, plan.codec, joins=is_whole)
