"""RTU frames: unit id, PDU, CRC-16. No I/O.

The answer's length is known from the request, so nothing depends on the silence between characters, which neither a USB
adapter nor a converter keeps. Source: MODBUS over Serial Line V1.02, sections 2.5.1 and 6.2.2.
"""

from __future__ import annotations

from typing import Final

from gatewayd.device.modbus.framing import EXCEPTION_BIT, EXCEPTION_SIZE, NOISE_MAX, not_an_answer
from gatewayd.device.modbus.identification import told_size
from gatewayd.device.modbus.pdu import Request
from gatewayd.errors import DeviceProtocolError

OVERHEAD: Final = 3  # unit id and CRC
FRAME_MAX: Final = 256
_POLYNOMIAL: Final = 0xA001  # 0x8005, bits reversed


def _row(index: int) -> int:
    for _ in range(8):
        index = index >> 1 ^ (_POLYNOMIAL if index & 1 else 0)
    return index


_TABLE: Final = tuple(map(_row, range(256)))


def crc16(frame: bytes) -> int:
    """Return the CRC of a frame, to be sent low byte first."""
    crc = 0xFFFF
    for byte in frame:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


class RtuFraming:
    """The codec, see `Framing`."""

    drains = True

    def encode(self, unit_id: int, pdu: bytes) -> bytes:
        """Return unit id, PDU and CRC."""
        body = bytes((unit_id,)) + pdu
        assert len(body) + 2 <= FRAME_MAX
        return body + crc16(body).to_bytes(2, "little")

    def answer(self, unit_id: int, request: Request, device: str) -> RtuAnswer:
        """Return a reader of the answer."""
        return RtuAnswer(unit_id, request, device)

    def size(self, pdu_size: int) -> int:
        """Return bytes on the line."""
        return pdu_size + OVERHEAD


class RtuAnswer:
    """Reads one answer; see `AnswerReader`. Keeps at most one frame."""

    def __init__(self, unit_id: int, request: Request, device: str) -> None:
        self._good = bytes((unit_id,)) + request.head  # a read's byte count is in it
        self._refused = bytes((unit_id, request.function | EXCEPTION_BIT))
        self._size = request.size and request.size + OVERHEAD
        self._request = request
        self._device = device
        self._frame = b""

    def feed(self, arrived: bytes) -> bytes | None:
        """Take what arrived; return the PDU once unit, function, byte count, length and CRC have been compared."""
        frame = self._frame = self._frame + arrived[: FRAME_MAX + NOISE_MAX + 1]
        if self._refused.startswith(frame[:2]) and not self._good.startswith(frame[:2]):
            size = EXCEPTION_SIZE + OVERHEAD
        elif self._good.startswith(frame[: len(self._good)]):
            size = self._size or self._told_size(frame)
        else:
            raise self._mismatch(frame)
        if len(frame) < size or not size:
            return None
        if len(frame) > size + NOISE_MAX:  # a late answer and the one behind it look like this
            raise not_an_answer(self._device, f"{len(frame)} bytes instead of {size}", self._request)
        body = frame[: size - 2]
        if crc16(body).to_bytes(2, "little") != frame[size - 2 : size]:
            raise not_an_answer(self._device, f"a wrong CRC after {body[:8].hex(' ')}", self._request)
        return body[1:]

    def _told_size(self, frame: bytes) -> int:
        """Return the size that an answer of device identification tells of itself; 0 while it has not."""
        size = told_size(frame[1:])
        if size + OVERHEAD > FRAME_MAX:
            raise not_an_answer(self._device, f"{size} bytes announced", self._request)
        return size and size + OVERHEAD

    def _mismatch(self, frame: bytes) -> DeviceProtocolError:
        if frame[0] != self._good[0]:
            what = f"unit id {frame[0]} instead of {self._good[0]}"
        elif frame[1] != self._good[1]:
            what = f"function {frame[1]}"
        else:
            what = f"{frame[2:].hex(' ')} instead of {self._good[2:].hex(' ')}"
        return not_an_answer(self._device, what[:80], self._request)
