"""Sealed blocks can be read without the daemon, in order, with the site they belong to."""

from __future__ import annotations

import pytest

from gatewayd.errors import JournalDamaged, StoreError
from gatewayd.journal.blocks.recorder import Recorder
from gatewayd.journal.blocks.sealed import inputs_of, sealed_blocks, site_bytes_of, site_digest_of
from gatewayd.store.tables import Table
from tests.journal.blocks.test_recorder import inputs


async def test_blocks_come_back_in_order_with_their_inputs_and_their_site(journal, store, clock):
    digest = await journal.put_blob(b"a site")
    recorder = Recorder(journal, clock, 8 << 20, plans_digest=digest)
    for first in (5, 9):
        for cycle in range(first, first + 4):
            recorder.take(inputs(cycle))
        await recorder.seal()

    blocks = sealed_blocks(store)

    assert [(block.first_cycle, block.last_cycle) for block in blocks] == [(5, 8), (9, 12)]
    assert [each for block in blocks for each in inputs_of(store, block)] == [inputs(cycle) for cycle in range(5, 13)]
    assert {site_digest_of(store, block) for block in blocks} == {digest}
    assert site_bytes_of(store, digest) == b"a site"


async def test_what_has_expired_or_is_damaged_is_told(journal, store, clock):
    recorder = Recorder(journal, clock, 8 << 20, plans_digest=bytes(32))
    recorder.take(inputs(5))
    await recorder.seal()
    (block,) = sealed_blocks(store)

    with pytest.raises(StoreError, match="is not kept"):
        site_bytes_of(store, bytes(32))
    store.write(lambda writing: writing.delete(Table.BLOCK, block.digest))
    assert inputs_of(store, block) == []
    store.write(lambda writing: writing.put(Table.BLOCK, block.digest, b"x"))
    with pytest.raises(JournalDamaged):
        inputs_of(store, block)
    with pytest.raises(JournalDamaged, match="does not cite"):
        site_digest_of(store, block._replace(digest=bytes(32)))
