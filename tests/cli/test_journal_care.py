"""What travels between a journal and its witness, on the command line."""

from __future__ import annotations

import json

from gatewayd.cli.main import run
from gatewayd.model.view import JournalRequest
from gatewayd.proof.cosignature import Cosigner
from gatewayd.proof.note import split_note
from tests.cli.sites import write_site
from tests.cli.test_journal import write_journal

WITNESS = Cosigner("witness.example/one", bytes(32))


def cosigned(note: str) -> str:
    return note + WITNESS.line(split_note(note)[0], 1_750_000_000)


def watched_site(folder):
    """A site whose journal has four records and one witness."""
    site = write_site(folder)
    write_journal(folder / "storage")
    with (site / "gateway.toml").open("a") as file:
        file.write(f'\n[journal]\nwitnesses = ["{WITNESS.key.text()}"]\n')
    return site


def test_the_newest_checkpoint_is_printed_as_it_was_signed(gatewayd, tmp_path):
    vkey = write_journal(tmp_path)
    said = gatewayd("journal", "checkpoint", str(tmp_path))
    assert said.code == 0
    assert said.out.startswith("acme.example/gw/test/e1\n4\n")
    assert vkey.split("+")[0] in said.out.splitlines()[-1]


def test_a_whole_request_begins_with_what_the_witness_knows(gatewayd, tmp_path):
    write_journal(tmp_path)
    said = gatewayd("journal", "checkpoint", str(tmp_path), "--from", "3")
    assert said.out.startswith("old 3\n")
    assert said.out.endswith(gatewayd("journal", "checkpoint", str(tmp_path)).out)


def test_the_daemon_is_asked_to_keep_a_cosigned_checkpoint(gatewayd, daemon, gateway, tmp_path):
    (tmp_path / "note").write_text("a note")
    said = gatewayd("journal", "cosign", str(tmp_path / "note"))
    assert (said.code, said.out) == (0, "kept a checkpoint of 1290 records\n")
    assert gateway.asked[-1][0] == JournalRequest(do="cosign", note="a note")
    assert json.loads(gatewayd("journal", "cosign", str(tmp_path / "note"), "--json").out)["size"] == 1290


def test_with_the_daemon_stopped_the_storage_is_opened(gatewayd, tmp_path):
    """From the gateway to the witness and back, on a stick."""
    site = watched_site(tmp_path)
    note = gatewayd("journal", "checkpoint", str(site)).out
    (tmp_path / "note").write_text(cosigned(note))
    said = gatewayd("journal", "cosign", str(tmp_path / "note"), "--offline", str(site))
    assert (said.code, said.out) == (0, "Kept a checkpoint of 4 records, cosigned by witness.example/one.\n")


def test_a_checkpoint_nobody_cosigned_is_refused_with_words(gatewayd, tmp_path):
    site = watched_site(tmp_path)
    (tmp_path / "note").write_text(gatewayd("journal", "checkpoint", str(site)).out)
    said = gatewayd("journal", "cosign", str(tmp_path / "note"), "--offline", str(site))
    assert said.code == 6
    assert "[journal] witnesses" in said.err


def test_a_file_that_is_no_checkpoint_is_not_sent(gatewayd, tmp_path):
    (tmp_path / "film").write_bytes(bytes(70_000))
    assert run(["journal", "cosign", str(tmp_path / "film")]) == 2


def test_a_key_is_rotated_with_the_daemon_stopped(gatewayd, tmp_path):
    site = watched_site(tmp_path)
    told = json.loads(gatewayd("journal", "rotate-key", "--offline", str(site), "--json").out)
    assert "The old key is erased" in told["message"]
    said = gatewayd("journal", "verify", "--storage", str(tmp_path / "storage"), "--vkey", told["vkey"])
    assert said.code == 0
    assert f"2, each handed over to the next; in force: {told['vkey']}" in said.out


def test_the_daemon_is_asked_to_rotate_and_to_prune(gatewayd, daemon, gateway):
    assert gatewayd("journal", "rotate-key").code == 0
    assert gatewayd("journal", "prune", "--older-than", "30d", "--dry-run").code == 0
    asked = [request for request, _ in gateway.asked[-2:]]
    assert asked == [
        JournalRequest(do="rotate_key"),
        JournalRequest(do="prune", older_than_s=30 * 86_400, dry_run=True),
    ]


def test_less_than_a_day_is_refused(gatewayd, tmp_path):
    said = gatewayd("journal", "prune", "--older-than", "5h", "--offline", str(write_site(tmp_path)))
    assert (said.code, "at least 1d" in said.err) == (2, True)


def test_without_a_mirror_nothing_is_pruned_and_the_reason_is_said(gatewayd, tmp_path):
    said = gatewayd("journal", "prune", "--older-than", "30d", "--offline", str(watched_site(tmp_path)))
    assert (said.code, "no mirror has cosigned" in said.err) == (9, True)
