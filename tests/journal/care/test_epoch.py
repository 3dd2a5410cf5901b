"""A damaged journal is given up as it is, and the next one says so."""

from __future__ import annotations

import os

import msgspec
import pytest

from gatewayd.errors import StoreError
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.care import epoch
from gatewayd.journal.care.epoch import (
    KEPT_MAX,
    PENDING_NAME,
    STORE_NAME,
    PendingEpoch,
    begin_epoch,
    begin_pending_epoch,
    end_log_at_next_start,
    finish_move,
    newest_checkpoint,
)
from gatewayd.journal.keys import create_identity, load_identity, replace_identity
from gatewayd.journal.log import Identity, Journal
from gatewayd.model.record import Genesis
from gatewayd.proof.note import VerifierKey, open_checkpoint
from gatewayd.store.env import Store
from tests.clock import ManualClock
from tests.journal.samples import QUOTA, decision

NAME = "acme.example/gw/site-7/gw-0042"


def opened(folder):
    identity, signer = load_identity(folder, {})
    store = Store.open(folder / STORE_NAME, QUOTA)
    ours = Identity(identity.origin, identity.epoch, bytes(16), previous=identity.previous)
    return store, Journal.open(store, signer, ManualClock(), ours, commit="inline")


@pytest.fixture
async def damaged(tmp_path):
    """A storage folder with a journal of two signed sizes, whose data file has lost its head."""
    create_identity(tmp_path, NAME, {})
    store, journal = opened(tmp_path)
    for first in (1, 10):
        await journal.commit([decision(number) for number in range(first, first + 9)])
        journal.close()
    assert journal.size == 19
    store.close()
    data = tmp_path / STORE_NAME / "data.mdb"
    data.write_bytes(bytes(8192) + data.read_bytes()[8192:])
    return tmp_path


def test_a_new_epoch_names_the_old_log_its_last_checkpoint_and_why(damaged):
    old, _ = load_identity(damaged, {})
    identity, signer = begin_epoch(damaged, old, "the data file has no head", {})
    assert (identity.origin, identity.epoch) == (f"{NAME}/e2", 2)
    assert signer.name == identity.origin
    store, journal = opened(damaged)
    body = journal.record(0).leaf.body
    assert isinstance(body, Genesis)
    assert (body.previous_origin, body.reason) == (f"{NAME}/e1", "the data file has no head")
    assert open_checkpoint(body.previous_checkpoint, VerifierKey.parse(old.vkey)).size == 19
    assert verify_store(store, identity.vkey).problem is None
    journal.close()
    store.close()


def test_the_damaged_store_is_kept_as_it_is(damaged):
    before = {path.name: path.read_bytes() for path in (damaged / STORE_NAME).iterdir()}
    begin_epoch(damaged, load_identity(damaged, {})[0], "damaged", {})
    assert not (damaged / STORE_NAME).exists()
    assert {path.name: path.read_bytes() for path in (damaged / "store-e1-damaged").iterdir()} == before


def test_the_same_key_signs_under_the_new_name(damaged):
    """Whoever trusts the old verifier key can tell that the new log is the same gateway's."""
    old, _ = load_identity(damaged, {})
    new, _ = begin_epoch(damaged, old, "damaged", {})
    assert VerifierKey.parse(new.vkey).public == VerifierKey.parse(old.vkey).public
    assert new.vkey != old.vkey


def cut_before_the_move(folder, monkeypatch):
    def power_fails(*_):
        raise OSError(5, "power")

    replace = epoch.Path.rename
    monkeypatch.setattr(
        epoch.Path, "rename", lambda path, to: power_fails() if path.name == STORE_NAME else replace(path, to)
    )
    with pytest.raises(StoreError, match="cannot move"):
        begin_epoch(folder, load_identity(folder, {})[0], "damaged", {})
    monkeypatch.undo()


def cut_after_the_move(folder, _monkeypatch):
    identity, _ = begin_epoch(folder, load_identity(folder, {})[0], "damaged", {})
    not_moved = msgspec.structs.replace(identity.previous, is_moved=False)
    replace_identity(folder, msgspec.structs.replace(identity, previous=not_moved))


@pytest.mark.parametrize("cut", [cut_before_the_move, cut_after_the_move])
def test_a_power_cut_on_the_way_is_made_good_by_the_next_start(damaged, monkeypatch, cut):
    """The old log's name is never used again, and the new log's store is never put aside."""
    cut(damaged, monkeypatch)
    identity, _ = finish_move(damaged, {})
    assert identity.origin == f"{NAME}/e2"
    assert not (damaged / STORE_NAME).exists()
    assert (damaged / "store-e1-damaged" / "data.mdb").exists()
    store, journal = opened(damaged)
    journal.close()
    store.close()
    assert finish_move(damaged, {})[0] == identity
    assert (damaged / STORE_NAME).exists()


def test_only_the_newest_damaged_stores_are_kept(damaged):
    """P-BOUND: each may be as large as the quota."""
    for _ in range(KEPT_MAX + 2):
        begin_epoch(damaged, load_identity(damaged, {})[0], "damaged again", {})
        (damaged / STORE_NAME).mkdir()
    kept = sorted(path.name for path in damaged.glob("store-e*"))
    assert kept == ["store-e3-damaged", "store-e4-damaged"]


def test_a_checkpoint_with_a_flipped_bit_is_passed_over(damaged):
    """The bytes are searched without LMDB, and only what was signed counts."""
    old, _ = load_identity(damaged, {})
    key = VerifierKey.parse(old.vkey)
    newest = newest_checkpoint(damaged / STORE_NAME, key)
    for path in (damaged / STORE_NAME).iterdir():
        content = path.read_bytes().replace(newest.encode(), b"9" + newest.encode()[1:])
        path.write_bytes(content.replace(f"{old.origin}\n19\n".encode(), f"{old.origin}\n91\n".encode()))
    older = newest_checkpoint(damaged / STORE_NAME, key)
    assert open_checkpoint(older, key).size < 19


def test_a_store_of_which_nothing_is_left_gives_no_checkpoint(tmp_path):
    create_identity(tmp_path, NAME, {})
    key = VerifierKey.parse(load_identity(tmp_path, {})[0].vkey)
    (tmp_path / STORE_NAME).mkdir()
    (tmp_path / STORE_NAME / "data.mdb").touch()
    assert newest_checkpoint(tmp_path / STORE_NAME, key) == ""
    assert newest_checkpoint(tmp_path / "nowhere", key) == ""
    assert os.listdir(tmp_path / STORE_NAME) == ["data.mdb"]


def test_a_log_that_must_not_go_on_is_given_up_by_the_next_start(damaged):
    """A power cut after the new epoch began leaves the note behind; it is about another log then."""
    old, _ = load_identity(damaged, {})
    assert begin_pending_epoch(damaged, old, {}) is None
    pending = PendingEpoch(old.origin, "the larger one", "a witness has seen more")
    end_log_at_next_start(damaged, pending)
    begun = begin_pending_epoch(damaged, old, {})
    assert begun is not None
    assert begun[0].previous.checkpoint == "the larger one"
    end_log_at_next_start(damaged, pending)
    assert begin_pending_epoch(damaged, begun[0], {}) is None
    assert load_identity(damaged, {})[0] == begun[0]


def test_a_note_of_the_next_epoch_that_cannot_be_read_ends_the_start(damaged):
    (damaged / "keys" / PENDING_NAME).write_bytes(b"{")
    with pytest.raises(StoreError, match="cannot be read"):
        begin_pending_epoch(damaged, load_identity(damaged, {})[0], {})
