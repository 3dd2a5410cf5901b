"""A Modbus TCP device as the rest of the daemon sees it: `gatewayd.device.link.Link`."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Sequence
from typing import Final

from gatewayd.clock import Clock
from gatewayd.device.link import Deliver, Reading
from gatewayd.device.modbus import pdu, values
from gatewayd.device.modbus.connection import Connection
from gatewayd.device.modbus.outcome import Query, make_query
from gatewayd.device.modbus.window import OutstandingWindow
from gatewayd.errors import DeviceRefused, DeviceTimeout, DeviceUnreachable
from gatewayd.model import quality
from gatewayd.model.block import ReadPlan
from gatewayd.model.config import ModbusDevice, ModbusTag

# A dead peer is noticed by timeouts as long as we ask; keepalive is for scan rates of minutes and for NAT on the way.
_KEEPALIVE_IDLE_S: Final = 30
_KEEPALIVE_INTERVAL_S: Final = 10
_KEEPALIVE_PROBES: Final = 3


class ModbusLink:
    """One connection to one Modbus TCP server, for scans, writes and read-backs.

    Args:
        device: address and limits.
        tags: (row of the twin, tag) of every tag that is read back or written; addresses 0-based.
        plans: the read plans of this device, see `plan_reads`.
        clock: for the times in blocks and readings.
    """

    def __init__(
        self, device: ModbusDevice, tags: Sequence[tuple[int, ModbusTag]], plans: Sequence[ReadPlan], clock: Clock
    ) -> None:
        self.name: str = device.name
        self.plans: tuple[ReadPlan, ...] = tuple(plans)
        self._device = device
        self._tags = dict(tags)
        self._clock = clock
        self._queries = {plan.index: _scan_query(device, plan) for plan in self.plans}
        self._window = OutstandingWindow(device.max_outstanding)
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._closes = 0  # how often `close` was called

    @property
    def outstanding_limit(self) -> int:
        """Requests the device may have open at once: `max_outstanding`, or 1 once it has failed to keep up."""
        return self._window.limit

    async def connect(self) -> None:
        """Open the connection; a second call while open does nothing.

        Raises:
            DeviceUnreachable: refused, no route, the name does not resolve, or closed meanwhile.
            DeviceTimeout: no answer in `timeout_ms`.
        """
        async with self._connecting:
            if self._connection is None or self._connection.failure is not None:
                closes = self._closes
                self._connection = await self._open()
                if self._closes != closes:
                    self._connection.abort()
                    raise DeviceUnreachable(f"{self.name}: closed while connecting", remedy="Connect again if needed.")

    async def scan(self, plans: Sequence[ReadPlan], deliver: Deliver) -> None:
        """Run the requests of these plans, delivering one block each as its last byte arrives.

        Raises:
            DeviceTimeout, DeviceUnreachable, DeviceProtocolError: the connection is closed; connect again.
        """
        await self._open_connection().read([self._queries[plan.index] for plan in plans], deliver)

    async def write(self, row: int, value: float) -> None:
        """Write one tag, value in contract units; return when the device acknowledged. Never repeated.

        Raises:
            DeviceRefused: the device answered no, or the value has no exact place in the tag's type; nothing changed.
            DeviceError: the state of the plant is unknown.
        """
        tag = self._tags[row]
        if tag.access == "r":
            raise DeviceRefused(
                f"{self.name}: {tag.name} is not writable, its access is r",
                remedy="Set access = rw in the tag list if the gateway may write it.",
                status=quality.BAD_NOT_SUPPORTED,
                code=0,
            )
        request = self._write_request(tag, values.encode(tag, value, device=self.name))
        await self._open_connection().ask(make_query(self._device.unit_id, request))

    async def read_back(self, row: int) -> Reading:
        """Read one tag on its own; a NaN or an infinity comes as Bad_SensorFailure, as in a scan.

        Raises:
            DeviceError: no value; DeviceRefused when the device said so.
        """
        tag = self._tags[row]
        request = pdu.read_request(pdu.READ_FUNCTION[tag.register_type], tag.address, values.words(tag))
        answer = await self._open_connection().ask(make_query(self._device.unit_id, request))
        value = values.decode(tag, answer.payload)
        if math.isfinite(value):
            return Reading(value, quality.GOOD, answer.response_time_ns)
        return Reading(math.nan, quality.BAD_SENSOR_FAILURE, answer.response_time_ns)

    async def close(self) -> None:
        """Close without waiting for the device; what waits fails. Safe to call twice."""
        self._closes += 1
        if self._connection is not None:
            self._connection.abort()

    def _open_connection(self) -> Connection:
        if self._connection is None:
            raise DeviceUnreachable(f"{self.name}: not connected", remedy="Connect first; nothing was sent.")
        return self._connection

    async def _open(self) -> Connection:
        device = self._device
        where = f"{device.name}: {device.host} port {device.port}"
        last = self._connection.transaction_id if self._connection else 0
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(device.timeout_ms / 1000):
                transport, connection = await loop.create_connection(
                    lambda: Connection(device, self._clock, self._window, last), device.host, device.port
                )
        except TimeoutError as error:
            raise DeviceTimeout(
                f"{where} did not accept a connection in {device.timeout_ms} ms",
                remedy=f"Check power, cable, host and firewall; run `gatewayd device probe {device.name}`.",
            ) from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a host that is no domain name
            raise DeviceUnreachable(
                f"{where} cannot be reached: {error}",
                remedy=f"Check host and port, and that the device's Modbus server is on; "
                f"run `gatewayd device probe {device.name}`.",
            ) from error
        _tune(transport.get_extra_info("socket"))
        return connection

    def _write_request(self, tag: ModbusTag, wire: tuple[int, ...]) -> pdu.Request:
        is_multiple = self._device.write_multiple
        if tag.register_type == "coil":
            if is_multiple:
                return pdu.write_coils_request(tag.address, wire)
            return pdu.write_coil_request(tag.address, bool(wire[0]))
        if is_multiple or len(wire) > 1:
            return pdu.write_registers_request(tag.address, wire)
        return pdu.write_register_request(tag.address, wire[0])


def _scan_query(device: ModbusDevice, plan: ReadPlan) -> Query:
    function, start, count = plan.request
    assert isinstance(function, int)
    assert isinstance(start, int)
    assert isinstance(count, int)
    return make_query(device.unit_id, pdu.read_request(function, start, count), plan.index, plan.codec)


def _tune(connected: socket.socket) -> None:
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
