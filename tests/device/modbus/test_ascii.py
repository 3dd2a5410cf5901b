"""ASCII frames: the right answer to the request that was sent, or nothing."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.ascii import FRAME_MAX, AsciiAnswer, AsciiFraming, lrc
from gatewayd.errors import DeviceProtocolError

READ = pdu.read_request(3, 10, 2)
GOOD = b"\x03\x04\x00\x01\x00\x02"


def frame(body: bytes, unit: int = 7) -> bytes:
    return AsciiFraming().encode(unit, body)


def feed(chunks: list[bytes]) -> bytes | str | None:
    """Return the PDU, what was wrong, or None if more is to come."""
    reader = AsciiFraming().answer(7, READ, "bus")
    answer = None
    try:
        for chunk in chunks:
            answer = reader.feed(chunk)
    except DeviceProtocolError as error:
        return error.message
    return answer


def test_a_frame_is_a_colon_hexadecimal_digits_the_lrc_and_the_end_of_a_line() -> None:
    """The LRC makes all bytes of the frame sum up to nothing, as the standard's own C code has it."""
    assert frame(bytes.fromhex("0300000 00a".replace(" ", "")), unit=1) == b":01030000000AF2\r\n"
    assert sum(b"\x01\x03\x00\x00\x00\x0a") + lrc(b"\x01\x03\x00\x00\x00\x0a") == 256


@given(st.binary(min_size=1, max_size=253), st.integers(1, 255), st.integers(1, 10_000))
def test_what_goes_in_comes_out_wherever_it_is_cut(body: bytes, unit: int, cut: int) -> None:
    wire = frame(body, unit)
    place = cut % len(wire) or 1
    reader = AsciiFraming().answer(unit, READ, "bus")
    assert reader.feed(wire[:place]) is None
    assert reader.feed(wire[place:]) == body
    assert len(wire) == AsciiFraming().size(len(body)) <= FRAME_MAX


def test_noise_before_the_colon_and_a_frame_begun_anew_are_as_the_standard_wants() -> None:
    assert feed([b"\xff\x00", frame(GOOD)]) == GOOD
    assert feed([frame(GOOD)[:7], frame(GOOD)]) == GOOD
    assert feed([frame(GOOD).lower()]) == GOOD


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        (frame(GOOD, unit=8), "bus: unit id 8 instead of 7 in answer to read holding registers 40011-40012"),
        (frame(GOOD)[:-4] + b"00\r\n", "bus: a wrong LRC after 0703040001000200"),
        (b":0703\xb0\r\n", "bus: a line b':0703\\xb0\\r\\n'"),
        (b":070\r\n", "bus: a line"),
        (b"\r\n", "bus: a line"),
        (frame(GOOD) * 2, "bus: two frames"),
        (b":" + b"00" * 260, "bus: 521 bytes without an end"),
    ],
    ids=["unit", "lrc", "digit", "odd", "empty", "two answers", "endless"],
)
def test_anything_else_is_refused(wire: bytes, says: str) -> None:
    assert str(feed([wire])).startswith(says)


@given(st.lists(st.one_of(st.binary(max_size=600), st.text("0123456789ABCDEF:\r\n").map(str.encode)), max_size=8))
def test_garbage_is_a_protocol_error_or_waited_for_and_never_kept(garbage: list[bytes]) -> None:
    reader = AsciiAnswer(7, READ, "bus")
    with contextlib.suppress(DeviceProtocolError):
        for chunk in garbage:
            reader.feed(chunk)
            assert len(reader._frame) < FRAME_MAX
