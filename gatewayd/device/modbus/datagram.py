"""MBAP frames in datagrams, one frame each. No I/O.

UDP doubles, delays and re-orders. The transaction id says which request a datagram answers, so any other is dropped.
"""

from __future__ import annotations

from typing import Final

from gatewayd.device.modbus.frame import (
    HEADER_SIZE,
    LENGTH_MAX,
    LENGTH_MIN,
    TRANSACTION_IDS,
    without_transaction_id,
    wrong_unit,
)
from gatewayd.device.modbus.framing import not_an_answer
from gatewayd.device.modbus.pdu import Request

_ID_SIZE: Final = 2


class DatagramFraming:
    """The codec, see `Framing`. It counts the transaction ids."""

    drains = False

    def __init__(self, last_transaction_id: int = 0) -> None:
        self.transaction_id = last_transaction_id

    def encode(self, unit_id: int, pdu: bytes) -> bytes:
        """Return a frame with the next transaction id."""
        self.transaction_id = (self.transaction_id + 1) % TRANSACTION_IDS
        return self.transaction_id.to_bytes(_ID_SIZE, "big") + without_transaction_id(unit_id, pdu)

    def answer(self, unit_id: int, request: Request, device: str) -> DatagramAnswer:
        """Return a reader of the answer with this transaction id."""
        return DatagramAnswer(self.transaction_id, unit_id, request, device)

    def size(self, pdu_size: int) -> int:
        """Return bytes on the line."""
        return pdu_size + HEADER_SIZE


class DatagramAnswer:
    """Reads one answer; see `AnswerReader`. Keeps nothing."""

    def __init__(self, transaction_id: int, unit_id: int, request: Request, device: str) -> None:
        self._transaction_id = transaction_id.to_bytes(_ID_SIZE, "big")
        self._unit_id = unit_id
        self._request = request
        self._device = device

    def feed(self, arrived: bytes) -> bytes | None:
        """Take one datagram; None if it answers another request, or nothing."""
        if arrived[:_ID_SIZE] != self._transaction_id or len(arrived) < HEADER_SIZE:
            return None
        length = int.from_bytes(arrived[4:6], "big")
        if arrived[2:4] != b"\0\0" or 6 + length != len(arrived) or not LENGTH_MIN <= length <= LENGTH_MAX:
            raise not_an_answer(self._device, f"a datagram {arrived[:HEADER_SIZE].hex(' ')}", self._request)
        if arrived[6] != self._unit_id:
            raise wrong_unit(self._device, arrived[6], self._unit_id)
        return arrived[HEADER_SIZE:]
