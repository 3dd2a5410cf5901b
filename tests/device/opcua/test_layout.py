from __future__ import annotations

import struct

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.opcua.data_values import Screen, walk
from gatewayd.device.opcua.layout import Layout, fixed_places
from gatewayd.errors import DeviceProtocolError

SIZES = bytearray(1 << 16)
for second in range(256):
    SIZES[0x00_00 | second] = 1  # nothing but the mask
SIZES[0x01_0B] = 10  # a Double


def doubles(*numbers: float) -> bytes:
    return b"".join(b"\x01\x0b" + struct.pack("<d", number) for number in numbers)


def note(layout: Layout, payload: bytes, count: int) -> None:
    places = fixed_places(payload, count, bytes(SIZES))
    assert places is not None
    layout.note(payload, places)


def test_a_layout_seen_twice_is_known_whatever_the_numbers():
    layout = Layout()
    note(layout, doubles(*range(20)), 20)
    assert not layout.is_of(doubles(*range(20)))
    note(layout, doubles(*range(20, 40)), 20)
    assert layout.is_of(doubles(*range(40, 60)))


@pytest.mark.parametrize("at", [0, 1, 100, 101, 190, 191])
def test_one_other_mask_or_type_makes_it_another_layout(at):
    layout = Layout()
    for _ in range(2):
        note(layout, doubles(*range(20)), 20)
    other = bytearray(doubles(*range(20)))
    other[at] ^= 0x04
    assert layout.is_of(doubles(*range(20)))
    assert not layout.is_of(bytes(other))
    assert not layout.is_of(doubles(*range(19)))


def test_a_forgotten_layout_is_not_known():
    layout = Layout()
    for _ in range(2):
        note(layout, doubles(*range(20)), 20)
    layout.forget()
    assert not layout.is_of(doubles(*range(20)))


def test_a_payload_of_no_values_has_no_layout():
    layout = Layout()
    for _ in range(2):
        note(layout, b"", 0)
    assert not layout.is_of(b"")


def test_records_without_a_value_have_no_type_to_compare():
    payload = b"\x00" + doubles(1.0) + b"\x00"
    assert fixed_places(payload, 3, bytes(SIZES)) == [0, 1, 2, 11]


@pytest.mark.parametrize(
    "payload", [b"", doubles(1.0), doubles(1.0, 2.0)[:-1], doubles(1.0, 2.0) + b"\x00", b"\x01\x0c"]
)
def test_what_is_not_so_many_whole_scalars_has_no_places(payload):
    assert fixed_places(payload, 2, bytes(SIZES)) is None


@given(st.lists(st.tuples(st.sampled_from(["d", "q", "?", "n"]), st.booleans()), min_size=1, max_size=40), st.data())
def test_a_screen_that_knows_a_layout_passes_only_what_walking_would_pass(kinds, data):
    """Damage to any byte is found, or leaves the same records."""
    payload = b"".join(_record(kind, has_time) for kind, has_time in kinds)
    screen = Screen(len(kinds))
    for _ in range(3):
        assert screen.passed(payload) == payload
    damaged = bytearray(payload)
    damaged[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        expected = Screen(len(kinds)).passed(bytes(damaged))
    except DeviceProtocolError:
        with pytest.raises(DeviceProtocolError):
            screen.passed(bytes(damaged))
    else:
        assert screen.passed(bytes(damaged)) == expected
        walk(expected, len(kinds))


def _record(kind: str, has_time: bool) -> bytes:
    time = struct.pack("<q", 133_000_000_000_000_000) if has_time else b""
    mask = (0 if kind == "n" else 1) | (4 if has_time else 0)
    body = {"d": b"\x0b" + struct.pack("<d", 1.5), "q": b"\x08" + bytes(8), "?": b"\x01\x01", "n": b""}[kind]
    assert kind == "n" or ua.VariantType(body[0])
    return bytes((mask,)) + body + time
