from __future__ import annotations

import struct

import pytest
from asyncua import ua

from tests.kernels.harness import FORMS, Columns, agree, filled, refused, run
from tests.kernels.notifications import Malformed, read_notification
from tests.kernels.test_decode_opcua_notification import ODD, record

KERNEL = "screen_notification"
OVERFLOW = ua.StatusCode(0x00000480)


def reference(columns: Columns, size: int, handles: int, wanted: int) -> int:
    """Find by trial the most records that are whole, reading prefixes with the slow reader."""
    payload = bytes(columns["inbox.byte"][:size])
    best, place = 0, 0
    for cut in range(size + 1):
        try:
            found = len(read_notification(payload[:cut]))
        except Malformed:
            continue
        if found <= wanted:
            best, place = found, cut
    found = read_notification(payload[:place])
    if any(handle >= handles for handle, _ in found):
        return -2
    columns["out.value"][:3] = [place, overflows(payload[:place]), 0]
    columns["out.value"][2] = sum(sample.status >> 16 in (0x8033, 0x8034) for _, sample in found)
    return best


def overflows(payload: bytes) -> int:
    """Count overflow bits; the slow reader hides them behind a type mismatch, and so a string has none here."""
    return sum(sample.status & 0x480 == 0x480 for _, sample in read_notification(payload))


def columns_for(payload: bytes) -> Columns:
    return {"inbox.byte": list(payload), "nest.value": [0] * 32, "out.value": [0] * 8}


def screen(payload: bytes, *, handles: int = 9, wanted: int = 100) -> tuple[int, list[int]]:
    columns = filled(KERNEL, columns_for(payload))
    span = {"size": len(payload), "handles": handles, "wanted": wanted}
    expected = reference(columns, **span)
    for form in FORMS:
        result, after = run(KERNEL, form, columns_for(payload), **span)
        out = list(struct.unpack("<8q", after["out.value"]))
        assert result == expected, form
        assert out[:3] == columns["out.value"][:3] or result < 0, form
    return expected, columns["out.value"][:3]


def test_whole_notifications_are_counted_and_measured() -> None:
    payload = b"".join(record(handle, value, kind) for handle, (value, kind) in enumerate(ODD[:9]))
    assert screen(payload) == (9, [len(payload), 0, 0])


def test_lost_values_and_vanished_nodes_are_counted() -> None:
    payload = record(0, 1.0, StatusCode=OVERFLOW) + record(1, 2.0) + record(2, 3.0, StatusCode=OVERFLOW)
    payload += record(3, 0.0, StatusCode=ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown))
    assert screen(payload)[1][1:] == [2, 1]


def test_no_more_are_walked_than_were_announced() -> None:
    assert screen(record(0, 1.0) * 5, wanted=3) == (3, [3 * len(record(0, 1.0)), 0, 0])


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_the_walk_ends_before_a_notification_that_is_cut(cut: int) -> None:
    payload = record(0, 1.0) * 2
    found, (place, *_) = screen(payload[: len(payload) - cut])
    assert place == found * len(record(0, 1.0))


def test_a_handle_we_never_gave_is_refused() -> None:
    assert screen(record(0, 1.0) + record(9, 1.0))[0] == -2


def test_sizes_outside_the_inbox_are_refused() -> None:
    columns = columns_for(record(0, 1.0))
    for size in (-1, len(record(0, 1.0)) + 1):
        assert refused(KERNEL, columns, size=size, handles=1, wanted=1) == {-1}
    assert refused(KERNEL, columns, size=0, handles=-1, wanted=1) == {-1}
    result, _ = agree(KERNEL, columns, reference, size=0, handles=1, wanted=1)
    assert result == 0
