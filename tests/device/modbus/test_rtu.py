"""RTU frames: the right answer to the request that was sent, or nothing."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.rtu import FRAME_MAX, RtuAnswer, RtuFraming, crc16
from gatewayd.errors import DeviceProtocolError

READ = pdu.read_request(3, 10, 2)
GOOD = b"\x03\x04\x00\x01\x00\x02"

requests = st.one_of(
    st.builds(pdu.read_request, st.just(3), st.integers(0, 60_000), st.integers(1, 125)),
    st.builds(pdu.read_request, st.just(1), st.integers(0, 60_000), st.integers(1, 2000)),
    st.builds(pdu.write_register_request, st.integers(0, 65_535), st.integers(0, 65_535)),
    st.builds(pdu.write_registers_request, st.just(7), st.lists(st.integers(0, 65_535), min_size=1, max_size=123)),
)


def frame(body: bytes, unit: int = 7) -> bytes:
    return RtuFraming().encode(unit, body)


def feed(chunks: list[bytes], request: pdu.Request = READ, unit: int = 7) -> bytes | str | None:
    """Return the PDU, what was wrong, or None if more is to come."""
    reader = RtuFraming().answer(unit, request, "bus")
    answer = None
    try:
        for chunk in chunks:
            answer = reader.feed(chunk)
    except DeviceProtocolError as error:
        return error.message
    return answer


def test_the_crc_is_that_of_the_standard() -> None:
    """The example of every manual: unit 1 reads ten holding registers from address 0."""
    assert frame(bytes.fromhex("03000000 0a"), unit=1).hex() == "01030000000ac5cd"
    assert crc16(b"123456789") == 0x4B37  # the published check value of CRC-16/MODBUS


@given(requests, st.data(), st.integers(1, 255))
def test_a_good_answer_comes_out_wherever_it_is_cut(request: pdu.Request, data: st.DataObject, unit: int) -> None:
    body = request.head + data.draw(
        st.binary(min_size=request.size - len(request.head), max_size=request.size - len(request.head))
    )
    wire = frame(body, unit)
    place = data.draw(st.integers(0, len(wire) - 1))
    reader = RtuFraming().answer(unit, request, "bus")
    if place:
        assert reader.feed(wire[:place]) is None
    assert reader.feed(wire[place:]) == body
    assert len(wire) == RtuFraming().size(len(body)) <= FRAME_MAX


@given(requests, st.integers(0, 255))
def test_an_exception_comes_out_by_its_own_length(request: pdu.Request, code: int) -> None:
    body = bytes((request.function | 0x80, code))
    assert feed([bytes((byte,)) for byte in frame(body)], request) == body


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        (frame(GOOD, unit=8), "bus: unit id 8 instead of 7 in answer to read holding registers 40011-40012"),
        (frame(b"\x04" + GOOD[1:]), "bus: function 4 in answer to"),
        (frame(b"\x03\x02\x00\x01"), "bus: 02 00 01"),
        (frame(b"\x03\x06" + bytes(6)), "bus: 06 00 00"),
        (frame(GOOD)[:-1] + b"\0", "bus: a wrong CRC after 07 03 04 00 01 00 02"),
        (frame(GOOD) + frame(GOOD), "bus: 18 bytes instead of 9"),
        (b"\xff" + frame(GOOD), "bus: unit id 255 instead of 7"),
    ],
    ids=["unit", "function", "shorter", "longer", "crc", "two answers", "noise before"],
)
def test_anything_else_is_refused(wire: bytes, says: str) -> None:
    assert str(feed([wire])).startswith(says)


def test_a_wrong_unit_is_refused_at_its_first_byte() -> None:
    """Nobody waits for the rest of it: the silence that must follow begins as early as it can."""
    assert feed([b"\x08"]) == "bus: unit id 8 instead of 7 in answer to read holding registers 40011-40012"


def test_the_click_of_a_driver_after_an_answer_does_no_harm() -> None:
    assert feed([frame(GOOD) + b"\x00\xff"]) == GOOD


@given(st.integers(0, 7), st.integers(0, 8))
def test_no_single_flipped_bit_passes(bit: int, place: int) -> None:
    wire = bytearray(frame(GOOD))
    wire[place] ^= 1 << bit
    assert feed([bytes(wire)]) != GOOD
    assert not isinstance(feed([bytes(wire)]), bytes)


@given(requests, st.lists(st.binary(max_size=600), max_size=8))
def test_garbage_is_a_protocol_error_or_waited_for_and_never_kept(request: pdu.Request, garbage: list[bytes]) -> None:
    reader = RtuAnswer(7, request, "bus")
    with contextlib.suppress(DeviceProtocolError):
        for chunk in garbage:
            reader.feed(chunk)
            assert len(reader._frame) < FRAME_MAX
