"""MBAP framing: the seven bytes before each PDU on TCP. No I/O: bytes in, frames out.

Source: Modbus Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from gatewayd.errors import DeviceProtocolError

HEADER_SIZE: Final = 7  # transaction id, protocol id, length, unit id
LENGTH_MIN: Final = 2  # counts the unit id and at least a function code
LENGTH_MAX: Final = 254
FRAME_MAX: Final = 6 + LENGTH_MAX
TRANSACTION_IDS: Final = 65_536
TRANSACTION_ID_SIZE: Final = 2

_HEADER: Final = struct.Struct(">HHHB")
HEADER_WITHOUT_ID: Final = struct.Struct(">HHB")

OnFrame = Callable[[int, int, bytes], None]


def without_transaction_id(unit_id: int, pdu: bytes) -> bytes:
    """Return a frame without its first two bytes, which are the transaction id, big-endian."""
    assert LENGTH_MIN <= 1 + len(pdu) <= LENGTH_MAX
    return HEADER_WITHOUT_ID.pack(0, 1 + len(pdu), unit_id) + pdu


class FrameReader:
    """Cuts a stream of bytes into frames, however the network cut it.

    Holds at most one incomplete frame, never more than `FRAME_MAX` bytes.

    Args:
        device: name, for messages.
        on_frame: called with transaction id, unit id and PDU of each frame; what it raises ends the feeding.
    """

    def __init__(self, device: str, on_frame: OnFrame) -> None:
        self._device = device
        self._on_frame = on_frame
        self._rest = b""

    @property
    def is_between_frames(self) -> bool:
        """Say whether the next byte begins a frame."""
        return not self._rest

    def feed(self, arrived: bytes) -> None:
        """Take what arrived and report every frame it completes.

        Raises:
            DeviceProtocolError: a header that no Modbus server sends; the stream cannot be read on.
        """
        if self._rest:
            arrived = self._rest + arrived
        size = len(arrived)
        start = 0
        while size - start >= HEADER_SIZE:
            transaction_id, protocol_id, length, unit_id = _HEADER.unpack_from(arrived, start)
            if protocol_id or not LENGTH_MIN <= length <= LENGTH_MAX:
                raise self._violation(protocol_id, length)
            end = start + 6 + length
            if end > size:
                break
            self._on_frame(transaction_id, unit_id, arrived[start + HEADER_SIZE : end])
            start = end
        self._rest = arrived[start:]

    def _violation(self, protocol_id: int, length: int) -> DeviceProtocolError:
        if protocol_id:
            what = f"protocol id {protocol_id} instead of 0"
            remedy = (
                "Check host and port; if bytes of a serial bus come through there, set protocol = modbus-rtu-over-tcp."
            )
        else:
            what = f"length {length}, outside {LENGTH_MIN}-{LENGTH_MAX}"
            remedy = "The device breaks the protocol; capture the traffic and ask its maker."
        return DeviceProtocolError(f"{self._device}: a frame with {what}", remedy=remedy)


def wrong_unit(device: str, unit_id: int, expected: int) -> DeviceProtocolError:
    """Return the error of an answer by another unit than was asked."""
    return DeviceProtocolError(
        f"{device}: a frame with unit id {unit_id} instead of {expected}",
        remedy="Set unit_id to the one the device answers with; 255 and 0 are usual for devices with no serial side.",
    )
