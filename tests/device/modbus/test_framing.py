"""Adapters that repeat what we send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.framing import Echo
from gatewayd.device.modbus.rtu import RtuFraming
from gatewayd.errors import DeviceProtocolError

READ = pdu.read_request(3, 10, 2)
SENT = RtuFraming().encode(7, READ.pdu)
BODY = b"\x03\x04\0\1\0\2"


def reader() -> Echo:
    return Echo(SENT, RtuFraming().answer(7, READ, "bus"), "bus")


@given(st.integers(1, len(SENT) + 8))
def test_the_echo_is_taken_off_wherever_it_is_cut(place: int) -> None:
    wire = SENT + RtuFraming().encode(7, BODY)
    echo = reader()
    assert echo.feed(wire[:place]) is None
    assert echo.feed(wire[place:]) == BODY


def test_what_is_no_echo_means_that_somebody_else_talks() -> None:
    with pytest.raises(DeviceProtocolError, match="instead of the echo of"):
        reader().feed(b"\x07\x03\xff")
