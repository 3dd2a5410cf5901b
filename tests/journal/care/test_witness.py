"""Checkpoints that come back cosigned: what is kept, what is refused, and what they prove of a restored disk."""

from __future__ import annotations

import shutil
from base64 import b64decode

import pytest

from gatewayd.errors import StoreError
from gatewayd.journal.care.rotation import rotate
from gatewayd.journal.care.witness import LogSuperseded, Trusted, Witnesses, newest_note, witness_request
from gatewayd.journal.log import CHECKPOINT_LEAVES
from gatewayd.journal.tail import CHECKPOINTS_KEPT
from gatewayd.proof.cosignature import Cosigner, cosignatures_of
from gatewayd.proof.merkle import verify_consistency
from gatewayd.proof.note import (
    Checkpoint,
    NoteError,
    SeedSigner,
    VerifierKey,
    open_checkpoint,
    sign_checkpoint,
    split_note,
)
from gatewayd.store.tables import Table
from tests.journal.samples import ANA, ORIGIN, SIGNER, decision, gap, open_journal, open_store

ONE = Cosigner("witness.example/one", bytes(32))
TWO = Cosigner("mirror.example/two", bytes(range(32)))
TRUSTED = Trusted(witnesses=(ONE.key,), mirrors=(TWO.key,))
T_S = 1_750_000_000


def cosigned(note: str, *by: Cosigner, time_s: int = T_S) -> str:
    return note + "".join(cosigner.line(split_note(note)[0], time_s) for cosigner in by)


@pytest.fixture
def witnesses(journal):
    return Witnesses(journal, TRUSTED)


async def grown(journal, records: int) -> str:
    """Let the journal grow to so many records; return the checkpoint over them."""
    await journal.commit([decision(number) for number in range(journal.size, records)])
    return journal.checkpoint()


async def test_a_cosigned_checkpoint_is_kept_with_who_and_when(journal, witnesses):
    note = cosigned(await grown(journal, 9), ONE)
    added = await witnesses.add(note)
    assert (added.size, added.note, added.time_s) == (9, note, T_S)
    assert Witnesses(journal, TRUSTED).newest == added


async def test_cosignatures_that_come_one_by_one_stand_on_one_note(journal, witnesses):
    plain = await grown(journal, 9)
    await witnesses.add(cosigned(plain, ONE))
    assert witnesses.mirrored() is None
    added = await witnesses.add(cosigned(plain, TWO, time_s=T_S + 60))
    assert [cosignature.cosigner for cosignature in added.cosignatures] == [ONE.key, TWO.key]
    assert added.time_s == T_S
    assert witnesses.mirrored() == (9, added.note, added.cosignatures[1:])


async def test_what_counts_for_nothing_is_refused_or_left_out(journal, witnesses):
    plain = await grown(journal, 9)
    stranger = Cosigner("stranger.example", bytes(32))
    with pytest.raises(NoteError, match="nobody whose cosignature counts"):
        await witnesses.add(cosigned(plain, stranger))
    kept = await witnesses.add(cosigned(plain, stranger, ONE))
    assert "stranger" not in kept.note


async def test_a_cosignature_that_does_not_fit_is_refused(journal, witnesses):
    older, newer = await grown(journal, 9), await grown(journal, 12)
    line = cosigned(older, ONE).splitlines()[-1]
    with pytest.raises(NoteError, match="does not fit"):
        await witnesses.add(f"{newer}{line}\n")
    assert witnesses.newest is None


async def test_a_checkpoint_that_we_did_not_sign_is_refused(journal, witnesses):
    plain = await grown(journal, 9)
    text = split_note(plain)[0]
    with pytest.raises(NoteError, match="not signed by"):
        await witnesses.add(f"{text}\n{ONE.line(text, T_S)}")


async def test_cosigned_checkpoints_outlive_those_that_are_only_ours(journal, witnesses):
    """All others of a span of 4096 records make room in time."""
    await witnesses.add(cosigned(await grown(journal, 9), ONE))
    for number in range(CHECKPOINTS_KEPT + 10):
        await journal.commit([decision(1000 + number)])
        journal.checkpoint()
    journal.close()
    assert journal.store.get(Table.CHECKPOINT, (9).to_bytes(8, "big")) is None
    newest = Witnesses(journal, TRUSTED).newest
    assert newest is not None
    assert newest.size == 9


# --- what could be cut off -----------------------------------------------------------------------------------------------


async def test_without_a_witness_everything_could_be_rewritten(journal, witnesses, clock):
    await clock.advance(60 * 10**9)
    await journal.commit([decision(1)])
    assert witnesses.exposure(clock.wall_ns()) == (2, 60.0)


