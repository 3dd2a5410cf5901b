from __future__ import annotations

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from gatewayd.device.opcua.records import split, with_statuses
from gatewayd.errors import DeviceProtocolError
from gatewayd.model import quality
from tests.device.opcua.rig import statuses, values

RECORDS = [
    struct_to_binary(ua.DataValue(ua.Variant(1.5))),
    struct_to_binary(ua.DataValue(StatusCode=ua.StatusCode(quality.BAD_NODE_ID_UNKNOWN))),
    struct_to_binary(ua.DataValue(ua.Variant("a text", ua.VariantType.String))),
    struct_to_binary(ua.DataValue(ua.Variant([1, 2, 3]))),
    struct_to_binary(ua.DataValue(ua.Variant(7, ua.VariantType.Int16))),
]


def test_a_payload_is_split_into_what_it_was_made_of():
    assert split(b"".join(RECORDS), len(RECORDS)) == RECORDS
    assert split(b"", 0) == []


def test_a_payload_that_is_cut_is_refused():
    with pytest.raises(DeviceProtocolError):
        split(b"".join(RECORDS)[:-1], len(RECORDS))


def test_chosen_records_are_replaced_by_a_status():
    changed = with_statuses(b"".join(RECORDS), len(RECORDS), {0: quality.BAD_NOT_SUPPORTED, 3: quality.BAD_DATA_LOST})
    assert statuses(changed, 5) == [
        quality.BAD_NOT_SUPPORTED, quality.BAD_NODE_ID_UNKNOWN, quality.BAD_TYPE_MISMATCH, quality.BAD_DATA_LOST, 0,
    ]  # fmt: skip
    assert values(changed, 5)[4] == 7.0
