"""The second verifier: what the daemon exports passes, whatever was changed is named."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from hashlib import sha256

import msgspec
import pytest

from gatewayd.journal.export.export import auditor_files
from gatewayd.proof.note import SeedSigner, sign_note
from tests.journal.samples import ORIGIN, SIGNER, every_body
from tests.proof.test_merkle import entries, mth, path
from tests.verify.samples import exported, verifier, written

verify_export = verifier()
SOURCE = auditor_files()[-1]


@pytest.fixture
async def export(tmp_path):
    store = await written(tmp_path / "store")
    exported(store, tmp_path / "export", with_personal=True)
    store.close()
    return tmp_path / "export"


def said(folder, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(folder / SOURCE.name), str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def problem(folder, vkey: str | None = SIGNER.vkey) -> str:
    with pytest.raises(verify_export.Bad) as found:
        verify_export.Export(folder, vkey).check_all()
    return str(found.value)


def flip(file, at: int = -1) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(bytes(content))


# --- what it is ---------------------------------------------------------------------------------------------------------


def test_it_is_short_and_stands_on_the_standard_library_and_cryptography_alone():
    source = SOURCE.read_text()
    assert len(source.splitlines()) <= 300
    roots = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").partition(".")[0])
    assert roots - set(sys.stdlib_module_names) == {"cryptography"}


def test_it_runs_where_this_project_is_not_installed(export):
    code = f"import sys, runpy; sys.argv[1:] = [{str(export)!r}]; runpy.run_path({str(export / SOURCE.name)!r}, run_name='x')"
    code += (
        "; print(*[name for name in sys.modules if name.split('.')[0] in ('gatewayd', 'kernels', 'msgspec', 'lmdb')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == ""


# --- what it says -------------------------------------------------------------------------------------------------------


def test_a_whole_export_verifies_against_the_key_of_init(export):
    code, out = said(export, "--vkey", SIGNER.vkey)
    assert code == 0
    assert f"Verified: {ORIGIN}, 270 records under the signed root " in out
    assert "records 0 to 269 are here" in out
    counts = {"decisions": 12, "outcomes": 6, "evidence": 13, "evidence_missing": 0, "personal": 23, "replay": 0}
    assert json.dumps(counts) in out
    assert "give --vkey" not in out


def test_without_a_key_it_says_what_that_does_not_prove(export):
    code, out = said(export)
    assert code == 0
    assert "give --vkey to prove who signed" in out


def test_one_decision_verifies_with_its_outcome(export):
    code, out = said(export, "--decision", "3", "--vkey", SIGNER.vkey)
    assert code == 0
    assert "Record 4: pump_1.speed = 40.0, because of ['rule', 'clamp_range']" in out
    assert "Record 16: outcome: verified" in out


def test_a_decision_that_is_not_there_is_said(export):
    code, out = said(export, "--decision", "99")
    assert (code, out) == (1, "NOT SOUND: there is no proof of decision 99 in this export\n")


def test_another_key_does_not_verify(export):
    other = SeedSigner(ORIGIN, bytes(32)).vkey
    assert "another key than the one given" in problem(export, other)


# --- what it finds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("tile/entries/000", "record 255 does not have the hash"),
        ("tile/entries/001.p/14", "record 269 does not have the hash"),
        ("tile/0/000", "record 255 does not have the hash"),
        ("tile/0/001.p/14", "record 269 does not have the hash"),
        ("tile/1/000.p/1", "tile 1/0 is not that of the records"),
        ("proofs/3.tlog-proof", "proof 3.tlog-proof is not under the checkpoint"),
        ("proofs/3.outcome-16.tlog-proof", "proof 3.outcome-16.tlog-proof is not under the checkpoint"),
    ],
)
def test_a_changed_file_is_named_by_record_tile_or_proof(export, file, what):
    flip(export / file)
    assert what in problem(export)


def test_a_changed_evidence_slice_is_named_with_the_record_that_cites_it(export):
    name = sha256(b"alarm slice").hexdigest()
    flip(export / "evidence" / name)
    assert problem(export) == f"record 1: its evidence was altered (evidence/{name})"


def test_a_changed_name_or_reason_is_named(export):
    file = export / "personal.jsonl"
    file.write_text(file.read_text().replace('"because of 3"', '"because of 4"'))
    assert problem(export) == "record 4: its text of reason_text was altered"


@pytest.mark.parametrize("name", ["tile/entries/000", "tile/0/000", "proofs/3.tlog-proof", "checkpoint", "export.json"])
def test_a_missing_file_is_named(export, name):
    (export / name).unlink()
    code, out = said(export)
    assert code == 1
    assert name in out


def test_files_that_were_added_or_taken_away_are_noticed(export):
    (export / "evidence" / ("0" * 64)).write_bytes(b"forged")
    assert "14 evidence are here, export.json says 13" in problem(export)
    (export / "evidence" / ("0" * 64)).unlink()
    shutil.copy(export / "proofs/3.tlog-proof", export / "proofs/99.tlog-proof")
    assert "proofs/ holds files of no record" in problem(export)
    (export / "proofs/99.tlog-proof").unlink()
    (export / "evidence" / sha256(b"alarm slice").hexdigest()).unlink()
    assert "evidence" in problem(export)


def test_a_proof_of_another_decision_does_not_pass_for_this_one(export):
    shutil.copy(export / "proofs/4.tlog-proof", export / "proofs/3.tlog-proof")
    assert "claim to be decision 3" in problem(export)


def test_a_checkpoint_that_nobody_signed_is_refused(export):
    text = (export / "checkpoint").read_text().rpartition("\n\n")[0] + "\n"
    stranger = SeedSigner("stranger.example", bytes(32))
    (export / "checkpoint").write_text(sign_note(text, [stranger]))
    assert f"not signed once by {ORIGIN}" in problem(export)


def test_signatures_of_witnesses_beside_the_logs_own_are_passed_over(export):
    witness = SeedSigner("witness.example", bytes(32))
    text = (export / "checkpoint").read_text().rpartition("\n\n")[0] + "\n"
    note = sign_note(text, [witness, SIGNER])
    assert verify_export.open_checkpoint(note, SIGNER.vkey)[0] == 270


# --- its own tree and its own MessagePack -------------------------------------------------------------------------------


def test_its_tree_and_paths_are_those_of_the_rfc():
    for size in range(1, 70):
        leaves = entries(size)
        hashes = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
        assert verify_export.root_of(hashes) == mth(leaves)
        for index in range(size):
            proof = path(index, leaves)
            assert verify_export.root_by_path(hashes[index], index, size, proof) == mth(leaves)
            for wrong in (proof[:-1], [*proof, bytes(32)]):
                if wrong != proof:
                    assert verify_export.root_by_path(hashes[index], index, size, wrong) != mth(leaves)


@pytest.mark.parametrize("kind", list(every_body()))
def test_it_reads_every_kind_of_record_as_the_daemon_wrote_it(kind):
    body = every_body()[kind]
    leaf = msgspec.msgpack.encode((5, -1, 2, bytes(16), "ntp", body))
    assert repr(verify_export.body_of(b"\x01\x00" + leaf, 5)) == repr(msgspec.msgpack.decode(leaf)[5])


NUMBERS = [0, 127, 128, 255, 256, 65535, 65536, 2**32, 2**64 - 1, -1, -32, -33, -128, -129, -32769, -(2**31), -(2**63)]
TEXTS = [char * count for char in ("x", b"x") for count in (0, 31, 32, 255, 256, 65536)]
LISTS = [[], [1] * 15, [1] * 16, [1] * 65536, ["\N{EM DASH}", [None, [b"x"]]]]


@pytest.mark.parametrize(
    "value", [*NUMBERS, *TEXTS, *LISTS, None, True, False, 1.5, float("inf")], ids=lambda v: repr(v)[:20]
)
def test_its_messagepack_is_that_of_others(value):
    data = msgspec.msgpack.encode(value)
    assert verify_export.unpack(data) == (value, len(data))


def test_the_places_of_its_fields_are_those_of_the_records():
    """The second verifier counts fields; a field may be appended to a record, never put between."""
    bodies = every_body()
    fields = {kind: [*type(body).__struct_fields__] for kind, body in bodies.items()}
    assert fields["decision"].index("evidence") + 1 == verify_export.EVIDENCE_AT[5]
    assert fields["alarm"].index("evidence") + 1 == verify_export.EVIDENCE_AT[8]
    assert fields["rule"].index("evidence") + 1 == verify_export.EVIDENCE_AT[9]
    cited = {kind for kind, names in fields.items() if "evidence" in names}
    assert cited == {"decision", "alarm", "rule"}
    for kind, tag in (("decision", 5), ("override", 7), ("redacted", 17), ("retention", 25)):
        places = tuple(fields[kind].index(name) + 1 for name in ("reason_text", "actor_name"))
        assert verify_export.PERSONAL_AT[tag] == places
    named = {kind for kind, names in fields.items() if "actor_name" in names}
    assert named == {"config", "decision", "override", "redacted", "retention"}
    assert verify_export.PERSONAL_AT[4] == (0, fields["config"].index("actor_name") + 1), "nobody gives it a reason"
    for kind, tag, names in (("config", 4, ["site_digest"]), ("block", 10, ["digest", "plans_digest", "state"])):
        assert verify_export.REPLAY_AT[tag] == tuple(fields[kind].index(name) + 1 for name in names)
    assert {kind for kind, names in fields.items() if "reason_text" in names} == named - {"config"}


def test_the_page_that_goes_with_an_export_has_three_commands(export):
    page = (export / "README.md").read_text()
    commands = re.findall(r"^    (.+)$", page, re.MULTILINE)
    assert [command.split(" ")[-3:] for command in commands] == [
        [".", "--vkey", '"$KEY"'],
        ['"$KEY"', "--decision", "7"],
        ["verify_export.go", ".", '"$KEY"'],
    ]


# --- keys that were handed over -------------------------------------------------------------------------------------------


@pytest.fixture
async def handed_over(tmp_path):
    """An export of a log of 24 records with three keys, and the keys."""
    keys = [SIGNER, *(SeedSigner(ORIGIN, bytes([number]) * 32) for number in (8, 9))]
    store = await written(tmp_path / "rotated", records=20, keys=keys[1:])
    exported(store, tmp_path / "out")
    store.close()
    return tmp_path / "out", keys


def test_an_export_of_a_log_with_several_keys_verifies_against_each_of_them(handed_over):
    folder, keys = handed_over
    for key in keys:
        assert said(folder, "--vkey", key.vkey)[0] == 0
    assert "another key than the one given" in problem(folder, SeedSigner(ORIGIN, bytes(32)).vkey)


def test_the_policy_says_for_which_sizes_each_key_counts(handed_over):
    folder, keys = handed_over
    policy = (folder / "tlog-policy").read_text().splitlines()
    assert [line for line in policy if line.startswith("log ")] == [f"log {key.vkey}" for key in keys]
    assert policy[0] == "# counts for checkpoints of 0 to 20 records"
    assert policy[4] == "# counts for checkpoints of 23 records and more"


def test_a_handover_that_is_altered_or_gone_is_noticed(handed_over):
    folder, _ = handed_over
    flip(folder / "keys/21.entry", -4)
    assert "keys/21 is not signed by the key before" in problem(folder)
    flip(folder / "keys/21.entry", -4)
    (folder / "keys/21.entry").unlink()
    assert "not signed once" in problem(folder) or "is not signed by" in problem(folder)


def test_a_stranger_cannot_hand_the_log_over_to_himself(handed_over):
    """He has the export and a key of his own; what he lacks is the signature of the key before."""
    folder, _ = handed_over
    own = SeedSigner(ORIGIN, bytes(32))
    for name in ("checkpoint", "keys/23.tlog-proof"):
        head, _, signatures = (folder / name).read_text().rpartition("\n\n")
        text = head.rpartition("\n\n")[2] + "\n"
        forged = sign_note(text, [own])
        (folder / name).write_text(f"{head}\n\n{signatures}" + forged.rpartition("\n\n")[2])
    policy = (folder / "tlog-policy").read_text().replace("quorum none", f"log {own.vkey}\nquorum none")
    (folder / "tlog-policy").write_text(policy)
    assert "tlog-policy is not that of the keys" in problem(folder)
