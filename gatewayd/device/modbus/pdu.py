"""Requests and responses of the Modbus application protocol, function codes 1-6, 15, 16, 22 and 23. No I/O.

A PDU is the function code and what follows it; `frame` puts it on the wire. Source: Modbus Application Protocol
Specification V1.1b3, sections 6.1-6.6, 6.11, 6.12, 6.16, 6.17 and 7. Addresses are 0-based here and 4xxxx only in messages.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from gatewayd.errors import DeviceError, DeviceProtocolError, DeviceRefused, DeviceTimeout
from gatewayd.model import quality

READ_COILS: Final = 1
READ_DISCRETE_INPUTS: Final = 2
READ_HOLDING_REGISTERS: Final = 3
READ_INPUT_REGISTERS: Final = 4
WRITE_COIL: Final = 5
WRITE_REGISTER: Final = 6
WRITE_COILS: Final = 15
WRITE_REGISTERS: Final = 16
MASK_WRITE_REGISTER: Final = 22
READ_WRITE_REGISTERS: Final = 23

READ_FUNCTION: Final = {
    "coil": READ_COILS,
    "discrete": READ_DISCRETE_INPUTS,
    "input": READ_INPUT_REGISTERS,
    "holding": READ_HOLDING_REGISTERS,
}

READ_REGISTERS_MAX: Final = 125
READ_BITS_MAX: Final = 2000
WRITE_REGISTERS_MAX: Final = 123
WRITE_COILS_MAX: Final = 1968
READ_WRITE_REGISTERS_MAX: Final = 121  # the write part of function 23
ADDRESSES: Final = 65_536  # per register type

_READS_BITS: Final = frozenset({READ_COILS, READ_DISCRETE_INPUTS})
_READS: Final = _READS_BITS | {READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS}
_EXCEPTION_BIT: Final = 0x80
_COIL_ON: Final = 0xFF00
_WORD_MAX: Final = 0xFFFF
_THREE_WORDS: Final = struct.Struct(">BHH")
_MASK: Final = struct.Struct(">BHHH")
_READ_WRITE: Final = struct.Struct(">BHHHHB")

# function -> (verb, singular noun, first digit of the reference number)
_WORDS: Final = {
    READ_COILS: ("read", "coil", 0),
    READ_DISCRETE_INPUTS: ("read", "discrete input", 1),
    READ_HOLDING_REGISTERS: ("read", "holding register", 4),
    READ_INPUT_REGISTERS: ("read", "input register", 3),
    WRITE_COIL: ("write", "coil", 0),
    WRITE_REGISTER: ("write", "holding register", 4),
    WRITE_COILS: ("write", "coil", 0),
    WRITE_REGISTERS: ("write", "holding register", 4),
    MASK_WRITE_REGISTER: ("write bits of", "holding register", 4),
    READ_WRITE_REGISTERS: ("write others and read", "holding register", 4),
}
_NOT_IN_FIVE_DIGITS: Final = 9_999  # 0-based; a reference number of five digits ends at x9999


class ExceptionCode(Struct, frozen=True):
    """One exception code of the standard, what it means for a tag and for the person who reads it.

    `spares_plant`: the device says this before it touches anything, so a refused write has changed nothing.
    """

    title: str
    status: int
    spares_plant: bool
    remedy: str


_TRY_AGAIN: Final = "The device is busy; if this lasts, read it less often (scan_rate_ms) or raise timeout_ms."
_PROBE_GATEWAY: Final = "Check unit_id and the serial line behind the gateway; run `gatewayd device probe`."

EXCEPTIONS: Final = {
    # The device lacks the service, whatever the address: the code OPC UA servers answer for a service they lack.
    1: ExceptionCode(
        "illegal function",
        quality.BAD_NOT_SUPPORTED,
        True,
        "Check register_type against the device's manual; for a write try the other write_multiple setting.",
    ),
    # No such register: to an OPC UA client, no such node.
    2: ExceptionCode(
        "illegal data address",
        quality.BAD_NODE_ID_UNKNOWN,
        True,
        "Check address and address_base against the manual; if only a gap between tags is missing, set max_gap = 0.",
    ),
    # In a write the value, in a read the quantity, is outside what the device takes.
    3: ExceptionCode(
        "illegal data value",
        quality.BAD_OUT_OF_RANGE,
        True,
        "Compare the value with the range in the device's manual; for a read lower max_registers.",
    ),
    # It failed while doing what was asked: how far it came is not said.
    4: ExceptionCode(
        "device failure", quality.BAD_DEVICE_FAILURE, False, "Look at the device's own diagnostics or its display."
    ),
    # It accepted the request and is still at it: no result in time is what a timeout means.
    5: ExceptionCode("acknowledge, still working", quality.BAD_TIMEOUT, False, _TRY_AGAIN),
    6: ExceptionCode("device busy", quality.BAD_TIMEOUT, True, _TRY_AGAIN),
    7: ExceptionCode(
        "negative acknowledge",
        quality.BAD_DEVICE_FAILURE,
        False,
        "Look at the device's own diagnostics or its display.",
    ),
    8: ExceptionCode(
        "memory parity error", quality.BAD_DEVICE_FAILURE, False, "The device's memory is failing: have it serviced."
    ),
    # A gateway speaks for a device it cannot reach: the link to us works, the one behind it does not.
    10: ExceptionCode("gateway path unavailable", quality.BAD_NO_COMMUNICATION, True, _PROBE_GATEWAY),
    # The device may have got the request and only its answer is lost.
    11: ExceptionCode("gateway target did not respond", quality.BAD_NO_COMMUNICATION, False, _PROBE_GATEWAY),
}
_UNKNOWN_EXCEPTION: Final = ExceptionCode(
    "an exception code outside the standard",
    quality.BAD_COMMUNICATION,
    False,
    "Look the code up in the device's manual.",
)


class Request(Struct, frozen=True, gc=False):
    """A request and what its good response must look like.

    Args:
        function: function code.
        address: first register or bit, 0-based.
        count: registers or bits.
        pdu: the bytes to send.
        head: how a good response begins; a read's payload follows it.
        size: bytes of a good response; 0 = it tells itself, and whoever asked checks the rest.
    """

    function: int
    address: int
    count: int
    pdu: bytes
    head: bytes
    size: int

    def __str__(self) -> str:
        """Say it as a technician would: `read holding registers 40001-40020`."""
        verb, noun, digit = _WORDS[self.function]
        return f"{verb} {_span(noun, digit, self.address, self.count)}"


def reference(register_type: str, address: int) -> str:
    """Return a 0-based address as people find it in manuals, e.g. `holding register 40001`."""
    _, noun, digit = _WORDS[READ_FUNCTION[register_type]]
    return _span(noun, digit, address, 1)


def _span(noun: str, digit: int, address: int, count: int) -> str:
    last = address + count - 1
    width = 4 if last < _NOT_IN_FIVE_DIGITS else 5
    first_number = f"{digit}{address + 1:0{width}}"
    return f"{noun} {first_number}" if count == 1 else f"{noun}s {first_number}-{digit}{last + 1:0{width}}"


def read_request(function: int, address: int, count: int) -> Request:
    """Make a request of function 1, 2, 3 or 4.

    Args:
        function: function code.
        address: 0-based.
        count: registers (1-125) or bits (1-2000).
    """
    assert function in _READS
    assert 0 < count <= (READ_BITS_MAX if function in _READS_BITS else READ_REGISTERS_MAX)
    assert 0 <= address <= ADDRESSES - count
    byte_count = (count + 7) // 8 if function in _READS_BITS else 2 * count
    pdu = _THREE_WORDS.pack(function, address, count)
    return Request(function, address, count, pdu, bytes((function, byte_count)), 2 + byte_count)


def write_coil_request(address: int, is_on: bool) -> Request:
    """Make a request of function 5; a good response repeats it."""
    return _echoed(WRITE_COIL, address, _COIL_ON if is_on else 0)


def write_register_request(address: int, register: int) -> Request:
    """Make a request of function 6; a good response repeats it.

    Args:
        address: 0-based.
        register: 0-65535.
    """
    return _echoed(WRITE_REGISTER, address, register)


def _echoed(function: int, address: int, word: int) -> Request:
    pdu = _THREE_WORDS.pack(function, address, word)
    return Request(function, address, 1, pdu, pdu, len(pdu))


def write_coils_request(address: int, coils: Sequence[bool | int]) -> Request:
    """Make a request of function 15; a good response repeats address and count, never the values."""
    assert 0 < len(coils) <= WRITE_COILS_MAX
    packed = sum(1 << place for place, is_on in enumerate(coils) if is_on)
    return _multiple(WRITE_COILS, address, len(coils), packed.to_bytes((len(coils) + 7) // 8, "little"))


def write_registers_request(address: int, registers: Sequence[int]) -> Request:
    """Make a request of function 16; a good response repeats address and count, never the values."""
    assert 0 < len(registers) <= WRITE_REGISTERS_MAX
    return _multiple(WRITE_REGISTERS, address, len(registers), struct.pack(f">{len(registers)}H", *registers))


def mask_write_request(address: int, owned: int, bits: int) -> Request:
    """Make a request of function 22, by which the device changes some bits of a register and no others.

    Args:
        address: 0-based.
        owned: the bits to change, 1 to 65535.
        bits: what they become; bits outside `owned` do not count.
    """
    assert 0 < owned <= _WORD_MAX
    assert 0 <= address < ADDRESSES
    pdu = _MASK.pack(MASK_WRITE_REGISTER, address, ~owned & _WORD_MAX, bits & owned)
    return Request(MASK_WRITE_REGISTER, address, 1, pdu, pdu, len(pdu))


def read_write_request(read_address: int, read_count: int, write_address: int, registers: Sequence[int]) -> Request:
    """Make a request of function 23: the device writes first, then reads; the payload is what it read.

    Args:
        read_address: 0-based.
        read_count: registers, 1-125.
        write_address: 0-based.
        registers: 1-121 of 0-65535.
    """
    assert 0 < read_count <= READ_REGISTERS_MAX
    assert 0 < len(registers) <= READ_WRITE_REGISTERS_MAX
    assert 0 <= read_address <= ADDRESSES - read_count
    assert 0 <= write_address <= ADDRESSES - len(registers)
    head = _READ_WRITE.pack(
        READ_WRITE_REGISTERS, read_address, read_count, write_address, len(registers), 2 * len(registers)
    )
    pdu = head + struct.pack(f">{len(registers)}H", *registers)
    answer = bytes((READ_WRITE_REGISTERS, 2 * read_count))
    return Request(READ_WRITE_REGISTERS, read_address, read_count, pdu, answer, 2 + 2 * read_count)


def _multiple(function: int, address: int, count: int, values: bytes) -> Request:
    assert 0 <= address <= ADDRESSES - count
    head = _THREE_WORDS.pack(function, address, count)
    return Request(function, address, count, head + bytes((len(values),)) + values, head, len(head))


def check_response(request: Request, response: bytes, device: str) -> bytes:
    """Return what a request asked to read, or nothing for a write; every byte of the answer has been compared.

    Args:
        request: what was asked.
        response: PDU of the answer.
        device: name, for messages.

    Raises:
        DeviceRefused: an exception response; a write changed nothing.
        DeviceError: an exception response to a write after which the state of the plant is unknown.
        DeviceProtocolError: anything else that is not the answer to this request.
    """
    head = request.head
    if response.startswith(head) and request.size in (len(response), 0):
        return response[len(head) :]
    if response[:1] == bytes((request.function | _EXCEPTION_BIT,)) and len(response) == 2:
        raise _exception(request, response[1], device)
    raise DeviceProtocolError(
        f"{device}: {_mismatch(request, response)} to {request}",
        remedy=f"The device breaks the protocol; capture the traffic, and run `gatewayd device probe {device}`.",
    )


def _exception(request: Request, code: int, device: str) -> DeviceError:
    meaning = EXCEPTIONS.get(code, _UNKNOWN_EXCEPTION)
    message = f"{device}: {meaning.title} (exception {code}) in answer to {request}"
    if request.function in _READS or meaning.spares_plant:
        return DeviceRefused(message, remedy=meaning.remedy, status=meaning.status, code=code)
    kind = DeviceTimeout if meaning.status in {quality.BAD_TIMEOUT, quality.BAD_NO_COMMUNICATION} else DeviceError
    return kind(f"{message}; whether it was done is unknown", remedy=meaning.remedy)


def _mismatch(request: Request, response: bytes) -> str:
    if not response:
        return "an empty answer"
    if response[0] & ~_EXCEPTION_BIT != request.function:
        return f"an answer of function {response[0]}"
    if response[0] & _EXCEPTION_BIT:
        return f"an exception answer of {len(response)} bytes instead of 2"
    if len(response) != request.size:
        return f"an answer of {len(response)} bytes instead of {request.size}"
    if len(request.head) == 2:  # function and byte count: the answer carries a payload
        return f"an answer that announces {response[1]} bytes instead of {request.head[1]}"
    return f"an echo of {response[1:].hex()} instead of {request.head[1:].hex()}"
