"""Asks the units of a bus, one request at a time: what commissioning asks through. The daemon does not use it.

A daemon's link belongs to one configured device and gives up its connection at the first doubt. A technician who looks
for devices asks units that may not exist, so silence is an answer here, and an answer that comes late is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from gatewayd.clock import Clock
from gatewayd.device.modbus.frame import HEADER_SIZE, LENGTH_MAX, LENGTH_MIN, TRANSACTION_IDS
from gatewayd.device.modbus.identification import FUNCTION, identification_request
from gatewayd.device.modbus.outcome import make_query
from gatewayd.device.modbus.pdu import READ_FUNCTION, Request, read_request
from gatewayd.device.modbus.transport import Channel, Opener, address
from gatewayd.errors import DeviceProtocolError, DeviceRefused, DeviceTimeout, DeviceUnreachable
from gatewayd.model import quality
from gatewayd.model.device import ModbusDevice, ModbusSerialDevice, ModbusTcpDevice

UNIT_ID_MAX: Final = 255
_STALE_MAX: Final = 1024  # frames dropped while waiting for one answer
_RECEIVE_BYTES: Final = 65_536
_EXCEPTION_BIT: Final = 0x80
_READ_BYTES: Final = 5  # of a request of function 1 to 4


class Asker(Protocol):
    """Units behind one connection or line.

    Attributes:
        name: where, for people.
        keeps_silence: after an error nothing is sent for a while, so that the next answer seems to take longer.
    """

    name: str
    keeps_silence: bool

    async def open(self) -> None:
        """Open it; a second call while open does nothing.

        Raises:
            DeviceUnreachable, DeviceTimeout.
        """
        ...

    async def ask(self, unit_id: int, request: bytes) -> bytes:
        """Send one request PDU and return the response PDU, an exception response included.

        Raises:
            DeviceTimeout: nobody answered; the bus is still open.
            DeviceUnreachable, DeviceProtocolError: the bus is closed; open it again.
        """
        ...

    async def close(self) -> None:
        """Close it; safe to call twice."""
        ...


class TcpAsker:
    """Modbus TCP.

    Args:
        host: name or address.
        port: usually 502.
        timeout_ms: for connecting, and for each answer.
    """

    keeps_silence = False

    def __init__(self, host: str, port: int, timeout_ms: int) -> None:
        self.name = f"{host}:{port}"
        self._host = host
        self._port = port
        self._timeout_ms = timeout_ms
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._transaction_id = 0

    async def open(self) -> None:
        """Connect; see `Asker`."""
        if self._streams is not None:
            return
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                self._streams = await asyncio.open_connection(self._host, self._port, limit=_RECEIVE_BYTES)
        except TimeoutError as error:
            raise DeviceTimeout(
                f"{self.name} did not accept a connection in {self._timeout_ms} ms",
                remedy="Check power, cable, address and firewall; raise --timeout-ms on a slow network.",
            ) from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a host that is no domain name
            raise DeviceUnreachable(
                f"{self.name} cannot be reached: {error}",
                remedy="Check host and port, that the device's Modbus server is on, and that no other master holds "
                "its only connection.",
            ) from error

    async def ask(self, unit_id: int, request: bytes) -> bytes:
        """Ask one unit; see `Asker`."""
        (answer,) = await self.ask_together(unit_id, [request])
        if answer is None:
            raise DeviceTimeout(
                f"{self.name}: unit {unit_id} did not answer in {self._timeout_ms} ms",
                remedy="Check the unit id, and the wiring behind a gateway; raise --timeout-ms if the unit is slow.",
            )
        return answer

    async def ask_together(self, unit_id: int, requests: Sequence[bytes]) -> list[bytes | None]:
        """Send requests in one piece, before any is answered; return the answer to each, None where none came.

        Raises:
            DeviceUnreachable, DeviceProtocolError: the bus is closed; open it again.
        """
        reader, writer = self._open_streams()
        waiting: dict[int, int] = {}  # transaction id -> place in `requests`
        frames = b""
        for place, request in enumerate(requests):
            self._transaction_id = (self._transaction_id + 1) % TRANSACTION_IDS
            waiting[self._transaction_id] = place
            frames += _frame(self._transaction_id, unit_id, request)
        answers: list[bytes | None] = [None] * len(requests)
        try:
            writer.write(frames)
            async with asyncio.timeout(self._timeout_ms / 1000):
                await self._collect(reader, unit_id, waiting, answers)
        except TimeoutError:
            return answers
        except (OSError, asyncio.IncompleteReadError) as error:
            await self.close()
            raise DeviceUnreachable(
                f"{self.name}: the connection was lost while unit {unit_id} was asked",
                remedy="Check that the device allows one more connection and did not restart.",
            ) from error
        except DeviceProtocolError:
            await self.close()
            raise
        return answers

    async def close(self) -> None:
        """Close without waiting for the device."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    def _open_streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            raise DeviceUnreachable(f"{self.name}: not connected", remedy="Open the bus first; nothing was sent.")
        return self._streams

    async def _collect(
        self, reader: asyncio.StreamReader, unit_id: int, waiting: dict[int, int], answers: list[bytes | None]
    ) -> None:
        """Read frames until every request has its answer; answers to earlier requests are dropped."""
        for _ in range(_STALE_MAX + len(waiting)):
            transaction_id, answering, pdu = await self._next_frame(reader)
            if transaction_id not in waiting:
                continue
            if answering != unit_id:
                raise DeviceProtocolError(
                    f"{self.name}: unit {answering} answered instead of unit {unit_id}",
                    remedy="Ask with the unit id it answers with; 255 and 0 are usual for devices with no serial side.",
                )
            answers[waiting.pop(transaction_id)] = pdu
            if not waiting:
                return
        raise DeviceProtocolError(
            f"{self.name}: {_STALE_MAX} answers to requests that nobody made",
            remedy="Check that this is a Modbus TCP server.",
        )

    async def _next_frame(self, reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
        header = await reader.readexactly(HEADER_SIZE)
        protocol_id, length = int.from_bytes(header[2:4], "big"), int.from_bytes(header[4:6], "big")
        if protocol_id or not LENGTH_MIN <= length <= LENGTH_MAX:
            raise DeviceProtocolError(
                f"{self.name}: {header.hex(' ')} is not a Modbus TCP header",
                remedy="Check host and port: another protocol may listen there (RTU over TCP is another protocol).",
            )
        return int.from_bytes(header[:2], "big"), header[6], await reader.readexactly(length - 1)


def _frame(transaction_id: int, unit_id: int, pdu: bytes) -> bytes:
    assert 0 <= unit_id <= UNIT_ID_MAX
    assert LENGTH_MIN <= 1 + len(pdu) <= LENGTH_MAX
    return transaction_id.to_bytes(2, "big") + b"\0\0" + (1 + len(pdu)).to_bytes(2, "big") + bytes((unit_id,)) + pdu


class LineAsker:
    """A serial line, a converter, UDP or TLS, through the daemon's own transports.

    Args:
        device: its configuration; whom to ask is said with each question.
        clock: for silences and timeouts.
        folder: what relative file names in the configuration start from.
    """

    keeps_silence = True

    def __init__(self, device: ModbusDevice, clock: Clock, folder: Path) -> None:
        self.name = address(device)
        if isinstance(device, ModbusSerialDevice):
            self.name += f" {device.baud_rate} {device.data_bits}{device.parity[0].upper()}{device.stop_bits}"
        self._opener = Opener(device, clock, folder)
        self._channel: Channel | None = None

    async def open(self) -> None:
        """Open the line; see `Asker`."""
        if self._channel is None or self._channel.failure is not None:
            self._channel = await self._opener.open()

    async def ask(self, unit_id: int, request: bytes) -> bytes:
        """Ask one unit; see `Asker`. An answer that cannot be read is silence here: noise of a wrong baud rate is one."""
        if self._channel is None:
            raise DeviceUnreachable(f"{self.name}: not open", remedy="Open the line first; nothing was sent.")
        question = _question(request)
        try:
            answer = await self._channel.ask(make_query(unit_id, question))
        except DeviceRefused as refused:
            if not refused.code:
                raise
            return bytes((request[0] | _EXCEPTION_BIT, refused.code))
        except (DeviceTimeout, DeviceProtocolError) as error:
            if self._channel.failure is not None:  # a connection ends with a timeout, a line does not
                await self.open()
            raise DeviceTimeout(error.message, remedy=error.remedy) from error
        return question.head + answer.payload

    async def close(self) -> None:
        """Close without waiting for the device."""
        if self._channel is not None:
            self._channel.abort()
            self._channel = None


def _question(request: bytes) -> Request:
    """Return a request PDU as the transports take it.

    Raises:
        DeviceRefused: a function that no commissioning tool asks.
    """
    function = request[0]
    if function in READ_FUNCTION.values() and len(request) == _READ_BYTES:
        return read_request(function, int.from_bytes(request[1:3], "big"), int.from_bytes(request[3:5], "big"))
    if function == FUNCTION:
        return identification_request(request)
    raise DeviceRefused(
        f"function {function} is not asked on a line",
        remedy="Ask with function 1 to 4 or 43.",
        status=quality.BAD_NOT_SUPPORTED,
        code=0,
    )


def asker_of(device: ModbusDevice, clock: Clock, folder: Path) -> Asker:
    """Return what asks on the line of a configured device, not yet open.

    Args:
        device: its configuration.
        clock: for silences and timeouts.
        folder: what relative file names in the configuration start from.
    """
    if isinstance(device, ModbusTcpDevice):
        return TcpAsker(device.host, device.port, device.timeout_ms)
    return LineAsker(device, clock, folder)
