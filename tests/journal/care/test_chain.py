"""Which key holds for which size: only what the key before has signed follows it."""

from __future__ import annotations

import msgspec
import pytest

from gatewayd.errors import JournalDamaged
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.care.chain import Chain, Handover, chain_from, handover_row, handovers, stored_vkey
from gatewayd.journal.care.rotation import rotate
from gatewayd.journal.leaf import Stamp, encode_leaf
from gatewayd.journal.log import Journal
from gatewayd.model.record import ClockQuality, KeyRotated
from gatewayd.proof.merkle import leaf_hash
from gatewayd.proof.note import Checkpoint, SeedSigner, VerifierKey, sign_note
from gatewayd.proof.tiles import Tree
from gatewayd.store.tables import Table, u64
from tests.journal.samples import ANA, IDENTITY, ORIGIN, SIGNER

NEW = SeedSigner(ORIGIN, bytes(32))
NEWEST = SeedSigner(ORIGIN, bytes([7]) * 32)
KEY = VerifierKey.parse(SIGNER.vkey)
STAMP = Stamp(1, 1, bytes(16), ClockQuality.NTP)


def handover(seq: int = 0, *, named=NEW, signed_by=(SIGNER, NEW), body=None) -> Handover:
    """A handover in a tree whose only record, or first of two, is the one that names the key."""
    body = body or KeyRotated(named.vkey, SIGNER.vkey, ANA)
    leaf = encode_leaf(seq, STAMP, msgspec.msgpack.encode(body))
    before = [leaf_hash(b"%d" % number) for number in range(seq)]
    tree = Tree().grown([*before, leaf_hash(leaf)])[0]
    path = () if seq == 0 else (before[0],)
    note = sign_note(Checkpoint(ORIGIN, seq + 1, tree.root()).text(), signed_by)
    return Handover(NEW.vkey, leaf, path, note)


def test_each_size_has_the_key_whose_range_holds_it():
    chain = Chain((0, 10, 20), (KEY, VerifierKey.parse(NEW.vkey), VerifierKey.parse(NEWEST.vkey)))
    assert [chain.keys.index(chain.at(size)) for size in (0, 9, 10, 19, 20, 10**9)] == [0, 0, 1, 1, 2, 2]
    assert chain.ranges()[1] == (10, NEW.vkey)


@pytest.mark.parametrize("seq", [0, 1])
def test_a_key_that_the_one_before_signed_for_follows_it(seq):
    grown = Chain.of(KEY).grown(seq + 1, handover(seq))
    assert grown.newest.text() == NEW.vkey
    assert grown.at(seq) == KEY


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (handover(signed_by=(NEW,)), "not signed by"),
        (handover(signed_by=(SIGNER,)), "not signed by"),
        (handover(named=NEWEST), "does not name it"),
        (handover(body=KeyRotated("", "", ANA)), "does not name it"),
        (msgspec.structs.replace(handover(1), path=()), "not the last of the tree"),
        (msgspec.structs.replace(handover(), leaf=handover().leaf[:-1]), "truncated"),
        (msgspec.structs.replace(handover(), vkey="x"), "not of the form"),
    ],
)
def test_what_proves_no_handover_is_refused(bad, what):
    with pytest.raises(JournalDamaged, match=what):
        Chain.of(KEY).grown(int(bad.note.split("\n")[1]), bad)


def test_a_handover_counts_for_its_own_size_alone():
    with pytest.raises(JournalDamaged):
        Chain.of(KEY).grown(2, handover(0))


def test_ranges_only_rise():
    grown = Chain.of(KEY).grown(1, handover())
    again = handover(signed_by=(NEW, NEW))
    with pytest.raises(JournalDamaged, match="begins before"):
        grown.grown(1, again)


def test_the_chain_of_a_store_is_proved_from_the_key_that_one_trusts(store):
    store.write(lambda writing: writing.put(Table.KEY, u64(1), handover_row(handover())))
    assert [size for size, _ in store.read(lambda reading: list(handovers(reading)))] == [1]
    assert store.read(lambda reading: chain_from(reading, KEY)).newest.text() == NEW.vkey
    assert store.read(stored_vkey) == NEW.vkey
    with pytest.raises(JournalDamaged):
        store.read(lambda reading: chain_from(reading, VerifierKey.parse(NEWEST.vkey)))


def test_a_row_that_cannot_be_decoded_is_named(store):
    store.write(lambda writing: writing.put(Table.KEY, u64(300), b"\xc1"))
    for read in (lambda reading: list(handovers(reading)), stored_vkey):
        with pytest.raises(JournalDamaged, match="from 300 records on"):
            store.read(read)


async def test_a_start_checks_the_newest_handover_and_leaves_the_old_ones_to_verification(journal, clock):
    """One flipped bit in a proof of years ago is no reason to give a log up; an auditor hears of it all the same."""
    old = await rotate(journal, NEW, ANA)
    new = await rotate(journal, NEWEST, ANA)
    journal.close()

    def flip(size: int) -> None:
        row = bytearray(journal.store.get(Table.KEY, u64(size)))
        row[-5] ^= 1
        journal.store.write(lambda writing: writing.put(Table.KEY, u64(size), bytes(row)))

    flip(old.size)
    Journal.open(journal.store, NEWEST, clock, IDENTITY, commit="inline").close()
    assert verify_store(journal.store, SIGNER.vkey).problem is not None
    flip(new.size)
    with pytest.raises(JournalDamaged):
        Journal.open(journal.store, NEWEST, clock, IDENTITY, commit="inline")
