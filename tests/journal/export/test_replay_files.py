"""An export for a replay holds every block, snapshot and configuration that its records cite, and nothing unless asked."""

from __future__ import annotations

import shutil
from hashlib import sha256

import pytest

from gatewayd.errors import JournalDamaged
from gatewayd.journal.export.export import Request, export
from gatewayd.replay.engine import Replay
from gatewayd.replay.source import open_source
from gatewayd.store.env import Store
from gatewayd.store.tables import Table
from hil.bench.plc import TOGGLE
from tests.replay.kept import running, some_blocks
from tests.verify.samples import verifier

verify_export = verifier()


@pytest.fixture
async def gateway(tmp_path):
    """Two runs with four blocks or more, all of it sealed."""
    async with running(tmp_path / "gw") as one:
        await some_blocks(one, 2)
        await one.stop()
        await one.start()
        await some_blocks(one, 2)
        await one.set({TOGGLE: 0})
    return one


def exported(gateway, folder, **wanted):
    made = export(gateway.store, Request(folder=folder, vkey=gateway.vkey, for_replay=True, **wanted))
    verify_export.Export(folder, gateway.vkey).check_all()
    return made


def changed_store(gateway, change) -> None:
    store = Store.open(gateway.store, 1 << 28)
    try:
        store.write(change)
    finally:
        store.close()


def test_the_export_verifies_and_replays_on_its_own(gateway, tmp_path):
    made = exported(gateway, tmp_path / "out")
    shutil.rmtree(gateway.store)
    with open_source(tmp_path / "out") as source:
        report = Replay(source, gateway.kernels).run()
    assert (report.difference, report.gaps, report.restarts) == (None, [], 1)
    assert report.decisions == made.decisions
    files = list((tmp_path / "out" / "replay").iterdir())
    assert (len(files), made.replay_missing) == (made.replay, 0)
    assert all(sha256(path.read_bytes()).hexdigest() == path.name for path in files)


def test_without_being_asked_no_inputs_leave(gateway, tmp_path):
    """They are most of the bytes, and say in full what the plant measured."""
    made = export(gateway.store, Request(folder=tmp_path / "out", vkey=gateway.vkey))
    assert (made.replay, made.replay_missing) == (0, 0)
    assert not (tmp_path / "out" / "replay").exists()


def test_each_changed_or_added_file_is_named_by_the_second_verifier_and_by_the_replay(gateway, tmp_path):
    exported(gateway, tmp_path / "out")
    for path in sorted((tmp_path / "out" / "replay").iterdir()):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(verify_export.Bad, match=f"replay/{path.name} is cited by no record, or was altered"):
            verify_export.Export(tmp_path / "out", gateway.vkey).check_all()
        with open_source(tmp_path / "out") as source, pytest.raises(JournalDamaged, match="hash"):
            Replay(source, gateway.kernels).run()
        path.write_bytes(content)
    extra = b"an input that nobody recorded"
    (tmp_path / "out" / "replay" / sha256(extra).hexdigest()).write_bytes(extra)
    with pytest.raises(verify_export.Bad, match="is cited by no record"):
        verify_export.Export(tmp_path / "out", gateway.vkey).check_all()


def test_a_file_that_is_missing_is_noticed(gateway, tmp_path):
    exported(gateway, tmp_path / "out")
    next((tmp_path / "out" / "replay").iterdir()).unlink()
    with pytest.raises(verify_export.Bad, match=r"export\.json says"):
        verify_export.Export(tmp_path / "out", gateway.vkey).check_all()


def test_what_has_expired_is_counted_and_the_rest_replays(gateway, tmp_path):
    with open_source(gateway.store) as source:
        blocks = [block.sealed for block in source.blocks()]
    changed_store(gateway, lambda writing: writing.delete(Table.BLOCK, blocks[1].digest))
    made = exported(gateway, tmp_path / "out")
    assert made.replay_missing == 1
    with open_source(tmp_path / "out") as source:
        report = Replay(source, gateway.kernels).run()
    assert report.difference is None
    assert len(report.gaps) == 1


def test_a_damaged_snapshot_or_configuration_ends_the_export(gateway, tmp_path):
    with open_source(gateway.store) as source:
        block = source.blocks()[0].sealed
    for table, digest in ((Table.BLOB, block.plans_digest), (Table.BLOCK, block.state)):
        store = Store.open(gateway.store, 1 << 28)
        content = store.get(table, digest)
        store.write(lambda writing, key=(table, digest), row=content: writing.put(*key, row[:-5] + b"wrong"))
        store.close()
        with pytest.raises(JournalDamaged):
            exported(gateway, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        changed_store(gateway, lambda writing, key=(table, digest), row=content: writing.put(*key, row))