async def test_with_one_it_is_what_came_after_its_cosignature(journal, witnesses, clock):
    await witnesses.add(cosigned(await grown(journal, 5), ONE))
    assert witnesses.exposure(clock.wall_ns()) == (0, 0.0)
    await journal.commit([decision(100)])
    await clock.advance(30 * 10**9)
    await journal.commit([decision(101)])
    assert witnesses.exposure(clock.wall_ns()) == (2, 30.0)
    await witnesses.add(cosigned(journal.checkpoint(), ONE))
    assert witnesses.exposure(clock.wall_ns()) == (0, 0.0)


# --- a disk that is an old copy ------------------------------------------------------------------------------------------


@pytest.fixture
async def restored(tmp_path, journal, clock):
    """A journal of 9 records, opened again from a copy of its disk, and what a witness saw of it meanwhile: 20."""
    await grown(journal, 9)
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    seen = cosigned(await grown(journal, 20), ONE)
    store = open_store(tmp_path / "copy")
    copy = open_journal(store, clock)
    yield copy, seen
    copy.close()
    store.close()


async def test_a_witness_that_has_seen_more_proves_that_this_disk_is_an_old_copy(restored):
    copy, seen = restored
    with pytest.raises(LogSuperseded, match=r"has seen 20 records .*, here are only 9") as found:
        await Witnesses(copy, TRUSTED).add(seen)
    assert found.value.checkpoint == seen


async def test_so_does_one_that_has_seen_other_records(restored):
    """The copy went on by itself and is longer by now."""
    copy, seen = restored
    await copy.commit([decision(number) for number in range(1000, 1030)])
    with pytest.raises(LogSuperseded, match="other records among the first 20"):
        await Witnesses(copy, TRUSTED).add(seen)


async def test_a_journal_that_may_not_sign_any_more_goes_on_recording(journal):
    before = await grown(journal, 9)
    journal.stop_signing()
    await journal.commit([gap(number + 1) for number in range(2 * CHECKPOINT_LEAVES)])
    assert journal.checkpoint() == before


# --- for a witness by hand -----------------------------------------------------------------------------------------------


async def test_the_request_proves_that_the_witness_knows_the_beginning(journal, tmp_path):
    older = open_checkpoint(await grown(journal, 7), VerifierKey.parse(SIGNER.vkey))
    await grown(journal, 700)
    journal.close()
    head, _, note = witness_request(journal.store, 7).partition("\n\n")
    lines = head.split("\n")
    newest = open_checkpoint(note, VerifierKey.parse(SIGNER.vkey))
    assert (lines[0], newest.size, note) == ("old 7", 700, newest_note(journal.store))
    path = [b64decode(line) for line in lines[1:]]
    assert verify_consistency(7, 700, path, older.root, newest.root)


async def test_a_witness_that_knows_more_gets_no_proof(journal):
    with pytest.raises(StoreError, match="knows 50 records") as refused:
        witness_request(journal.store, 50)
    assert "journal cosign" in refused.value.remedy


def test_an_empty_store_has_nothing_to_show(store):
    with pytest.raises(StoreError, match="nothing is signed yet"):
        newest_note(store)


def test_keys_are_read_from_their_texts():
    assert Trusted.parse([ONE.key.text()], [TWO.key.text()]) == TRUSTED
    assert Trusted(witnesses=(ONE.key,), mirrors=(ONE.key,)).everyone == (ONE.key,)
    with pytest.raises(NoteError):
        Trusted.parse([SeedSigner(ORIGIN, bytes(32)).vkey], [])
    assert cosignatures_of("a\n\n\N{EM DASH} b AAAA\n", []) == ()


async def test_a_copy_from_before_a_rotation_does_not_need_to_know_the_new_key(tmp_path, journal, clock):
    """It cannot check the log's signature; the witness did, and it is the witness that is trusted."""
    await grown(journal, 9)
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    await rotate(journal, SeedSigner(ORIGIN, bytes(32)), ANA)
    seen = cosigned(await grown(journal, 20), ONE)
    store = open_store(tmp_path / "copy")
    copy = open_journal(store, clock)
    with pytest.raises(LogSuperseded, match="has seen 20 records"):
        await Witnesses(copy, TRUSTED).add(seen)
    await copy.commit([decision(number) for number in range(1000, 1030)])
    with pytest.raises(LogSuperseded, match="other records"):
        await Witnesses(copy, TRUSTED).add(seen)
    copy.close()
    store.close()


async def test_a_checkpoint_of_another_log_is_refused(journal, witnesses):
    other = SeedSigner("other.example/e1", bytes(32))
    note = sign_checkpoint(Checkpoint("other.example/e1", 50, bytes(32)), other)
    with pytest.raises(NoteError, match=r"is one of other\.example/e1"):
        await witnesses.add(cosigned(note, ONE))
