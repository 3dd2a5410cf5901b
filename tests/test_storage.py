"""Everything durable of a gateway, opened together on a real disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gatewayd.errors import StoreDamaged, StoreError, StoreFull, StoreLocked
from gatewayd.journal.keys import create_identity
from gatewayd.model.config import Gateway, GatewayFile
from gatewayd.model.config import Storage as StorageConfig
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Stopped
from gatewayd.storage import Storage
from gatewayd.store.tables import Table
from tests.clock import ManualClock

NAME = "test.example/gw/one"


def config(folder: Path, name: str = NAME) -> GatewayFile:
    return GatewayFile(gateway=Gateway(name=name), storage=StorageConfig(path=str(folder), quota_mb=16))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_identity(tmp_path, NAME)
    return tmp_path


def test_a_gateway_that_was_not_initialised_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as refused:
        Storage.open(config(tmp_path), ManualClock())
    assert "gatewayd init" in refused.value.remedy


def test_the_storage_of_another_gateway_is_refused(folder: Path) -> None:
    with pytest.raises(StoreError, match="is the storage of"):
        Storage.open(config(folder, name="test.example/gw/two"), ManualClock())


def test_a_second_daemon_is_refused_and_harms_nothing(folder: Path) -> None:
    first = Storage.open(config(folder), ManualClock())
    with pytest.raises(StoreLocked):
        Storage.open(config(folder), ManualClock())
    assert first.journal.healthy
    first.close()


async def test_cursors_and_records_survive_a_restart(folder: Path) -> None:
    storage = Storage.open(config(folder), ManualClock())
    await storage.journal.commit((NewRecord(body=Stopped(reason="test")),))
    await storage.cursors.put("journal", b"17")
    size = storage.journal.size
    storage.close()
    again = Storage.open(config(folder), ManualClock())
    assert again.was_clean
    assert again.journal.size == size
    assert again.cursors.get("journal") == b"17"
    assert again.cursors.get("other") is None
    again.close()


async def test_of_a_full_store_the_cloud_s_acknowledgements_are_still_kept(folder: Path) -> None:
    """What may be pruned depends on them: a full store that forgot them would stay full."""
    storage = Storage.open(config(folder), ManualClock())
    await storage.cursors.put("journal", b"17")
    number = 0
    while not storage.store.is_full:
        key, number = b"filler %d" % number, number + 1
        storage.store.write(lambda w, key=key: w.put(Table.BLOB, key, bytes(100_000)), use_reserve=True)
    with pytest.raises(StoreFull):
        await storage.journal.put_blob(os.urandom(1000))
    await storage.cursors.put("journal", b"18")
    assert storage.cursors.get("journal") == b"18"
    storage.close()


async def test_what_detectors_learned_has_a_limit_of_its_own(folder: Path) -> None:
    """They can learn again; the journal's room is not theirs."""
    storage = Storage.open(config(folder), ManualClock())
    await storage.learned.keep_learned({"ewma": os.urandom(1_000_000)})
    with pytest.raises(StoreFull, match="detectors learned"):
        await storage.learned.keep_learned({"ewma": os.urandom(2_000_000)})
    assert len(storage.learned.learned()["ewma"]) == 1_000_000
    storage.close()


def test_the_flight_recorder_never_has_more_than_its_share(folder: Path) -> None:
    """The journal can always have the rest, whatever evidence_mb says."""
    storage = Storage.open(config(folder), ManualClock())
    recorder = storage.recorder(config(folder), (), digest=b"", clock=ManualClock())
    assert recorder.quota_bytes == int(0.6 * 16_000_000)
    storage.close()


def damaged(folder: Path) -> None:
    data = folder / "store" / "data.mdb"
    data.write_bytes(bytes(8192) + data.read_bytes()[8192:])


def emptied(folder: Path) -> None:
    (folder / "store" / "data.mdb").write_bytes(b"")


def removed(folder: Path) -> None:
    shutil.rmtree(folder / "store")


@pytest.mark.parametrize("harm", [damaged, emptied, removed])
def test_a_store_that_is_damaged_or_gone_is_put_aside_and_a_new_epoch_begins(
    folder: Path, harm: Callable[[Path], None]
) -> None:
    """Under the old name there would be two histories: it is never signed with again."""
    Storage.open(config(folder), ManualClock()).close()
    harm(folder)
    storage = Storage.open(config(folder), ManualClock())
    assert (storage.journal.origin, storage.epoch, storage.journal.size) == (f"{NAME}/e2", 2, 1)
    assert storage.previous is not None
    assert storage.previous.origin == f"{NAME}/e1"
    storage.close()
    again = Storage.open(config(folder), ManualClock())
    assert again.epoch == 2
    again.close()


async def test_a_log_whose_acknowledged_records_are_lost_is_not_gone_on_with(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Checkpoints with them may be with a witness, and an override may have been among them."""
    storage = Storage.open(config(folder), ManualClock())
    await storage.journal.commit((NewRecord(body=Stopped(reason="as acknowledged")),), at_once=True)
    killed = shutil.copytree(folder, tmp_path_factory.mktemp("killed") / "storage")
    storage.close()
    (killed / "store" / "redo").write_bytes(b"")
    again = Storage.open(config(killed), ManualClock())
    assert (again.epoch, again.journal.size) == (2, 1)
    assert again.previous is not None
    assert "did not give back what was acknowledged" in again.previous.reason
    again.close()


def test_saved_state_that_is_damaged_does_not_end_every_start(folder: Path) -> None:
    storage = Storage.open(config(folder), ManualClock())
    storage.store.write(lambda writing: writing.put(Table.SAVE, b"override/pump_1", b"what nobody saved"))
    storage.close()
    again = Storage.open(config(folder), ManualClock())
    assert again.epoch == 2
    assert again.previous is not None
    assert "override/pump_1" in again.previous.reason
    again.close()


def test_a_store_of_another_log_is_not_taken_for_a_damaged_one(folder: Path) -> None:
    Storage.open(config(folder), ManualClock()).close()
    shutil.rmtree(folder / "keys")
    create_identity(folder, NAME)
    with pytest.raises(StoreError, match="vkey") as refused:
        Storage.open(config(folder), ManualClock())
    assert not isinstance(refused.value, StoreDamaged)
