from __future__ import annotations

import contextlib
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.modbus.frame import FRAME_MAX, FrameReader, without_transaction_id
from gatewayd.errors import DeviceProtocolError

Frames = list[tuple[int, bytes]]

frames = st.lists(st.tuples(st.integers(0, 65535), st.binary(min_size=1, max_size=253)), max_size=6)


def wire(sent: Frames, unit_id: int = 7) -> bytes:
    return b"".join(number.to_bytes(2, "big") + without_transaction_id(unit_id, pdu) for number, pdu in sent)


def read(chunks: list[bytes]) -> tuple[Frames, str]:
    """Return the frames and the violation that ended the reading, if any."""
    got: Frames = []
    reader = FrameReader("plc", lambda number, unit, pdu: got.append((number, pdu)))
    try:
        for chunk in chunks:
            reader.feed(chunk)
    except DeviceProtocolError as error:
        return got, error.message
    return got, ""


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


def test_a_frame_is_the_transaction_id_then_the_header_then_the_pdu() -> None:
    """The example of the implementation guide: read one register at address 4 of unit 255."""
    assert wire([(0x1501, bytes.fromhex("0300040001"))], unit_id=255).hex() == "150100000006ff0300040001"


@given(frames, st.lists(st.integers(0, 5000), max_size=12))
def test_frames_come_out_as_they_went_in_wherever_the_network_cuts(sent: Frames, places: list[int]) -> None:
    assert read(cut(wire(sent), places)) == (sent, "")


def test_a_frame_comes_with_the_unit_that_sent_it() -> None:
    units: list[int] = []
    FrameReader("plc", lambda number, unit, pdu: units.append(unit)).feed(
        wire([(1, b"\x01")], 9) + wire([(2, b"\x01")], 0)
    )
    assert units == [9, 0]


def test_frames_come_out_of_single_bytes() -> None:
    sent = [(1, b"\x03\x02\x00\x07"), (2, b"\x83\x02")]
    assert read([bytes((byte,)) for byte in wire(sent)]) == (sent, "")


@given(frames, st.lists(st.binary(max_size=300), max_size=5))
def test_garbage_is_frames_or_a_protocol_error_and_is_never_kept(sent: Frames, garbage: list[bytes]) -> None:
    got: Frames = []
    reader = FrameReader("plc", lambda number, unit, pdu: got.append((number, pdu)))
    with contextlib.suppress(DeviceProtocolError):
        for chunk in [wire(sent), *garbage]:
            reader.feed(chunk)
            assert len(reader._rest) < FRAME_MAX
    assert got[: len(sent)] == sent


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (struct.pack(">HHHB", 1, 1, 6, 7), "plc: a frame with protocol id 1 instead of 0"),
        (struct.pack(">HHHB", 1, 0, 1, 7), "plc: a frame with length 1, outside 2-254"),
        (struct.pack(">HHHB", 1, 0, 255, 7), "plc: a frame with length 255, outside 2-254"),
    ],
)
def test_a_header_that_no_server_sends_is_refused_at_once(header: bytes, says: str) -> None:
    """Before a byte of its PDU has come: nobody waits for the 65 kB that a length announces."""
    assert read([header]) == ([], says)


def test_frames_before_a_broken_one_are_still_delivered() -> None:
    good = [(1, b"\x03\x02\x00\x07")]
    assert read([wire(good) + b"\xff" * 20]) == (good, "plc: a frame with protocol id 65535 instead of 0")


def test_the_smallest_and_the_largest_frame_pass() -> None:
    sent = [(0, b"\x01"), (65535, b"\x01" * 253)]
    assert read([wire(sent)]) == (sent, "")
