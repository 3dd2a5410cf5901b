"""Cosignatures and the core of a witness, by the C2SP texts tlog-cosignature and tlog-witness."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.proof.cosignature import (
    Answer,
    Cosigner,
    CosignerKey,
    Witness,
    add_checkpoint_body,
    cosignatures_of,
)
from gatewayd.proof.merkle import consistency_proof, leaf_hash
from gatewayd.proof.note import Checkpoint, NoteError, SeedSigner, VerifierKey, open_checkpoint, sign_checkpoint
from gatewayd.proof.tiles import Tree, node_from_tiles

ORIGIN = "acme.example/gw-1/e1"
LOG = SeedSigner(ORIGIN, bytes(range(32)))
KEY = VerifierKey.parse(LOG.vkey)
WITNESS = Cosigner("witness.example/w1", bytes(32))
LEAVES = [leaf_hash(b"%d" % number) for number in range(40)]


def tree(size: int, leaves: list[bytes] = LEAVES) -> Tree:
    return Tree().grown(leaves[:size])[0]


def note(size: int, leaves: list[bytes] = LEAVES, signer: SeedSigner = LOG) -> str:
    return sign_checkpoint(Checkpoint(ORIGIN, size, tree(size, leaves).root()), signer)


def proof(old: int, new: int, leaves: list[bytes] = LEAVES) -> list[bytes]:
    grown = tree(new, leaves)
    return consistency_proof(old, new, lambda level, at: node_from_tiles(level, at, lambda row, _: grown.partial[row]))


def cosigned(size: int, time_s: int = 1_700_000_000) -> str:
    plain = note(size)
    return plain + WITNESS.line(plain.rpartition("\n\n")[0] + "\n", time_s)


def test_the_signed_message_is_that_of_the_specification():
    """Checked with nothing of ours: key hash, layout and message as tlog-cosignature writes them."""
    name, hash_, encoded = WITNESS.key.text().split("+", 2)
    public = b64decode(encoded)
    assert public[0] == 4
    assert hash_ == sha256(name.encode() + b"\n" + public).hexdigest()[:8]
    body = note(3).rpartition("\n\n")[0] + "\n"
    line = WITNESS.line(body, 1_679_315_147)
    assert line.startswith(f"\N{EM DASH} {name} ")
    signed = b64decode(line.split(" ")[2])
    assert (signed[:4].hex(), int.from_bytes(signed[4:12], "big"), len(signed)) == (hash_, 1_679_315_147, 76)
    message = b"cosignature/v1\ntime 1679315147\n" + body.encode()
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(signed[12:], message)


def test_a_cosigned_checkpoint_still_opens_with_the_logs_own_key():
    assert open_checkpoint(cosigned(7), KEY).size == 7


def test_a_cosignature_comes_back_with_its_time_and_the_others_are_passed_over():
    stranger = Cosigner("stranger.example", bytes(range(32)))
    text = note(7).rpartition("\n\n")[0] + "\n"
    (found,) = cosignatures_of(cosigned(7, 1_700_000_123) + stranger.line(text, 5), [WITNESS.key])
    assert (found.cosigner, found.time_s) == (WITNESS.key, 1_700_000_123)


@given(place=st.integers(min_value=0), by=st.integers(1, 127))
def test_no_changed_character_of_a_cosigned_note_gets_through(place, by):
    """A changed byte ends in a refusal, or in a note on which our witness says nothing; never in another meaning."""
    whole = cosigned(7).encode()
    at = place % len(whole)
    changed = whole[:at] + bytes([(whole[at] + by) % 128]) + whole[at + 1 :]
    ours = whole.index(f"\N{EM DASH} {ORIGIN}".encode())
    ends = whole.index(b"\n", ours)
    try:
        found = cosignatures_of(changed.decode("utf-8", "replace"), [WITNESS.key])
    except NoteError:
        return
    assert not found or ours <= at <= ends  # the log's own line is not what a witness signs


@pytest.mark.parametrize("text", ["", "a+b", LOG.vkey, WITNESS.key.text()[:-4] + "AAA=", "w+00000000+BAAA"])
def test_a_key_that_is_none_of_a_witness_is_refused(text):
    with pytest.raises(NoteError):
        CosignerKey.parse(text)


def test_a_key_comes_back_as_it_was_written():
    assert CosignerKey.parse(WITNESS.key.text()) == WITNESS.key


# --- the witness --------------------------------------------------------------------------------------------------------


@pytest.fixture
def witness() -> Witness:
    return Witness(WITNESS, {ORIGIN: KEY})


def test_a_log_that_grows_is_cosigned_step_by_step(witness):
    for old, new in ((0, 5), (5, 5), (5, 8), (8, 40)):
        answer = witness.add_checkpoint(old, proof(old, new), note(new), time_s=9)
        assert (answer.status, answer.size) == (200, new)
        assert cosignatures_of(note(new) + answer.line, [WITNESS.key])[0].time_s == 9


def test_a_stale_size_is_answered_with_the_one_that_is_known(witness):
    witness.add_checkpoint(0, [], note(9), time_s=9)
    assert witness.add_checkpoint(0, [], note(12), time_s=9) == Answer(409, 9)
    assert witness.add_checkpoint(9, [], note(4), time_s=9) == Answer(409, 9)


def test_another_history_is_never_cosigned(witness):
    """The one lie that a log cannot be allowed: a tree that did not grow out of the one before."""
    witness.add_checkpoint(0, [], note(9), time_s=9)
    other = [leaf_hash(b"other"), *LEAVES[1:]]
    assert witness.add_checkpoint(9, [], note(9, other), time_s=9) == Answer(409, 9)
    assert witness.add_checkpoint(9, proof(9, 20, other), note(20, other), time_s=9) == Answer(422, 9)
    assert witness.add_checkpoint(9, [bytes(32)] * 64, note(20), time_s=9) == Answer(422, 9)


def test_who_is_not_the_log_is_refused(witness):
    forger = SeedSigner(ORIGIN, bytes(32))
    assert witness.add_checkpoint(0, [], note(5, signer=forger), time_s=9) == Answer(403)
    elsewhere = sign_checkpoint(Checkpoint("other.example", 1, bytes(32)), SeedSigner("other.example", bytes(32)))
    assert witness.add_checkpoint(0, [], elsewhere, time_s=9) == Answer(404)
    witness.trust(VerifierKey.parse(forger.vkey))
    assert witness.add_checkpoint(0, [], note(5, signer=forger), time_s=9).status == 200


def test_what_cannot_be_kept_is_not_cosigned():
    def full(_: Checkpoint) -> None:
        raise OSError("no space")

    witness = Witness(WITNESS, {ORIGIN: KEY}, keep=full)
    with pytest.raises(OSError, match="no space"):
        witness.add_checkpoint(0, [], note(5), time_s=9)
    assert witness.add_checkpoint(5, [], note(5), time_s=9) == Answer(409, 0)


def test_a_request_reads_as_the_specification_writes_it():
    path = proof(5, 9)
    lines = "".join(f"{b64encode(node).decode()}\n" for node in path)
    assert add_checkpoint_body(5, path, note(9)) == f"old 5\n{lines}\n{note(9)}"
