"""The one table of what things are called elsewhere."""

from __future__ import annotations

from typing import get_args

import pytest

from gatewayd.model.device import Access, ByteOrder, RegisterType
from gatewayd.site.tag_list import COLUMNS
from gatewayd.site.tag_synonyms import ACCESS, BYTE_ORDERS, HEADERS, REGISTER_TYPES, column_of, folded, type_of


def test_every_target_is_a_column_of_ours_or_a_helper():
    ours = {name for columns in COLUMNS.values() for name in columns}
    assert {column for column in HEADERS if not column.startswith("+")} <= ours


def test_our_own_headers_mean_themselves():
    assert {name: column_of(name) for name in HEADERS if not name.startswith("+")} == {
        name: name for name in HEADERS if not name.startswith("+")
    }


def test_no_header_means_two_things():
    by_word: dict[str, str] = {}
    for column, known in HEADERS.items():
        for word in known:
            assert by_word.setdefault(folded(word), column) == column, word


def test_every_word_leads_to_what_our_list_takes():
    assert set(BYTE_ORDERS.values()) == set(get_args(ByteOrder))
    assert set(REGISTER_TYPES.values()) == set(get_args(RegisterType))
    assert set(ACCESS.values()) == set(get_args(Access))


@pytest.mark.parametrize(
    ("cell", "reading"),
    [
        ("DWord", ("uint32", "")),
        ("REAL", ("float32", "")),
        ("Int", ("int16", "")),
        ("Float CD AB", ("float32", "CDAB")),
        ("Float DC BA", ("float32", "DCBA")),
        ("32-bit float, Little-endian byte swap", ("float32", "CDAB")),
        ("32-bit float Big-endian", ("float32", "ABCD")),
        ("Long inverse", ("int32", "CDAB")),
        ("Double AB CD EF GH", ("float64", "ABCD")),
        ("64 Bit Unsigned GH EF CD AB", ("uint64", "CDAB")),
    ],
)
def test_a_type_may_tell_its_byte_order(cell, reading):
    assert type_of(cell) == reading


@pytest.mark.parametrize("cell", ["", "Variant", "CD AB", "Date"])
def test_what_the_gateway_cannot_hold_is_no_type(cell):
    assert type_of(cell) is None


@pytest.mark.parametrize("header", ["Tag Name", "TAG_NAME", " tag-name ", "tag.name"])
def test_headers_are_compared_as_people_read_them(header):
    assert column_of(header) == "name"
