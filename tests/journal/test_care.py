"""What people ask of an open journal, over the whole way: storage, care, next start."""

from __future__ import annotations

import shutil

import pytest

from gatewayd.journal.epoch import PENDING_NAME
from gatewayd.journal.keys import create_identity
from gatewayd.journal.witness import LogSuperseded
from gatewayd.model.config import Gateway, GatewayFile
from gatewayd.model.config import Journal as JournalConfig
from gatewayd.model.config import Storage as StorageConfig
from gatewayd.model.record import Actor, Genesis
from gatewayd.model.view import JournalRequest
from gatewayd.proof.cosignature import Cosigner
from gatewayd.proof.note import split_note
from gatewayd.storage import Storage
from tests.clock import ManualClock
from tests.journal.samples import decision

NAME = "acme.example/gw/site-7/gw-0042"
ANA = Actor(uid=1001, role="operator", method="socket")
WITNESS = Cosigner("witness.example/one", bytes(32))
T_S = 1_750_000_000


def opened(folder, clock=None) -> Storage:
    config = GatewayFile(
        gateway=Gateway(name=NAME),
        storage=StorageConfig(path=str(folder), quota_mb=16),
        journal=JournalConfig(witnesses=(WITNESS.key.text(),)),
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
