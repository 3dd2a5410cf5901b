"""A store or an export, read without believing it."""

from __future__ import annotations

from hashlib import sha256

import pytest

from gatewayd.errors import JournalDamaged, StoreError
from gatewayd.replay.source import ExportSource, StoreSource, inputs_of, open_source, site_of, state_of
from gatewayd.site.digest import site_bytes
from gatewayd.store.tables import Table, u64
from tests.replay.kept import RUN, running, some_blocks


@pytest.fixture
async def kept(tmp_path):
    """A store folder with three sealed blocks and the site they were run with."""
    async with running(tmp_path) as gateway:
        await some_blocks(gateway, 2)
    return gateway


def test_blocks_inputs_snapshots_and_site_are_found_by_what_the_records_cite(kept):
    with open_source(kept.store) as source:
        blocks = [block.sealed for block in source.blocks()]
        cycles = [each.cycle for block in blocks for each in inputs_of(source, block)]
        assert cycles == list(range(RUN + 1, blocks[-1].last_cycle + 1))
        assert state_of(source, blocks[0]) is not None
        assert state_of(source, blocks[1]) is None
        assert site_of(source, blocks[0].plans_digest).digests.site == sha256(site_bytes(kept.config)).digest()
        assert len(source.leaves(source.end - 1, 99)) == 1


def test_what_is_not_kept_is_none_or_said(kept):
    with open_source(kept.store) as source:
        block = source.blocks()[0].sealed
        assert source.block(bytes(32)) is None
        with pytest.raises(StoreError, match="is not kept"):
            site_of(source, bytes(32))
        assert source.evidence(0, bytes(32)) is None
        assert block.first_cycle == RUN + 1


async def test_an_index_that_names_another_record_is_refused(journal, store):
    import msgspec

    from gatewayd.journal.blocks.recorder import BlockEntry

    entry = msgspec.msgpack.encode(BlockEntry(5, bytes(32), 1, False))
    store.write(lambda writing: writing.put(Table.BLOCK_INDEX, u64(1) + u64(0), entry))
    with pytest.raises(JournalDamaged, match="does not cite the block"):
        StoreSource(store, "here").blocks()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"first": "x"}'])
def test_an_export_that_says_nothing_is_refused(tmp_path, content):
    (tmp_path / "export.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"export\.json cannot be read"):
        ExportSource(tmp_path)
