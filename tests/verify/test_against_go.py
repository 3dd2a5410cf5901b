"""Exports against the note and tlog packages of the Go project, which this project did not write."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gatewayd.proof.merkle import leaf_hash
from gatewayd.proof.note import SeedSigner
from gatewayd.proof.tiles import entries_of_bundle, entry_bundle
from tests.foreign.availability import require
from tests.foreign.go.build import build_verifier
from tests.journal.samples import ORIGIN, SIGNER
from tests.verify.samples import exported, verifier, written

verify_export = verifier()
pytestmark = pytest.mark.foreign


@pytest.fixture(scope="module")
def go() -> Path:
    return require(build_verifier)


def said(go: Path, folder: Path, *keys: str) -> tuple[int, str]:
    done = subprocess.run([str(go), str(folder), *keys], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


async def export_of(folder: Path, records: int, **wanted: object) -> Path:
    store = await written(folder / "store", records=records)
    exported(store, folder / "export", **wanted)
    store.close()
    return folder / "export"


@pytest.mark.parametrize("records", [20, 255, 256, 257, 511, 512, 700])
async def test_go_verifies_an_export_of_any_size(go, tmp_path, records):
    folder = await export_of(tmp_path, records)
    last = records - 1
    assert said(go, folder, SIGNER.vkey) == (0, f"Verified: records 0 to {last} of {records}, 18 proofs\n")
    assert said(go, folder)[0] == 0


async def test_go_verifies_a_part_of_a_log(go, tmp_path):
    folder = await export_of(tmp_path, 700, first=300, last=400)
    assert said(go, folder, SIGNER.vkey) == (0, "Verified: records 256 to 511 of 700, 0 proofs\n")


@pytest.mark.slow
async def test_go_verifies_a_log_with_a_second_level_of_tiles(go, tmp_path):
    folder = await export_of(tmp_path, 256 * 256 + 300)
    assert (folder / "tile/1/000").exists()
    assert said(go, folder, SIGNER.vkey)[0] == 0


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("checkpoint", "checkpoint"),
        ("tile/entries/000", "record 255 does not have the hash"),
        ("tile/entries/001.p/14", "record 269 does not have the hash"),
        ("tile/0/000", "record 255 does not have the hash"),
        ("tile/0/001.p/14", "record 269 does not have the hash"),
        ("tile/1/000.p/1", "tile 1/0 is not that of the records"),
        ("proofs/3.tlog-proof", "3.tlog-proof"),
    ],
)
async def test_go_refuses_one_wrong_bit(go, tmp_path, name, what):
    folder = await export_of(tmp_path, 270)
    content = bytearray((folder / name).read_bytes())
    content[-5] ^= 1
    (folder / name).write_bytes(bytes(content))
    code, out = said(go, folder, SIGNER.vkey)
    assert code == 1
    assert what in out


async def test_go_refuses_another_key(go, tmp_path):
    folder = await export_of(tmp_path, 20)
    code, out = said(go, folder, SeedSigner(ORIGIN, bytes(32)).vkey)
    assert code == 1
    assert out == "NOT SOUND: the export is not signed with the key that was given\n"


@pytest.mark.parametrize("records", [270, 511, 700])
async def test_a_record_and_its_tile_altered_together_are_refused_by_both(go, tmp_path, records):
    """A TileHashReader of the tlog package up to 0.7 would not authenticate tile 0/000 of such trees."""
    folder = await export_of(tmp_path, records)
    bundle = folder / "tile/entries/000"
    entries = entries_of_bundle(bundle.read_bytes())
    entries[200] = entries[200].replace(b"test", b"tost")
    bundle.write_bytes(entry_bundle(entries))
    (folder / "tile/0/000").write_bytes(b"".join(leaf_hash(entry) for entry in entries))
    assert said(go, folder, SIGNER.vkey) == (1, "NOT SOUND: the records do not have the root that was signed\n")
    with pytest.raises(verify_export.Bad, match="tile 1/0 is not that of the records"):
        verify_export.Export(folder, SIGNER.vkey).check_all()


async def test_go_follows_the_keys_that_a_log_was_handed_over_to(go, tmp_path):
    keys = [SeedSigner(ORIGIN, bytes([number]) * 32) for number in (8, 9)]
    store = await written(tmp_path / "store", records=300, keys=keys)
    folder = tmp_path / "export"
    exported(store, folder)
    store.close()
    for key in (SIGNER, *keys):
        assert said(go, folder, key.vkey) == (0, "Verified: records 0 to 303 of 304, 18 proofs\n")
    entry = folder / "keys/301.entry"
    content = entry.read_bytes()
    entry.write_bytes(content.replace(b"operator", b"engineer"))
    assert said(go, folder, SIGNER.vkey)[1].startswith("NOT SOUND: keys/301: ")
    entry.unlink()
    assert said(go, folder, SIGNER.vkey)[0] == 1
