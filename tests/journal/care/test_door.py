"""What people ask of an open journal, over the whole way: storage, care, next start."""

from __future__ import annotations

import asyncio
import shutil

import msgspec
import pytest

from gatewayd.journal.care.epoch import PENDING_NAME
from gatewayd.journal.care.witness import LogSuperseded
from gatewayd.journal.keys import create_identity
from gatewayd.model.config import Cloud, Gateway, GatewayFile
from gatewayd.model.config import Journal as JournalConfig
from gatewayd.model.config import Storage as StorageConfig
from gatewayd.model.record import Actor, Genesis
from gatewayd.model.view import JournalRequest
from gatewayd.proof.cosignature import Cosigner
from gatewayd.proof.note import split_note
from gatewayd.storage import Storage
from tests.clock import ManualClock
from tests.journal.samples import decision, gap

NAME = "acme.example/gw/site-7/gw-0042"
ANA = Actor(uid=1001, role="operator", method="socket")
WITNESS = Cosigner("witness.example/one", bytes(32))
T_S = 1_750_000_000


def opened(folder, clock=None, *, cloud=False, **journal) -> Storage:
    config = GatewayFile(
        gateway=Gateway(name=NAME),
        storage=StorageConfig(path=str(folder), quota_mb=16, commit="inline"),
        journal=JournalConfig(witnesses=(WITNESS.key.text(),), **journal),
        cloud=Cloud(host="broker.example") if cloud else None,
    )
    return Storage.open(config, clock or ManualClock())


def cosigned(note: str) -> str:
    return note + WITNESS.line(split_note(note)[0], T_S)


async def test_a_cosigned_checkpoint_is_kept_over_a_restart_and_the_answer_says_by_whom(tmp_path):
    create_identity(tmp_path, NAME, {})
    storage = opened(tmp_path)
    await storage.journal.commit([decision(1)])
    request = JournalRequest(do="cosign", note=cosigned(storage.journal.checkpoint()))
    answer = await storage.care.answer(request, ANA)
    assert (answer.message, answer.size) == ("Kept a checkpoint of 2 records, cosigned by witness.example/one.", 2)
    storage.close()
    again = opened(tmp_path)
    assert again.care.witnesses.newest.size == 2
    again.close()


async def test_a_restored_disk_begins_a_new_epoch_once_a_witness_proves_that_it_is_one(tmp_path):
    """The genesis record names the larger tree: an auditor sees that records are missing, and how many."""
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    create_identity(disk, NAME, {})
    storage = opened(disk)
    await storage.journal.commit([decision(1)])
    storage.close()
    shutil.copytree(disk, copy)
    storage = opened(disk)
    await storage.journal.commit([decision(2), decision(3)])
    seen = cosigned(storage.journal.checkpoint())
    storage.close()

    restored = opened(copy)
    before = restored.journal.checkpoint()
    with pytest.raises(LogSuperseded) as refused:
        await restored.care.answer(JournalRequest(do="cosign", note=seen), ANA)
    assert "Restart the daemon" in refused.value.remedy
    await restored.journal.commit([decision(2)])
    assert restored.journal.checkpoint() == before, "nothing more is signed under the old name"
    restored.close()

    again = opened(copy)
    body = again.journal.record(0).leaf.body
    assert isinstance(body, Genesis)
    assert (again.epoch, body.previous_origin, body.previous_checkpoint) == (2, f"{NAME}/e1", seen)
    assert "witness.example/one has seen 4 records" in body.reason
    assert not (copy / "keys" / PENDING_NAME).exists()
    again.close()
    third = opened(copy)
    assert third.epoch == 2, "it is begun once"
    third.close()


# --- pruning ---------------------------------------------------------------------------------------------------------------

MIRRORED = {"mirrors": (WITNESS.key.text(),)}
PRUNE = JournalRequest(do="prune", older_than_s=86_400)


async def ten_days(storage, clock) -> None:
    """Six bundles, a day each, all mirrored."""
    for _ in range(6):
        await storage.journal.commit([gap(1)] * 256)
        await clock.advance(86_400 * 10**9)
    storage.store.settle()
    await storage.journal.commit([decision(1)])
    await storage.care.cosign(cosigned(storage.journal.checkpoint()))


async def test_a_dry_run_says_what_would_go_and_changes_nothing(tmp_path):
    create_identity(tmp_path, NAME, {})
    clock = ManualClock()
    storage = opened(tmp_path, clock, **MIRRORED)
    await ten_days(storage, clock)
    request = JournalRequest(do="prune", older_than_s=3.5 * 86_400, dry_run=True)
    answer = await storage.care.answer(request, ANA)
    assert answer.message.startswith(
        "Would prune records 0 to 767. What follows stays: records from 768 on are not older"
    )
    assert (answer.first, answer.end, storage.journal.first) == (0, 768, 0)
    pruned = await storage.care.answer(JournalRequest(do="prune", older_than_s=3.5 * 86_400), ANA)
    assert pruned.message.startswith("Pruned records 0 to 767.")
    again = await storage.care.answer(JournalRequest(do="prune", older_than_s=3.5 * 86_400), ANA)
    assert again.message.startswith("Nothing to prune before record 768: records from 768 on are not older")
    storage.close()


async def test_with_a_cloud_nothing_goes_that_the_collector_does_not_have(tmp_path):
    create_identity(tmp_path, NAME, {})
    clock = ManualClock()
    storage = opened(tmp_path, clock, cloud=True, **MIRRORED)
    await ten_days(storage, clock)
    assert (await storage.care.answer(PRUNE, ANA)).message == (
        "Nothing to prune before record 0: the collector has 0 records."
    )
    await storage.cursors.put("journal", msgspec.msgpack.encode((1, 600)))
    assert (await storage.care.answer(PRUNE, ANA)).end == 512
    await storage.cursors.put("journal", msgspec.msgpack.encode((9, 1200)))
    assert "the collector has 0 records" in (await storage.care.answer(PRUNE, ANA)).message, "of another epoch"
    storage.close()


async def test_by_configuration_it_prunes_every_hour(tmp_path):
    create_identity(tmp_path, NAME, {})
    clock = ManualClock()
    storage = opened(tmp_path, clock, retention_d=3.5, **MIRRORED)
    await ten_days(storage, clock)
    failures = []
    running = asyncio.create_task(storage.care.run(failures.append))
    await clock.advance(10**9)
    assert (storage.journal.first, failures) == (768, [])
    await clock.advance(86_400 * 10**9)
    assert storage.journal.first == 1024
    running.cancel()
    storage.close()


async def test_without_a_mirror_it_says_every_hour_why_not_and_goes_on(tmp_path):
    create_identity(tmp_path, NAME, {})
    clock = ManualClock()
    storage = opened(tmp_path, clock, retention_d=3.5)
    failures = []
    running = asyncio.create_task(storage.care.run(failures.append))
    await clock.advance(2 * 3600 * 10**9 + 10**9)
    assert [failure.message[:24] for failure in failures] == ["nothing may be pruned: n"] * 3
    running.cancel()
    storage.close()
