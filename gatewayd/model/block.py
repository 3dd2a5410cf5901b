"""How readings travel: one Block per response, with one ReadPlan that says which rows of the twin it fills."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct


class Codec(IntEnum):
    """How the payload of a block is encoded; each has one decoding kernel."""

    MODBUS_REGISTERS = 1  # big-endian 16-bit registers, the PDU's data without its byte count
    MODBUS_BITS = 2  # coils or discrete inputs, packed, least significant bit first
    OPCUA_READ = 3  # the `Results` array of a ReadResponse: DataValues back to back, without the count
    COLUMNS = 4  # decoded by the driver: per plan row little-endian float64 value, int64 status, int64 source_time_ns
    LOST = 5  # nothing arrived: every row of the plan gets `status`
    OPCUA_NOTIFICATION = 6  # (ClientHandle, DataValue) back to back; a handle is the position in the plan's `rows`
    CONFIRMED = 7  # no payload: the server says by its silence that every row of the plan still stands


class WireType(IntEnum):
    """The type of a tag on the wire, as kernels number it."""

    BOOL = 1
    INT16 = 2
    UINT16 = 3
    INT32 = 4
    UINT32 = 5
    INT64 = 6
    UINT64 = 7
    FLOAT32 = 8
    FLOAT64 = 9
    INT8 = 10  # the byte of a register that begins at bit 0 or 8
    UINT8 = 11
    FLOAT16 = 12
    BCD16 = 13
    BCD32 = 14
    BCD64 = 15
    STRING = 16  # no kernel's work: see `gatewayd.core.contract.text`


WIRE_BYTES = {  # but for a STRING, whose row says it; a BOOL among coils is a bit
    WireType.BOOL: 2,
    WireType.INT8: 2,
    WireType.UINT8: 2,
    WireType.INT16: 2,
    WireType.UINT16: 2,
    WireType.FLOAT16: 2,
    WireType.BCD16: 2,
    WireType.INT32: 4,
    WireType.UINT32: 4,
    WireType.FLOAT32: 4,
    WireType.BCD32: 4,
    WireType.INT64: 8,
    WireType.UINT64: 8,
    WireType.FLOAT64: 8,
    WireType.BCD64: 8,
}


class WireOrder(IntEnum):
    """Order of the bytes of a value on the wire; A is the most significant byte of the first register."""

    ABCD = 0
    BADC = 1
    CDAB = 2
    DCBA = 3


class PlanRow(Struct, frozen=True, array_like=True):
    """Where one tag's raw value stands in a payload.

    For OPCUA_READ and COLUMNS the position in `rows` is the position in the payload and `offset` is 0.
    """

    row: int  # row of the twin
    offset: int  # bytes from the start of the payload
    type: WireType
    order: WireOrder = WireOrder.ABCD
    bit: int = -1  # bit of the register (0 = least significant) or of the coil byte; -1 = whole value; 0, 8 = byte
    scale_offset: int = -1  # bytes to the int16 register that holds a power of ten; -1 = none
    not_a_value: int | None = None  # raw bits, as a signed number, that mean "no value"
    length: int = 0  # bytes of a text


class ReadPlan(Struct, frozen=True, array_like=True):
    """One request of a scan class and the rows its response fills.

    Args:
        index: its place in `Site.plans`.
        device: who is asked.
        scan_class: when.
        codec: of a good response; a lost one says LOST in its block.
        rows: where the values stand in the payload.
        request: the driver's own: (function, start, count) or node ids.
        unit: which of several units behind the device's connection answers it; a plan never mixes units.
        size: bytes of a good payload of registers, 0 of all others, whose payload alone tells.
    """

    index: int
    device: str
    scan_class: str
    codec: Codec
    rows: tuple[PlanRow, ...]
    request: tuple[int | str, ...]
    unit: int = 0
    size: int = 0


class Block(Struct, frozen=True, array_like=True, gc=False):
    """One response as it arrived, or the fact that none did; or several of registers that arrived together.

    Args:
        plan: index into the site's read plans.
        request_time_ns: wall clock when the request was sent; of several, the first.
        response_time_ns: wall clock when the last byte arrived; this is the samples' ingest time.
        response_mono_ns: the same instant on the boot clock, for durations.
        status: OPC UA status code for every row when the codec is LOST, else 0.
        lost: rows that the payload lacks although the others are there, because the device refuses their addresses:
            (first row of the plan, count, OPC UA status code), ascending.
        plans: how many plans, from `plan` on, have their whole payloads here, back to back.
    """

    plan: int
    codec: Codec
    request_time_ns: int
    response_time_ns: int
    response_mono_ns: int
    payload: bytes = b""
    status: int = 0
    lost: tuple[tuple[int, int, int], ...] = ()
    plans: int = 1
