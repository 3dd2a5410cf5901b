"""What is fuzzed: every decoder that bytes from a device or from the disk reach, as they reach it.

A target returns a short word for how the decoder behaved. It raises when the decoder did anything but succeed or say so
with the error it promises, and when compiled and plain code differ.
"""

from __future__ import annotations

import io
import re
import struct
from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gatewayd.compiled import load_kernels
from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.ascii import FRAME_MAX as ASCII_FRAME_MAX
from gatewayd.device.modbus.ascii import AsciiFraming
from gatewayd.device.modbus.datagram import DatagramFraming
from gatewayd.device.modbus.frame import FRAME_MAX, FrameReader
from gatewayd.device.modbus.framing import Framing
from gatewayd.device.modbus.identification import PAGES_MAX, Inquiry, Page, encode_page
from gatewayd.device.modbus.rtu import RtuFraming
from gatewayd.device.opcua.data_values import Screen, only_value
from gatewayd.device.opcua.elements import Field, Structure, UnknownStructure, parse_element, records, value_at
from gatewayd.device.opcua.fast_read import results_of
from gatewayd.device.recording import Exchange, Header, RecordingWriter, parse_recording
from gatewayd.errors import ConfigError, DeviceError, DeviceProtocolError
from gatewayd.model import quality
from gatewayd.model.block import WireOrder, WireType
from hil.fuzz import blocks, notifications
from hil.fuzz.columns import GuardedKernel
from kernels.table import RESPONSE_CELLS

Run = Callable[[bytes], str]
INBOX = 4096
ROWS = 8


class Target(NamedTuple):
    """One decoder. `build` makes what runs one input; it is called once per process."""

    corpus: Sequence[bytes]
    build: Callable[[], Run]
    size_max: int = INBOX


def _shape(error: Exception) -> str:
    return type(error).__name__ + re.sub(r"[0-9a-fx]*[0-9][0-9a-fx]*", "#", str(error))[:80]


# --- Modbus -------------------------------------------------------------------------------------------------------------

_REQUESTS = (
    pdu.read_request(3, 0, 2),
    pdu.read_request(1, 10, 9),
    pdu.write_register_request(7, 42),
    pdu.write_registers_request(7, [1, 2, 3]),
    pdu.write_coil_request(1, True),
    pdu.write_coils_request(1, [1, 0, 1]),
    pdu.mask_write_request(7, 0x0100, 0x0100),
    pdu.read_write_request(0, 2, 9, [1]),
)
_ANSWERS = (
    b"\x03\x04\x00\x01\x00\x02",
    b"\x01\x02\xff\x01",
    *(request.head for request in _REQUESTS[2:-1]),
    b"\x17\x04\x00\x01\x00\x02",
    b"\x83\x02",
    b"\x90\x0b",
)


def _mbap(answer: bytes, transaction: int = 1) -> bytes:
    return struct.pack(">HHHB", transaction, 0, len(answer) + 1, 1) + answer


def _modbus_frames() -> Run:
    def run(content: bytes) -> str:
        """The stream cut into pieces by its own first byte: the same frames, whatever the network did."""
        whole, pieces = _frames(content, len(content) or 1), _frames(content, 1 + (content[0] if content else 0) % 7)
        assert whole[0] == pieces[0][: len(whole[0])] or pieces[0] == whole[0][: len(pieces[0])], "cut differently"
        return f"{len(whole[0])} {whole[1]}"

    return run


def _frames(content: bytes, piece: int) -> tuple[list[tuple[int, bytes]], str]:
    frames: list[tuple[int, bytes]] = []
    reader = FrameReader("plc", lambda transaction, unit, answer: frames.append((transaction, answer)))
    try:
        for start in range(0, len(content), piece):
            reader.feed(content[start : start + piece])
            assert len(reader._rest) < FRAME_MAX, "the rest of a frame grows"
    except DeviceProtocolError as error:
        return frames, _shape(error)
    return frames, "ok"


