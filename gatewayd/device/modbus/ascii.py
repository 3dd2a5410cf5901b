"""ASCII frames: a colon, unit id and PDU in hexadecimal, LRC, CR LF. No I/O.

Source: MODBUS over Serial Line V1.02, sections 2.5.2 and 6.2.1.
"""

from __future__ import annotations

import re
from typing import Final

from gatewayd.device.modbus.framing import not_an_answer
from gatewayd.device.modbus.pdu import Request
from gatewayd.errors import DeviceProtocolError

FRAME_MAX: Final = 513
_HEX: Final = re.compile(rb"(?:[0-9A-Fa-f]{2}){3,}")  # unit id, function and LRC at least
_END: Final = b"\r\n"


def lrc(frame: bytes) -> int:
    """Return what makes the sum of all bytes a multiple of 256."""
    return -sum(frame) & 0xFF


class AsciiFraming:
    """The codec, see `Framing`."""

    drains = True

    def encode(self, unit_id: int, pdu: bytes) -> bytes:
        """Return the frame from colon to line feed."""
        body = bytes((unit_id,)) + pdu
        return b":" + (body + bytes((lrc(body),))).hex().upper().encode() + _END

    def answer(self, unit_id: int, request: Request, device: str) -> AsciiAnswer:
        """Return a reader of the answer."""
        return AsciiAnswer(unit_id, request, device)

    def size(self, pdu_size: int) -> int:
        """Return bytes on the line."""
        return 2 * (pdu_size + 2) + 3


class AsciiAnswer:
    """Reads one answer; see `AnswerReader`. Keeps at most one frame.

    A colon begins a frame wherever it stands, as the standard wants; what comes before it is noise.
    """

    def __init__(self, unit_id: int, request: Request, device: str) -> None:
        self._unit_id = unit_id
        self._request = request
        self._device = device
        self._frame = b""

    def feed(self, arrived: bytes) -> bytes | None:
        """Take what arrived; return the PDU once LRC and unit have been compared; `check_response` does the rest."""
        frame = self._frame + arrived
        end = frame.find(_END)
        if end < 0:
            start = frame.rfind(b":")
            self._frame = frame[start:] if start >= 0 else frame[-FRAME_MAX:]
            if len(self._frame) >= FRAME_MAX:
                raise self._refusal(f"{len(self._frame)} bytes without an end")
            return None
        if b":" in frame[end:]:  # a late answer and the one behind it look like this
            raise self._refusal("two frames")
        start = frame.rfind(b":", 0, end)
        text = frame[start + 1 : end] if start >= 0 else b""
        if not _HEX.fullmatch(text) or len(text) > FRAME_MAX:
            raise self._refusal(f"a line {frame[:40]!r}")
        body = bytes.fromhex(text.decode())
        if sum(body) & 0xFF:
            raise self._refusal(f"a wrong LRC after {text[:16].decode()}")
        if body[0] != self._unit_id:
            raise self._refusal(f"unit id {body[0]} instead of {self._unit_id}")
        return body[1:-1]

    def _refusal(self, what: str) -> DeviceProtocolError:
        return not_an_answer(self._device, what, self._request)
