"""MBAP in datagrams: whatever does not answer the request that was sent last is dropped."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.datagram import DatagramFraming
from gatewayd.device.modbus.frame import TRANSACTION_IDS
from gatewayd.errors import DeviceProtocolError

READ = pdu.read_request(3, 10, 2)


@given(st.binary(min_size=1, max_size=253), st.integers(0, 255), st.integers(0, TRANSACTION_IDS - 1))
def test_what_goes_in_comes_out(body: bytes, unit: int, last: int) -> None:
    framing = DatagramFraming(last)
    wire = framing.encode(unit, body)
    assert framing.answer(unit, READ, "plc").feed(wire) == body
    assert len(wire) == framing.size(len(body))


def test_a_late_a_doubled_or_a_short_datagram_is_dropped() -> None:
    framing = DatagramFraming(TRANSACTION_IDS - 1)
    late = framing.encode(1, b"\x03\x04\0\1\0\2")
    good = framing.encode(1, b"\x03\x04\0\3\0\4")
    reader = framing.answer(1, READ, "plc")
    assert [reader.feed(each) for each in (late, b"", good[:1], good[:6])] == [None] * 4
    assert reader.feed(good) == b"\x03\x04\0\3\0\4"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda good: good[:6] + b"\x09" + good[7:], "plc: a frame with unit id 9 instead of 1"),
        (lambda good: good + b"\0", "plc: a datagram 00 01 00 00 00 07 01 in answer to read holding"),
        (lambda good: good[:2] + b"\0\1" + good[4:], "plc: a datagram 00 01 00 01"),
        (lambda good: good[:4] + b"\0\1" + good[6:7], "plc: a datagram 00 01 00 00 00 01 01"),
    ],
    ids=["unit", "length", "protocol", "empty"],
)
def test_a_broken_answer_to_this_request_is_refused(change, says: str) -> None:
    framing = DatagramFraming()
    good = framing.encode(1, b"\x03\x04\0\1\0\2")
    with pytest.raises(DeviceProtocolError) as refused:
        framing.answer(1, READ, "plc").feed(change(good))
    assert refused.value.message.startswith(says)


@given(st.lists(st.binary(max_size=600), max_size=8))
def test_garbage_is_dropped_or_a_protocol_error(garbage: list[bytes]) -> None:
    framing = DatagramFraming(-1)
    framing.encode(1, b"\x03")
    reader = framing.answer(1, READ, "plc")
    with contextlib.suppress(DeviceProtocolError):
        for chunk in garbage:
            reader.feed(chunk)
