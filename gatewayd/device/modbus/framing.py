"""What the bus master needs of a frame codec: a request to bytes, bytes to the one answer that may follow it. No I/O."""

from __future__ import annotations

from typing import Final, Protocol

from gatewayd.device.modbus.pdu import Request
from gatewayd.errors import DeviceProtocolError

EXCEPTION_BIT: Final = 0x80
EXCEPTION_SIZE: Final = 2  # PDU: function and code
NOISE_MAX: Final = 3  # bytes after an answer that no frame can be made of: drivers switching, not a second answer


class AnswerReader(Protocol):
    """Reads the answer to one request, however the line cut it."""

    def feed(self, arrived: bytes) -> bytes | None:
        """Take what arrived; return the PDU once the answer is whole, and no sooner.

        Raises:
            DeviceProtocolError: this is not the answer to the request.
        """
        ...


class Framing(Protocol):
    """One frame codec.

    Attributes:
        drains: an answer does not say which request it answers, so after a timeout the line must be drained.
    """

    drains: bool

    def encode(self, unit_id: int, pdu: bytes) -> bytes:
        """Return a request as it goes onto the line."""
        ...

    def answer(self, unit_id: int, request: Request, device: str) -> AnswerReader:
        """Return a reader of the answer to the request encoded last."""
        ...

    def size(self, pdu_size: int) -> int:
        """Return how many bytes a PDU takes on the line."""
        ...


class Echo:
    """Takes what an adapter repeats of a request off the front of an answer.

    Args:
        sent: the request's bytes.
        answer: reads what follows them.
        device: name, for messages.
    """

    def __init__(self, sent: bytes, answer: AnswerReader, device: str) -> None:
        self._sent = sent
        self._answer = answer
        self._device = device

    def feed(self, arrived: bytes) -> bytes | None:
        """Take what arrived; see `AnswerReader`."""
        if self._sent:
            echoed, arrived = arrived[: len(self._sent)], arrived[len(self._sent) :]
            if not self._sent.startswith(echoed):
                raise DeviceProtocolError(
                    f"{self._device}: {echoed.hex()} instead of the echo of {self._sent.hex()}",
                    remedy="Set local_echo = false if the adapter does not echo; else another master talks on this bus.",
                )
            self._sent = self._sent[len(echoed) :]
        return self._answer.feed(arrived) if arrived else None


def not_an_answer(device: str, what: str, request: Request) -> DeviceProtocolError:
    """Return the error for bytes that are no answer to a request."""
    return DeviceProtocolError(
        f"{device}: {what} in answer to {request}",
        remedy="Check baud_rate, parity, termination and that each unit id is on the bus once; raise timeout_ms if a "
        "unit answers late.",
    )
