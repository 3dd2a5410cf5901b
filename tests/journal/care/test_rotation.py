"""The log is handed over to a new key: what counts before and after, and what a power cut at each step leaves behind."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from gatewayd.errors import StoreError, StoreFull
from gatewayd.journal import keys
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.care import door as care
from gatewayd.journal.care import rotation
from gatewayd.journal.care.rotation import open_rotation, rotate
from gatewayd.journal.keys import KEY_NAME, NEXT_KEY_NAME, create_identity, load_identity
from gatewayd.journal.log import Journal
from gatewayd.model.config import Gateway, GatewayFile
from gatewayd.model.config import Storage as StorageConfig
from gatewayd.model.record import Kind
from gatewayd.model.view import JournalRequest
from gatewayd.proof.note import Checkpoint, NoteError, SeedSigner, VerifierKey, open_checkpoint, sign_checkpoint
from gatewayd.storage import Storage
from gatewayd.store.tables import Table, u64
from tests.clock import ManualClock
from tests.journal.samples import ANA, IDENTITY, ORIGIN, SIGNER, decision, gap, open_store

NAME = "acme.example/gw/site-7/gw-0042"
NEW = SeedSigner(ORIGIN, bytes([9]) * 32)
NEWER = SeedSigner(ORIGIN, bytes([10]) * 32)


def key(signer: SeedSigner) -> VerifierKey:
    return VerifierKey.parse(signer.vkey)


def again(journal: Journal, signer, next_signer=None) -> Journal:
    """Open the same store as the next start does."""
    return Journal.open(journal.store, signer, ManualClock(), IDENTITY, commit="inline", next_signer=next_signer)


async def test_the_tree_that_ends_with_the_record_is_signed_by_both_and_the_next_by_the_new_key_alone(journal):
    await journal.commit([decision(1)])
    before = journal.checkpoint()
    rotated = await rotate(journal, NEW, ANA)
    assert rotated.size == 3
    for signer in (SIGNER, NEW):
        assert open_checkpoint(rotated.note, key(signer)).size == 3
    await journal.commit([decision(2)])
    after = journal.checkpoint()
    assert open_checkpoint(after, key(NEW)).size == 4
    with pytest.raises(NoteError):
        open_checkpoint(after, key(SIGNER))
    assert open_checkpoint(before, key(SIGNER)).size == 2


async def test_the_record_says_who_asked_and_which_key_follows_which(journal):
    rotated = await rotate(journal, NEW, ANA)
    (record,) = journal.newest(Kind.KEY_ROTATED, 1)
    body = record.leaf.body
    assert (record.seq, body.vkey, body.previous, body.actor) == (rotated.size - 1, NEW.vkey, SIGNER.vkey, ANA)


@pytest.mark.parametrize("commit", ["inline", "thread"])
async def test_nothing_is_signed_for_a_size_whose_key_is_not_settled(store, commit):
    """Others write all the while; each checkpoint that is stored counts under the key of its size."""
    journal = Journal.open(store, SIGNER, ManualClock(), IDENTITY, commit=commit)

    async def others() -> None:
        for number in range(1, 40):
            await journal.commit([decision(number)], at_once=True)
            journal.checkpoint()

    await asyncio.gather(others(), rotate(journal, NEW, ANA), others_gaps(journal))
    await rotate(journal, NEWER, ANA)
    journal.close()
    report = verify_store(store, SIGNER.vkey)
    assert report.problem is None
    assert [vkey for _, vkey in report.keys] == [SIGNER.vkey, NEW.vkey, NEWER.vkey]


async def others_gaps(journal: Journal) -> None:
    for number in range(1, 40):
        await journal.commit([gap(number)])


@pytest.mark.parametrize("given", [SIGNER, NEW, NEWER])
async def test_each_verifier_key_that_was_ever_handed_out_stays_good(journal, given):
    await rotate(journal, NEW, ANA)
    await rotate(journal, NEWER, ANA)
    journal.close()
    assert verify_store(journal.store, given.vkey).problem is None
    stranger = SeedSigner(ORIGIN, bytes([11]) * 32)
    assert "not with the one given" in verify_store(journal.store, stranger.vkey).problem.what


async def test_the_next_start_goes_on_with_the_new_key_and_only_with_that(journal):
    await rotate(journal, NEW, ANA)
    journal.close()
    opened = again(journal, NEW)
    await opened.commit([decision(1)])
    assert open_checkpoint(opened.checkpoint(), key(NEW)).size == 3
    with pytest.raises(StoreError, match="vkey"):
        again(journal, SIGNER)


async def test_a_full_store_goes_on_with_its_key(journal, monkeypatch):
    async def full(*_):
        raise StoreFull("the journal is full", remedy="")

    monkeypatch.setattr(journal, "commit_with", full)
    with pytest.raises(StoreFull):
        await rotate(journal, NEW, ANA)
    await journal.commit([decision(1)])
    assert open_checkpoint(journal.checkpoint(), key(SIGNER)).size == 2


# --- a stolen or a made-up key -------------------------------------------------------------------------------------------


async def test_a_checkpoint_of_an_old_size_under_the_new_key_is_refused(journal):
    """Whoever takes the new key cannot rewrite what came before it."""
    await journal.commit([decision(number) for number in range(1, 9)])
    await rotate(journal, NEW, ANA)
    journal.close()
    forged = sign_checkpoint(Checkpoint(ORIGIN, 5, journal.root(5)), NEW)
    journal.store.write(lambda writing: writing.put(Table.CHECKPOINT, u64(5), forged.encode()))
    problem = verify_store(journal.store, SIGNER.vkey).problem
    assert (problem.seq, problem.kind) == (4, "checkpoint")


async def test_an_old_key_signs_nothing_from_its_end_on(journal):
    rotated = await rotate(journal, NEW, ANA)
    journal.close()
    forged = sign_checkpoint(Checkpoint(ORIGIN, rotated.size, journal.root(rotated.size)), SIGNER)
    journal.store.write(lambda writing: writing.put(Table.CHECKPOINT, u64(rotated.size), forged.encode()))
    assert verify_store(journal.store, SIGNER.vkey).problem.kind == "checkpoint"


async def test_a_handover_that_is_gone_is_missed(journal):
    rotated = await rotate(journal, NEW, ANA)
    journal.store.write(lambda writing: writing.delete(Table.KEY, u64(rotated.size)))
    journal.store.write(lambda writing: writing.delete(Table.CHECKPOINT, u64(rotated.size)))
    problem = verify_store(journal.store, SIGNER.vkey).problem
    assert (problem.seq, problem.kind) == (rotated.size - 1, "key_rotated")
    assert "is missing" in problem.what


# --- power cuts ----------------------------------------------------------------------------------------------------------


class PowerCut(BaseException):
    """Nothing catches it."""


def cut_at(monkeypatch, place, name: str, *, after: bool) -> None:
    """Let the power fail before or after a step."""
    step = getattr(place, name)

    def cut(*arguments, **named):
        if after:
            step(*arguments, **named)
        raise PowerCut(name)

    monkeypatch.setattr(place, name, cut)


def cut_commit(monkeypatch, name: str, *, after: bool) -> None:
    step = getattr(Journal, name)

    async def cut(self, *arguments, **named):
        if after:
            await step(self, *arguments, **named)
        raise PowerCut(name)

    monkeypatch.setattr(Journal, name, cut)


def cut_rename(monkeypatch, name: str) -> None:
    rename = Path.rename

    def cut(self, target):
        renamed = rename(self, target)
        if self.name == name:
            raise PowerCut(name)
        return renamed

    monkeypatch.setattr(Path, "rename", cut)


STEPS = {
    "before the next key is made": lambda patch: cut_at(patch, care, "create_next_key", after=False),
    "after the next key is made": lambda patch: cut_at(patch, care, "create_next_key", after=True),
    "before the record": lambda patch: cut_commit(patch, "commit_with", after=False),
    "after the record": lambda patch: cut_commit(patch, "commit_with", after=True),
    "before the handover": lambda patch: cut_commit(patch, "free", after=False),
    "after the handover": lambda patch: cut_commit(patch, "free", after=True),
    "before the identity": lambda patch: cut_at(patch, keys, "replace_identity", after=False),
    "after the identity": lambda patch: cut_at(patch, keys, "replace_identity", after=True),
    "before the old key goes": lambda patch: cut_at(patch, keys, "_replace_and_wipe", after=False),
    "before it is overwritten": lambda patch: cut_rename(patch, NEXT_KEY_NAME),
    "while the identity is replaced": lambda patch: cut_rename(patch, "identity.json.new"),
}
HANDED_OVER = {
    "after the record",
    "before the handover",
    "after the handover",
    "before the identity",
    "after the identity",
    "before the old key goes",
    "before it is overwritten",
    "while the identity is replaced",
}


def opened(folder: Path) -> Storage:
    config = GatewayFile(
        gateway=Gateway(name=NAME), storage=StorageConfig(path=str(folder), quota_mb=16, commit="inline")
    )
    return Storage.open(config, ManualClock())


@pytest.mark.parametrize("step", STEPS)
async def test_a_power_cut_at_any_step_leaves_a_log_that_verifies_and_starts(tmp_path, monkeypatch, step):
    """Then the same gateway signs, with one key, which is the only one it keeps once a rotation has gone through."""
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    first, _ = create_identity(disk, NAME, {})
    storage = opened(disk)
    await storage.journal.commit([decision(1)])
    with monkeypatch.context() as patch:
        STEPS[step](patch)
        with pytest.raises(PowerCut):
            await storage.care.rotate_key(ANA)
    shutil.copytree(disk, copy)
    storage.close()

    restarted = opened(copy)
    assert restarted.epoch == 1
    assert open_rotation(restarted.store) is None
    vkey = restarted.journal.signer.vkey
    assert load_identity(copy)[0].vkey == vkey
    assert (vkey != first.vkey) == (step in HANDED_OVER)
    await restarted.journal.commit([decision(2)])
    restarted.journal.close()
    report = verify_store(restarted.store, first.vkey)
    assert report.problem is None
    assert report.keys[-1][1] == vkey
    if step in HANDED_OVER:
        assert not (copy / "keys" / NEXT_KEY_NAME).exists()
    rotated = await restarted.care.rotate_key(ANA)
    assert rotated.vkey not in {first.vkey, vkey}
    restarted.close()
    last = opened(copy)
    assert last.journal.signer.vkey == rotated.vkey
    last.journal.close()
    assert verify_store(last.store, first.vkey).problem is None
    last.close()


async def test_without_the_next_key_an_open_rotation_says_which_file_is_missing(store, journal, monkeypatch):
    with monkeypatch.context() as patch:
        cut_commit(patch, "free", after=False)
        with pytest.raises(PowerCut):
            await rotate(journal, NEW, ANA)
    with pytest.raises(StoreError, match="a key that is not here") as refused:
        again(journal, SIGNER)
    assert "journal-key.next" in refused.value.remedy
    assert again(journal, SIGNER, NEW).signer is NEW


async def test_a_rotation_that_failed_half_way_goes_through_when_it_is_asked_for_again(journal, monkeypatch):
    async def full(*_):
        raise StoreFull("full", remedy="")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "free", full)
        with pytest.raises(StoreFull):
            await rotate(journal, NEW, ANA)
    before = journal.checkpoint()
    await journal.commit([decision(1)])
    assert journal.checkpoint() == before, "nothing is signed in between"
    assert (await rotate(journal, NEW, ANA)).size == 2
    assert open_checkpoint(journal.checkpoint(), key(NEW)).size == 3
    assert verify_store(journal.store, SIGNER.vkey).problem is None


# --- seeds on disk -------------------------------------------------------------------------------------------------------


async def test_the_old_seed_is_gone_from_its_file_and_the_answer_names_the_new_verifier_key(tmp_path):
    create_identity(tmp_path, NAME, {})
    path = tmp_path / "keys" / KEY_NAME
    seed = path.read_bytes()
    with path.open("rb") as old:
        storage = opened(tmp_path)
        answer = await storage.care.answer(JournalRequest(do="rotate_key"), ANA)
        assert old.read() == bytes(32), "the old file's block is overwritten, too"
    assert path.read_bytes() != seed
    assert not (tmp_path / "keys" / NEXT_KEY_NAME).exists()
    assert answer.vkey == load_identity(tmp_path)[0].vkey
    assert answer.vkey in answer.message
    assert "erased" in answer.message
    storage.close()


async def test_keys_that_systemd_delivers_are_its_administrators_to_take_away(tmp_path, monkeypatch):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "journal-key").write_bytes(bytes(range(32)))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    disk = tmp_path / "disk"
    create_identity(disk, NAME)
    storage = opened(disk)
    with pytest.raises(StoreError, match="must come from there") as refused:
        await storage.care.rotate_key(ANA)
    assert "LoadCredentialEncrypted=journal-key-next" in refused.value.remedy
    (credentials / "journal-key-next").write_bytes(bytes([5]) * 32)
    answer = await storage.care.answer(JournalRequest(do="rotate_key"), ANA)
    assert "Now make the credential journal-key-next the credential journal-key" in answer.message
    storage.close()
    opened(disk).close()
    (credentials / "journal-key-next").rename(credentials / "journal-key")
    done = opened(disk)
    assert done.journal.signer.vkey == answer.vkey
    done.close()


def test_the_place_of_an_open_rotation_is_none_in_a_quiet_store(tmp_path):
    store = open_store(tmp_path / "store")
    assert open_rotation(store) is None
    assert rotation.signer_in_force(store, SIGNER, None) is SIGNER
    assert rotation.signer_in_force(store, SIGNER, NEW) is SIGNER
    store.close()