def _framings() -> tuple[Framing, ...]:
    return RtuFraming(), AsciiFraming(), DatagramFraming()


_SAID = re.compile(r"bus: (?:an? |[\da-f ]+)?([a-z]+ ?[A-Za-z]*)")  # the rest cites bytes, which are no behaviour


def _modbus_bus() -> Run:
    """The answer to one request on a bus: framing, request and cut from the first two bytes."""

    def run(content: bytes) -> str:
        choice, cut = content[:2].ljust(2, b"\0")
        framing = _framings()[choice % 3]
        request = _REQUESTS[choice // 3 % len(_REQUESTS)]
        framing.encode(1, request.pdu)
        reader = framing.answer(1, request, "bus")
        line, piece = content[2:], len(content) if framing.drains is False else 1 + cut % 9
        try:
            for start in range(0, len(line), piece):
                answer = reader.feed(line[start : start + piece])
                assert len(getattr(reader, "_frame", b"")) < ASCII_FRAME_MAX, "what waits for an answer grows"
                if answer is not None:
                    assert len(framing.encode(1, answer)) <= len(line), "an answer out of nothing"
                    return f"{choice % 3} {_checked(request, answer)}"
        except DeviceProtocolError as error:
            said = _SAID.match(str(error))
            return f"{choice % 3} {said[1] if said else str(error)}"
        return f"{choice % 3} waits"

    return run


def _checked(request: pdu.Request, answer: bytes) -> str:
    try:
        return f"ok {len(pdu.check_response(request, answer, 'bus'))}"
    except DeviceError as error:
        return _shape(error)


def _on_a_bus(place: int, answer: bytes) -> list[bytes]:
    """Return an answer in each framing, behind the bytes that choose framing, request and cut."""
    framings = _framings()
    chosen = [bytes((3 * (place % len(_REQUESTS)) + kind, place)) for kind in range(len(framings))]
    return [head + framing.encode(1, answer) for head, framing in zip(chosen, framings, strict=True)]


def _modbus_answers() -> Run:
    def run(content: bytes) -> str:
        request = _REQUESTS[content[0] % len(_REQUESTS)] if content else _REQUESTS[0]
        try:
            payload = pdu.check_response(request, content[1:], "plc")
        except DeviceError as error:
            return _shape(error)
        assert request.head + payload == content[1:]
        return f"ok {request.function}"

    return run


def _modbus_registers() -> Run:
    """Plan and payload both from the input; compiled and plain code must agree in every byte."""
    forms = [GuardedKernel(load_kernels(form), "decode_modbus_registers", _ROW_COUNTS) for form in ("aot", "python")]

    def run(content: bytes) -> str:
        plan, payload = content[: _PLAN_BYTES * ROWS], content[_PLAN_BYTES * ROWS :][:INBOX]
        for kernel in forms:
            for row in range(ROWS):
                cells = plan[_PLAN_BYTES * row : _PLAN_BYTES * (row + 1)].ljust(_PLAN_BYTES, b"\0")
                kind, order, bit, offset, special, scale_offset = cells
                kernel.columns["plan.row"][row] = row
                kernel.columns["plan.type"][row] = kind % 24 - 1
                kernel.columns["plan.order"][row] = order % 6 - 1
                kernel.columns["plan.bit"][row] = bit % 18 - 1
                kernel.columns["plan.offset"][row] = offset - 2
                kernel.columns["plan.special"][row] = special % 5
                kernel.columns["plan.not_a_value"][row] = (0, -1, -(2**15), -(2**63))[special // 5 % 4]
                kernel.columns["plan.scale_offset"][row] = scale_offset - 2
        return _decoded(forms, payload, _call_for_registers)

    return run


_PLAN_BYTES = 6  # of the input, for one row
_ROW_COUNTS = {"response": 2 * RESPONSE_CELLS, "inbox": INBOX, "plan": ROWS, "tag": ROWS, "fresh": ROWS}


def _call_for_registers(kernel: GuardedKernel, at: int, size: int) -> int:
    """Decode one response behind another that fills no row."""
    kernel.columns["response.cell"][:] = array("q", (0, 0, at, 0, 0, 0, 0, ROWS, size, 0, 10, 20))
    return kernel(responses=2, fresh_count=0, now=30, pass_number=1)


def _call_for_values(kernel: GuardedKernel, at: int, size: int) -> int:
    times = {"response_time": 10, "response_mono": 20, "now": 30}
    return kernel(at=at, size=size, first=0, count=ROWS, fresh_count=0, pass_number=1, **times)


def _decoded(forms: Sequence[GuardedKernel], payload: bytes, call: Callable[[GuardedKernel, int, int], int]) -> str:
    results = []
    for kernel in forms:
        inbox = kernel.columns["inbox.byte"]
        at = len(inbox) - len(payload)
        inbox[at:] = payload
        for row in range(ROWS):
            kernel.columns["tag.fresh_mark"][row] = 0
        results.append(call(kernel, at, len(payload)))
    compiled, plain = forms
    assert results[0] == results[1], f"compiled {results[0]}, plain {results[1]}"
    for name in ("tag.status", "tag.bits", "tag.value_bits", "tag.source_time"):
        assert compiled.columns[name].tobytes() == plain.columns[name].tobytes(), f"{name} differs"
    statuses = compiled.columns["tag.status"]
    return f"{results[0]} " + " ".join(f"{statuses[row]:x}" for row in range(ROWS))


def _modbus_identification() -> Run:
    def run(content: bytes) -> str:
        """A device that gives this one answer to whatever it is asked: the inquiry ends all the same."""
        inquiry = Inquiry("plc")
        pages = 0
        try:
            while inquiry.request is not None:
                pages += 1
                assert pages <= 2 * PAGES_MAX, "the inquiry does not end"
                inquiry.take(content)
        except DeviceError as error:
            return _shape(error)
        return f"ok {pages} {len(inquiry.result().objects)}"

    return run


def _recording() -> Run:
    def run(content: bytes) -> str:
        try:
            recording = parse_recording(content, "x.rec")
        except ConfigError as error:
            return _shape(error)
        return f"ok {len(recording.exchanges)} {recording.is_cut_short}"

    return run


def _written_recording() -> bytes:
    file = io.BytesIO()
    writer = RecordingWriter(file, Header("plc", "modbus", 1, "gatewayd"))
    for place, answer in enumerate(_ANSWERS):
        writer.add(Exchange(place, 7, 1, _REQUESTS[place % len(_REQUESTS)].pdu, answer))
    return file.getvalue()


_PAGES = (
    encode_page(Page(1, 0x83, ((0, b"ACME"), (1, b"P-7"), (2, b"1.4")))),
    encode_page(Page(1, 0x01, ((0, b"ACME"),), 1)),
    b"\xab\x01",
)


# --- OPC UA -------------------------------------------------------------------------------------------------------------

_T = struct.pack("<q", 133_000_000_000_000_000)
_VALUES = (
    b"\x05\x0b" + struct.pack("<d", 21.5) + _T,
    b"\x07\x06" + struct.pack("<iI", -7, 0x40920000) + _T,
    b"\x3d\x01\x01" + _T + b"\x01\x00" + _T + b"\x02\x00",
    b"\x02" + struct.pack("<I", 0x80340000),
    b"\x01\x0c" + struct.pack("<i", 5) + b"hello",
    b"\x01\x8b" + struct.pack("<i", 2) + struct.pack("<2d", 1.0, 2.0),
    b"\x01\xcb" + struct.pack("<i", 2) + struct.pack("<2d", 1.0, 2.0) + struct.pack("<3i", 2, 1, 2),
    b"\x01\x16\x01\x00\x05\x00\x01" + struct.pack("<i", 4) + b"body",
    b"\x01\x15\x03" + struct.pack("<i", 2) + b"en" + struct.pack("<i", 2) + b"hi",
    b"\x01\x98" + struct.pack("<i", 2) + b"\x06\x01\x00\x00\x00\x17\x01\x0b" + struct.pack("<d", 3.0),
    b"\x00",
)
_SINGLES = (
    b"\x05\x8b" + struct.pack("<id", 1, 21.5) + _T,
    b"\x01\xc6" + struct.pack("<iiiii", 1, -7, 2, 1, 1),
    b"\x03\x84" + struct.pack("<ihI", 1, -7, 0x40920000),
    b"\x02" + struct.pack("<I", 0x80370000),
    b"\x01\x8e" + struct.pack("<i", 1) + bytes(16),
    *_VALUES[5:7],
)
_RESPONSE = struct.pack("<BBHqIIBiBBB", 1, 0, 634, 0, 7, 0, 0, -1, 0, 0, 0)


def _response(values: Sequence[bytes]) -> bytes:
    return _RESPONSE + struct.pack("<i", len(values)) + b"".join(values) + struct.pack("<i", -1)


def _eight(start: int) -> list[bytes]:
    return [_VALUES[(start + place) % len(_VALUES)] for place in range(ROWS)]


def _opcua_values() -> Run:
    """DataValues straight into the kernel, as if no driver had looked at them."""
    forms = [GuardedKernel(load_kernels(form), "decode_opcua", _ROW_COUNTS) for form in ("aot", "python")]

    def run(content: bytes) -> str:
        for kernel in forms:
            kernel.columns["plan.row"][:] = memoryview(bytearray(struct.pack(f"{ROWS}q", *range(ROWS)))).cast("q")
        return _decoded(forms, content[:INBOX], _call_for_values)

    return run


def _walked_to_the_end(decode: Run, passed: bytes) -> str:
    """Decode what a screen let pass; the kernel must not get lost in it."""
    behaviour = decode(passed)
    if len(passed) <= INBOX and _SAYS_SO_ITSELF not in passed:
        assert "80070000" not in behaviour.split()[1:], "the kernel was lost in what the screen let pass"
    return behaviour


_SAYS_SO_ITSELF = struct.pack(
    "<I", quality.BAD_DECODING
)  # a server may give a value the status that we give what is lost


def _opcua_response() -> Run:
    """A ReadResponse the whole way: header, screen, kernel. What the screen lets pass the kernel can walk to its end."""
    decode = _opcua_values()

    def run(content: bytes) -> str:
        screen = Screen(ROWS)
        try:
            results = results_of(content, handle=7, count=ROWS)
            passed = screen.passed(results)
        except DeviceError as error:
            return _shape(error)
        assert screen.passed(results) == passed, "the second look differs from the first"
        return "ok " + _walked_to_the_end(decode, passed)

    return run


def _opcua_element_range() -> Run:
    """The answer to index ranges: what passes as elements the kernel walks to its end, and the next alike is known."""
    decode = _opcua_values()

    def run(content: bytes) -> str:
        screen = Screen(ROWS, are_elements=True)
        try:
            list(records(content, ROWS))
            passed = screen.passed(content)
        except DeviceProtocolError as error:
            return _shape(error)
        if screen.knows(content):
            assert passed == content
        return "ok " + _walked_to_the_end(decode, passed)

    return run


_INNER = Structure((Field("A", 4, None, 0, True), Field("B", 12, None, 1, False), Field("C", 11, None, 2, True)))
_OUTER = Structure(
    (
        Field("Inner", 0, _INNER, 1, False),
        Field("Empty", 0, Structure(()), 1, False),
        Field("Any", 24, None, 0, False),
        Field(
            "One",
            0,
            Structure((Field("X", 6, None, 0, False), Field("Y", 22, None, 0, False)), is_union=True),
            0,
            False,
        ),
    )
)
_TYPES = {b"\x01\x00\x05\x00": _OUTER, b"\x01\x00\x06\x00": _INNER, b"\x01\x00\x07\x00": None}
_PATHS = tuple(
    map(parse_element, ("1", "1,0", ".One.X", "Inner[1].B[0]", "Inner[0].C[0,1]", ".Any", "[1].A", "One.Y.A"))
)
_STRUCTURES = (
    b"\x05\x16\x01\x00\x06\x00\x01" + struct.pack("<iIHii", 14, 1, 7, 1, 0) + _T,
    b"\x01\x16\x01\x00\x05\x00\x01" + struct.pack("<iiIHiiiBBIi", 38, 1, 1, 7, 1, 0, 3, 3, 9, 1, 5),
    b"\x01\x96" + struct.pack("<i", 2) + 2 * (b"\x01\x00\x06\x00\x01" + struct.pack("<iIHii", 14, 1, 7, 1, 0)),
)


def _opcua_element() -> Run:
    """One element of one value, cut out in Python along a structure's definition."""

    def run(content: bytes) -> str:
        path = _PATHS[content[0] % len(_PATHS)] if content else _PATHS[0]
        try:
            for start, end in records(content[1:], 1):
                found = value_at(content[1:][start:end], path, _TYPES)
        except UnknownStructure:
            return "unknown"
        except DeviceProtocolError as error:
            return _shape(error)
        return f"ok {found.status:x} {found.elements > 1}"

    return run


def _opcua_single() -> Run:
    def run(content: bytes) -> str:
        try:
            status, number = only_value(content)
        except DeviceProtocolError as error:
            return _shape(error)
        return f"ok {status:x} {number is None}"

    return run


TARGETS: dict[str, Target] = {
    "modbus-frames": Target(
        [b"".join(_mbap(answer, place) for place, answer in enumerate(_ANSWERS)), *map(_mbap, _ANSWERS)],
        _modbus_frames,
        2 * FRAME_MAX,
    ),
    "modbus-bus": Target(
        [seed for place, answer in enumerate(_ANSWERS) for seed in _on_a_bus(place, answer)],
        _modbus_bus,
        ASCII_FRAME_MAX,
    ),
    "modbus-answers": Target(
        [bytes((place % len(_REQUESTS),)) + answer for place, answer in enumerate(_ANSWERS)], _modbus_answers
    ),
    "modbus-registers": Target(
        [
            b"".join(bytes((kind + 1, order + 1, bit, 2 + 8 * row, special, 82)) for row in range(ROWS))
            + bytes(range(80))
            + factor
            for kind in WireType
            for order in WireOrder
            for bit, special, factor in ((0, 0, b""), (9, 2, b"\x00\x03"), (0, 3 + 5, b"\xff\xfd"))
        ],
        _modbus_registers,
    ),
    "modbus-identification": Target(_PAGES, _modbus_identification),
    "recording": Target([_written_recording()], _recording),
    "opcua-response": Target([_response(_eight(start)) for start in range(len(_VALUES))], _opcua_response),
    "opcua-values": Target([b"".join(_eight(start)) for start in range(len(_VALUES))], _opcua_values),
    "opcua-single": Target(_VALUES, _opcua_single),
    "opcua-ranges": Target(
        [
            b"".join(_SINGLES[(start + place) % len(_SINGLES)] for place in range(ROWS))
            for start in range(len(_SINGLES))
        ],
        _opcua_element_range,
    ),
    "opcua-element": Target(
        [bytes((place,)) + each for place in range(len(_PATHS)) for each in (*_VALUES, *_STRUCTURES)], _opcua_element
    ),
    "opcua-notifications": Target(notifications.corpus(_VALUES), notifications.into_the_kernel),
    "blocks": Target(blocks.corpus(), blocks.stored),
    "block-heads": Target(blocks.heads(), blocks.fitted),
    "opcua-publish": Target(notifications.responses(_VALUES), notifications.from_the_response),
}
