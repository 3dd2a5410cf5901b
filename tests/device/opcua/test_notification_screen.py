from __future__ import annotations

import struct

import pytest
from asyncua import ua

from gatewayd.compiled import load_kernels
from gatewayd.device.opcua.notification_screen import NotificationScreen
from gatewayd.errors import DeviceProtocolError
from tests.kernels.harness import kernels
from tests.kernels.notifications import read_notification
from tests.kernels.test_decode_opcua_notification import record


@pytest.fixture(scope="module")
def compiled():
    return kernels("aot")


def test_whole_notifications_are_handed_on_as_they_are(compiled):
    records = b"".join(record(handle, float(handle)) for handle in range(5))
    (screened,) = NotificationScreen(compiled).passed(records, 5, handles=5)
    assert screened.payload == records


def test_what_does_not_fit_one_payload_is_split_between_two_changes(compiled):
    records = b"".join(record(0, "x" * number, ua.VariantType.String) for number in range(40))
    pieces = [each.payload for each in NotificationScreen(compiled, 128).passed(records, 40, handles=1)]
    assert b"".join(pieces) == records
    assert sum(len(read_notification(piece)) for piece in pieces) == 40
    assert max(map(len, pieces)) <= 128


def test_lost_changes_and_vanished_nodes_are_counted(compiled):
    overflow, gone = ua.StatusCode(0x480), ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown)
    records = record(0, 1.0, StatusCode=overflow) * 2 + record(1, 1.0, StatusCode=gone)
    (screened,) = NotificationScreen(compiled).passed(records, 3, handles=2)
    assert (screened.overflows, screened.gone) == (2, 1)


@pytest.mark.parametrize(
    ("records", "count"),
    [
        (record(0, 1.0), 2),
        (record(0, 1.0) * 2, 1),
        (record(0, 1.0)[:-1], 1),
        (record(1, 1.0), 1),
        (record(0, "x" * 200, ua.VariantType.String), 1),
        (struct.pack("<IB", 0, 0x80), 1),
        (b"", 1),
    ],
)
def test_anything_but_the_announced_changes_of_our_items_is_refused(compiled, records, count):
    with pytest.raises(DeviceProtocolError):
        list(NotificationScreen(compiled, 128).passed(records, count, handles=1))


def test_any_form_of_the_kernels_will_do():
    (screened,) = NotificationScreen(load_kernels("python")).passed(record(0, 1.0), 1, handles=1)
    assert screened.payload == record(0, 1.0)
