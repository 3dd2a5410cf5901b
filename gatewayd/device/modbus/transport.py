"""Opens what carries a device's requests: a TCP or TLS connection, or a bus on a serial port, a converter or UDP."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from gatewayd.clock import Clock
from gatewayd.device.link import Deliver
from gatewayd.device.modbus.ascii import AsciiFraming
from gatewayd.device.modbus.bus import Bus, BusDevice, Pace
from gatewayd.device.modbus.connection import Connection, TcpDevice
from gatewayd.device.modbus.datagram import DatagramFraming
from gatewayd.device.modbus.line import DatagramLine, StreamLine
from gatewayd.device.modbus.outcome import Answer, Query
from gatewayd.device.modbus.rtu import RtuFraming
from gatewayd.device.modbus.serial_port import SerialLine
from gatewayd.device.modbus.tls import check_pin, client_context
from gatewayd.device.modbus.window import OutstandingWindow
from gatewayd.errors import DeviceError, DeviceNotTrusted, DeviceTimeout, DeviceUnreachable
from gatewayd.model.device import (
    ModbusDevice,
    ModbusRtuOverTcpDevice,
    ModbusSerialDevice,
    ModbusTlsDevice,
    ModbusUdpDevice,
)

# A dead peer is noticed by timeouts as long as we ask; keepalive is for scan rates of minutes and for NAT on the way.
_KEEPALIVE_IDLE_S: Final = 30
_KEEPALIVE_INTERVAL_S: Final = 10
_KEEPALIVE_PROBES: Final = 3


class Channel(Protocol):
    """A `Connection` or a `Bus`: open until `failure` says why not."""

    @property
    def failure(self) -> DeviceError | None:
        """Return why it is over."""
        ...

    async def read(self, queries: Sequence[Query], deliver: Deliver) -> None:
        """Run the requests of a scan."""
        ...

    async def ask(self, query: Query) -> Answer:
        """Send one request ahead of all scans."""
        ...

    def abort(self) -> None:
        """End it now."""
        ...


class Opener:
    """Opens one channel after another to the same device, and keeps what outlives them.

    Args:
        device: address and limits.
        clock: for blocks, silences and timeouts.
        folder: what relative file names in the configuration start from.
    """

    def __init__(self, device: ModbusDevice, clock: Clock, folder: Path) -> None:
        limit = device.max_outstanding if isinstance(device, TcpDevice) else 1
        self.window = OutstandingWindow(limit)
        self._device = device
        self._clock = clock
        self._folder = folder
        self._connection: Connection | None = None
        self._datagrams = DatagramFraming()

    async def open(self) -> Channel:
        """Open a channel.

        Raises:
            DeviceUnreachable: refused, no route, no such port, the name does not resolve.
            DeviceTimeout: no answer in `timeout_ms`.
            DeviceNotTrusted: its certificate is not the one to expect.
        """
        device, where = self._device, address(self._device)
        try:
            async with asyncio.timeout(device.timeout_ms / 1000):
                if isinstance(device, TcpDevice):
                    return await self._open_connection(device)
                assert isinstance(device, BusDevice)
                return await self._open_bus(device)
        except TimeoutError as error:
            raise DeviceTimeout(
                f"{device.name}: {where} did not accept a connection in {device.timeout_ms} ms",
                remedy=f"Check power, cable, host and firewall; run `gatewayd device probe {device.name}`.",
            ) from error
        except ssl.SSLError as error:
            raise DeviceNotTrusted(
                f"{device.name}: {where} and the gateway do not trust each other: {error}",
                remedy="Check the server's pinned certificate or ca_file and server_name, its dates, and that the "
                "device trusts the gateway's certificate.",
            ) from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a host that is no domain name
            raise DeviceUnreachable(
                f"{device.name}: {where} cannot be reached: {error}", remedy=self._unreachable_remedy()
            ) from error

    async def _open_connection(self, device: TcpDevice) -> Connection:
        last = self._connection.transaction_id if self._connection else 0
        secure = client_context(device, self._folder) if isinstance(device, ModbusTlsDevice) else None
        transport, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(device, self._clock, self.window, last),
            device.host,
            device.port,
            ssl=secure,
            server_hostname=getattr(device, "server_name", None) or device.host if secure else None,
        )
        _tune(transport.get_extra_info("socket"))
        if isinstance(device, ModbusTlsDevice):
            try:
                check_pin(device, self._folder, transport.get_extra_info("ssl_object").getpeercert(binary_form=True))
            except DeviceNotTrusted:
                transport.abort()
                raise
        self._connection = connection
        return connection

    async def _open_bus(self, device: BusDevice) -> Bus:
        loop = asyncio.get_running_loop()
        if isinstance(device, ModbusUdpDevice):
            bus = Bus(device, self._datagrams, self._clock, Pace())
            _, datagrams = await loop.create_datagram_endpoint(
                lambda: DatagramLine(bus.ears), remote_addr=(device.host, device.port)
            )
            bus.use(datagrams)
            return bus
        framing = RtuFraming() if device.framing == "rtu" else AsciiFraming()
        if isinstance(device, ModbusSerialDevice):
            bus = Bus(device, framing, self._clock, Pace(character_ns(device)))
            bus.use(SerialLine(device, bus.ears))
            return bus
        bus = Bus(device, framing, self._clock, Pace())
        transport, stream = await loop.create_connection(lambda: StreamLine(bus.ears), device.host, device.port)
        _tune(transport.get_extra_info("socket"))
        bus.use(stream)
        return bus

    def _unreachable_remedy(self) -> str:
        probe = f"run `gatewayd device probe {self._device.name}`."
        if isinstance(self._device, ModbusSerialDevice):
            return (
                "Check serial_port (see /dev/serial/by-id/), that no other program uses it, and that the daemon's user "
                f"is in group dialout; {probe}"
            )
        return f"Check host and port, and that the device's Modbus server is on; {probe}"


def address(device: ModbusDevice) -> str:
    """Return where a device is, for people."""
    if isinstance(device, ModbusSerialDevice):
        return device.serial_port
    assert isinstance(device, TcpDevice | ModbusUdpDevice | ModbusRtuOverTcpDevice)
    return f"{device.host} port {device.port}"


def character_ns(device: ModbusSerialDevice) -> float:
    """Return how long a character with its start, parity and stop bits takes."""
    bits = 1 + device.data_bits + (device.parity != "none") + device.stop_bits
    return bits * 1e9 / device.baud_rate


def _tune(connected: socket.socket) -> None:
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
