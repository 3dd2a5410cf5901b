"""Exports of journals on disk: what verifies is written whole, what does not is not written at all."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from base64 import b64decode

import pytest

from gatewayd.errors import JournalDamaged, StoreError
from gatewayd.journal.export.export import Request, export, export_store
from gatewayd.journal.leaf import decode_leaf
from gatewayd.journal.tiles.bundle import slices_key
from gatewayd.proof.merkle import leaf_hash, verify_inclusion
from gatewayd.proof.note import SeedSigner, VerifierKey, open_checkpoint
from gatewayd.proof.tiles import entries_of_bundle
from gatewayd.store.tables import Table, u64
from tests.journal.samples import ORIGIN, SIGNER, gap, open_journal, open_store
from tests.verify.samples import exported, written


@pytest.fixture
async def store(tmp_path):
    store = await written(tmp_path / "store")
    yield store
    store.close()


def names(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def change(store, table, key):
    value = bytearray(store.get(table, key))
    value[-1] ^= 1
    store.write(lambda writing: writing.put(table, key, bytes(value)))


def test_an_export_has_the_layout_of_c2sp_and_counts_what_it_holds(store, tmp_path):
    made = exported(store, tmp_path / "out", vkey=SIGNER.vkey)
    found = names(tmp_path / "out")
    proofs = {f"proofs/{n}.tlog-proof" for n in range(1, 13)}
    proofs |= {f"proofs/{n}.outcome-{13 + n}.tlog-proof" for n in range(1, 7)}
    evidence = {name for name in found if name.startswith("evidence/")}
    log = {"tile/entries/000", "tile/entries/001.p/14", "tile/0/000", "tile/0/001.p/14", "tile/1/000.p/1"}
    words = {"checkpoint", "verifier.key", "tlog-policy", "prov.json", "export.json"}
    shipped = {"README.md", "verify_export.py", "verify_export.go"}
    assert found == proofs | evidence | log | words | shipped
    assert (made.size, made.first, made.end) == (270, 0, 270)
    assert (made.decisions, made.outcomes, made.evidence, made.evidence_missing, made.personal) == (12, 6, 13, 0, 0)
    assert json.loads((tmp_path / "out/export.json").read_bytes())["decisions"] == 12


def test_every_proof_holds_for_the_record_it_names(store, tmp_path):
    exported(store, tmp_path / "out")
    bundles = [(tmp_path / "out/tile/entries" / name).read_bytes() for name in ("000", "001.p/14")]
    entries = [entry for bundle in bundles for entry in entries_of_bundle(bundle)]
    for file in (tmp_path / "out/proofs").iterdir():
        head, _, note = file.read_text().partition("\n\n")
        _, index, *path = head.split("\n")
        checkpoint = open_checkpoint(note, VerifierKey.parse(SIGNER.vkey))
        seq = int(index.removeprefix("index "))
        hashes = [b64decode(line) for line in path]
        assert verify_inclusion(leaf_hash(entries[seq]), seq, checkpoint.size, hashes, checkpoint.root)
        assert file.name.startswith(f"{decode_leaf(entries[seq]).body.decision_id}.")


def test_names_and_reasons_stay_at_home_unless_they_are_asked_for(store, tmp_path):
    exported(store, tmp_path / "plain")
    content = b"".join((tmp_path / "plain" / name).read_bytes() for name in names(tmp_path / "plain"))
    assert b"because of 1" not in content
    made = exported(store, tmp_path / "full", with_personal=True)
    lines = [json.loads(line) for line in (tmp_path / "full/personal.jsonl").read_text().splitlines()]
    assert made.personal == len(lines) == 23
    assert [line["text"] for line in lines[:2]] == ["ana", "because of 1"]


def test_a_range_is_widened_to_whole_bundles_and_keeps_the_whole_tree(store, tmp_path):
    made = exported(store, tmp_path / "out", first=260, last=260)
    assert (made.size, made.first, made.end, made.decisions) == (270, 256, 270, 0)
    found = names(tmp_path / "out")
    assert {name for name in found if name.startswith("tile/")} == {
        "tile/entries/001.p/14",
        "tile/0/000",
        "tile/0/001.p/14",
        "tile/1/000.p/1",
    }


@pytest.mark.parametrize(("first", "last"), [(270, None), (5, 4), (300, 400)])
def test_a_range_without_records_is_refused_and_nothing_is_made(store, tmp_path, first, last):
    with pytest.raises(StoreError, match="records 0 to 269 are signed"):
        exported(store, tmp_path / "out", first=first, last=last)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("table", "key", "said"),
    [
        (Table.BUNDLE, u64(0), "record "),
        (Table.ENTRY, u64(260), "record 260 "),
        (Table.TILE, b"\x00" + u64(0), "record 255 "),
        (Table.CHECKPOINT, u64(270), "record 269 (checkpoint)"),
        (Table.PERSONAL, u64(4), "record 4 "),
        (Table.EVIDENCE, slices_key(0), "record "),
    ],
)
def test_what_does_not_verify_is_named_and_leaves_nothing_behind(store, tmp_path, table, key, said):
    change(store, table, key)
    with pytest.raises(JournalDamaged) as found:
        exported(store, tmp_path / "out")
    assert said in found.value.message
    assert "nothing is exported" in found.value.message
    assert {path.name for path in tmp_path.iterdir()} == {"store"}


def test_another_gateways_key_is_refused(store, tmp_path):
    with pytest.raises(JournalDamaged, match="not with the one given"):
        exported(store, tmp_path / "out", vkey=SeedSigner(ORIGIN, bytes(32)).vkey)


def test_evidence_that_is_no_longer_kept_is_counted(store, tmp_path):
    store.write(lambda writing: writing.delete(Table.EVIDENCE, slices_key(0)))
    made = exported(store, tmp_path / "out")
    assert (made.evidence, made.evidence_missing) == (0, 13)


def test_ctrl_c_leaves_nothing_behind(store, tmp_path):
    def interrupt(done: int, total: int) -> None:
        if done > 270:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_store(store, Request(folder=tmp_path / "out"), progress=interrupt)
    assert {path.name for path in tmp_path.iterdir()} == {"store"}


def test_progress_counts_both_passes_to_the_end(store, tmp_path):
    seen = []
    export_store(store, Request(folder=tmp_path / "out"), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(256, 540), (270, 540), (526, 540), (540, 540)]


async def test_records_that_nobody_has_signed_yet_are_left_out(store, tmp_path):
    """As beside a running daemon, or after a power cut: the newest checkpoint decides."""
    journal = open_journal(store)
    await journal.commit([gap(1)] * 3)
    made = exported(store, tmp_path / "out")
    assert made.size in (270, 273)
    note = (tmp_path / "out/checkpoint").read_text()
    assert open_checkpoint(note, VerifierKey.parse(SIGNER.vkey)).size == made.size
    journal.close()


def test_it_works_beside_the_process_that_owns_the_store_and_after_it(store, tmp_path):
    command = [sys.executable, "-m", "gatewayd", "journal", "export", str(tmp_path / "store"), "--json"]
    done = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["size"] == 270
    store.close()
    assert export(tmp_path / "store", Request(folder=tmp_path / "after")).size == 270


def test_an_empty_store_has_nothing_to_prove(tmp_path):
    store = open_store(tmp_path / "store")
    with pytest.raises(StoreError, match="no signed checkpoint yet"):
        exported(store, tmp_path / "out")
    store.close()


async def test_memory_does_not_grow_with_the_log(tmp_path, monkeypatch):
    """Five times the records, and the peak of an export stays where it is, once its caches are full."""
    monkeypatch.setattr("gatewayd.journal.export.export.NODES_CACHED", 64)
    peaks = []
    for upto in (1_200, 6_000):
        store = open_store(tmp_path / "store")
        journal = open_journal(store)
        for start in range(journal.size, upto, 600):
            await journal.commit([gap(n) for n in range(start, start + 600)])
        journal.close()
        store.close()
        tracemalloc.start()
        export(tmp_path / "store", Request(folder=tmp_path / f"out-{upto}"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 150_000, "bytes"
