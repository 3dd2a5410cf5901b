"""Whose log a store holds; the way through `Journal.open` is in test_log.py."""

from __future__ import annotations

import pytest

from gatewayd.errors import JournalDamaged, StoreError
from gatewayd.journal.owner import check_owner
from gatewayd.proof.note import SeedSigner
from gatewayd.store.tables import Table
from tests.journal.samples import ORIGIN, SIGNER


def test_an_empty_store_is_anybodys(store):
    check_owner(store, ORIGIN, SIGNER.vkey)


def test_a_key_of_another_name_is_refused(store):
    with pytest.raises(StoreError, match="the key is named"):
        check_owner(store, "other.example/e1", SIGNER.vkey)


def test_a_store_of_another_key_is_foreign_and_not_damaged(journal):
    with pytest.raises(StoreError, match="has the vkey") as refused:
        check_owner(journal.store, ORIGIN, SeedSigner(ORIGIN, bytes(32)).vkey)
    assert not isinstance(refused.value, JournalDamaged)


@pytest.mark.parametrize("field", [b"origin", b"vkey"])
def test_one_that_our_key_has_signed_is_damaged_whatever_it_says(journal, field):
    journal.close()
    journal.store.write(lambda writing: writing.put(Table.META, field, b"another's"))
    with pytest.raises(JournalDamaged, match="no longer the one"):
        check_owner(journal.store, ORIGIN, SIGNER.vkey)


def test_a_layout_of_another_version_is_refused(journal):
    journal.store.write(lambda writing: writing.put(Table.META, b"format", b"1"))
    with pytest.raises(StoreError, match="has the layout 1"):
        check_owner(journal.store, ORIGIN, SIGNER.vkey)
