"""Saved state that changed on disk is refused, not used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.errors import JournalDamaged
from gatewayd.journal.guarded import guard, unguard


@given(st.binary(max_size=50), st.binary(max_size=200))
def test_a_value_comes_back(key, value):
    assert unguard(key, guard(key, value)) == value


@given(st.binary(max_size=9), st.binary(max_size=20), st.data())
def test_any_changed_bit_or_other_key_is_refused(key, value, data):
    stored = bytearray(guard(key, value))
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(JournalDamaged):
        unguard(key, bytes(stored))
    with pytest.raises(JournalDamaged):
        unguard(key + b"x", guard(key, value))
    with pytest.raises(JournalDamaged):
        unguard(key, b"")
