"""Keys sort as the numbers do; table names are for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.store.tables import Table, from_u64, u64

numbers = st.integers(0, 2**64 - 1)


@given(numbers, numbers)
def test_keys_sort_as_the_numbers_do(a, b):
    assert (u64(a) < u64(b)) == (a < b)
    assert from_u64(u64(a)) == a


def test_a_number_without_a_key_is_refused():
    with pytest.raises(OverflowError):
        u64(-1)
    with pytest.raises(OverflowError):
        u64(2**64)


def test_the_names_of_the_tables_never_change():
    assert [str(table) for table in Table] == [
        "entry", "bundle", "tile", "edge", "checkpoint", "cosigned", "key", "intent", "personal", "evidence", "block", "block_index", "index",
        "save", "cursor", "blob", "meta",
    ]  # fmt: skip
